"""Account: a user, and the namespace of everything that is theirs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field

from crds.meta import READY, REASON, Column, Model, ObjectMeta, Resource, Scope, Status

AccountState = Literal["Active", "Suspended", "Quarantined"]


class Quota(Model):
    """How much one account may have at once.

    Attributes:
        workspaces: The most workspaces.
        devenvs: The most dev environments.
        vps: The most VPSs; each is on the user's own bill.
    """

    workspaces: int = Field(default=1, ge=0)
    devenvs: int = Field(default=3, ge=0)
    vps: int = Field(default=5, ge=0)


class AccountSpec(Model):
    """Who the user is and what they may do.

    Attributes:
        email: Where the user is reached.
        first_name: The user's first name, from which a subdomain is suggested.
        last_name: The user's last name.
        plan: What the user pays for.
        state: Whether what is theirs may run; quarantine also withdraws routes and revokes tokens.
        quota: How much they may have at once.
        netlify_sites: Netlify's ids of the sites that are theirs: what they run may be told there.
    """

    email: str = Field(min_length=3, max_length=320)
    first_name: str = Field(default="", max_length=100)
    last_name: str = Field(default="", max_length=100)
    plan: Literal["Free", "Pro"] = "Free"
    state: AccountState = "Active"
    quota: Quota = Field(default_factory=Quota)
    # One token opens all sites of a team, so whose a site is has to be said by the operator.
    netlify_sites: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(
        default_factory=list, max_length=100
    )
    # Access tokens issued before this moment are refused, however long they are still valid.
    tokens_valid_after: datetime | None = None


class AccountStatus(Status):
    """What the account has.

    Attributes:
        workspaces: How many workspaces.
        devenvs: How many dev environments.
        vpses: How many VPSs.
    """

    workspaces: int = 0
    devenvs: int = 0
    vpses: int = 0


# Namespaces that are nobody's: events about cluster objects are there.
RESERVED: Final = ("default", "invoker-system")


def _not_reserved(metadata: ObjectMeta) -> ObjectMeta:
    if metadata.name in RESERVED:
        raise ValueError(f"{metadata.name!r} is reserved")
    return metadata


class Account(Resource):
    """A user; its name is the user's Supabase id and the namespace of the user's objects."""

    KIND: ClassVar[str] = "Account"
    PLURAL: ClassVar[str] = "accounts"
    SCOPE: ClassVar[Scope] = "Cluster"
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("Email", ".spec.email"),
        Column("Plan", ".spec.plan"),
        Column("State", ".spec.state"),
        Column("Workspaces", ".status.workspaces", "integer"),
        READY,
        Column("Quota", ".spec.quota.workspaces", "integer", 1),
        REASON,
    )
    SELECTABLE: ClassVar[tuple[str, ...]] = ("spec.email", "spec.plan", "spec.state")

    metadata: Annotated[ObjectMeta, AfterValidator(_not_reserved)]
    spec: AccountSpec
    status: AccountStatus = Field(default_factory=AccountStatus)
