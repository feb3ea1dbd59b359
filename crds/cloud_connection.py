"""CloudConnection: a user's grant on an account of theirs at a cloud."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import AwareDatetime, Field

from crds.meta import READY, REASON, Column, Model, Observed, Resource, Status

Provider = Literal["digitalocean"]
# An account has one connection a provider, and it is called like it.
DIGITALOCEAN: Provider = "digitalocean"

GRANTED = "Granted"
"""The condition that tokens are there that were good when they were last used."""

GrantOperation = Literal["Exchange", "Refresh", "Revoke"]


class CloudConnectionSpec(Model):
    """What is wished for.

    Attributes:
        provider: Whose cloud it is.
        state: Whether there shall be a grant; one that shall not is revoked at the provider.
        connected_at: When the user last came back from the provider with their consent.
        verify_at: A grant that was last seen good before this moment is tried, and renewed when
            it is not; whoever was refused with its token writes this.
    """

    provider: Provider = DIGITALOCEAN
    state: Literal["Connected", "Disconnected"] = "Connected"
    connected_at: AwareDatetime | None = None
    verify_at: AwareDatetime | None = None


class GrantTeam(Observed):
    """Whose account it is at the provider.

    Attributes:
        uuid: The provider's id of the team.
        name: What the team is called there; empty while nobody has asked.
    """

    uuid: str = ""
    name: str = ""


class GrantIntent(Observed):
    """What is asked of the authorisation server, written before it is asked.

    Attributes:
        operation: What is asked.
        since: When it was about to be asked.
        attempt: Which attempt in a row it is.
        over: Whether whoever asked has come back, without knowing the outcome.
    """

    operation: GrantOperation
    since: datetime
    attempt: int = 1
    over: bool = False


class CloudConnectionStatus(Status):
    """What there is. No token stands here.

    Attributes:
        team: The team that the grant is for.
        scopes: What the grant allows.
        granted_at: When the user's consent became a grant.
        refreshed_at: When its tokens were last renewed.
        expires_at: When its access token ends unless it is renewed.
        verified_at: When the question was asked that the provider last took its access token for.
        ended_at: When it ended: revoked, disconnected, or refused from the start.
        intent: What was asked of the authorisation server and is not known to have been answered.
    """

    team: GrantTeam | None = None
    scopes: list[str] = Field(default_factory=list)
    granted_at: datetime | None = None
    refreshed_at: datetime | None = None
    expires_at: datetime | None = None
    verified_at: datetime | None = None
    ended_at: datetime | None = None
    intent: GrantIntent | None = None


class CloudConnection(Resource):
    """A grant on somebody's account at a cloud; its name is the provider's."""

    KIND: ClassVar[str] = "CloudConnection"
    PLURAL: ClassVar[str] = "cloudconnections"
    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("cc",)
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("State", ".spec.state"),
        Column("Phase", ".status.phase"),
        READY,
        Column("Team", ".status.team.name"),
        Column("Expires", ".status.expiresAt"),
        Column("Refreshed", ".status.refreshedAt", "date", 1),
        REASON,
    )
    SELECTABLE: ClassVar[tuple[str, ...]] = ("spec.provider", "spec.state", "status.phase")
    OWNER_FIELDS: ClassVar[frozenset[str]] = frozenset({"provider", "state", "verifyAt"})
    SUPPORT_FIELDS: ClassVar[frozenset[str]] = frozenset({"verifyAt"})

    spec: CloudConnectionSpec
    status: CloudConnectionStatus = Field(default_factory=CloudConnectionStatus)
