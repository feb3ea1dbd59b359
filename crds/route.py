"""Route: the claim on a subdomain and what it leads to. Its name is the subdomain."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from crds.meta import READY, REASON, Column, Model, Observed, Resource, Scope, Status
from crds.workspace import Subdomain

RouteState = Literal[
    "running", "asleep", "stopped", "starting", "crashed", "suspended", "quarantined", "redirect"
]


class RouteTarget(Model):
    """The workspace and the machine behind the subdomain; both live in the account's namespace.

    Attributes:
        workspace: The workspace's name.
        machine: The machine's name.
    """

    workspace: str
    machine: str


class RouteSpec(Model):
    """Whose name it is and where it leads; neither target nor redirect means only reserved.

    Attributes:
        account: The account that has the name.
        target: What the name leads to.
        redirect_to: The subdomain that took this one's place, and to which visitors are sent.
        redirect_until: When that ends and the name is free again.
    """

    account: str = Field(min_length=1)
    target: RouteTarget | None = None
    redirect_to: Subdomain | None = None
    redirect_until: datetime | None = None


class RouteEntry(Observed):
    """What the edge reads: the value in Workers KV (docs/protocols.md).

    Attributes:
        version: The version of this form.
        stamp: The stamp of the status that it was written for.
        route: The uid of the route, by which an entry is known as ours.
        account: The account whose user may visit.
        state: What visitors get to see.
        target: The URL that requests are forwarded to.
        machine: The uid of the machine.
        instance: Fly's id of the machine.
        redirect: The subdomain that visitors are sent to.
    """

    version: Literal[1] = 1
    stamp: int = 0
    route: str
    account: str
    state: RouteState
    target: str | None = None
    machine: str | None = None
    instance: str | None = None
    redirect: str | None = None


class RouteStatus(Status):
    """What the edge was told.

    Attributes:
        stamp: Grows with every intended change of the edge's entry; an entry with a smaller one
            is an old writer's.
        entry: The entry that the edge was last asked to hold; None once it is withdrawn.
        published: Whether the provider confirmed `entry` (or its removal).
        published_at: When it last did.
    """

    stamp: int = 0
    entry: RouteEntry | None = None
    published: bool = True
    published_at: datetime | None = None


class Route(Resource):
    """A subdomain."""

    KIND: ClassVar[str] = "Route"
    PLURAL: ClassVar[str] = "routes"
    SCOPE: ClassVar[Scope] = "Cluster"
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("Account", ".spec.account"),
        Column("State", ".status.entry.state"),
        Column("Published", ".status.published", "boolean"),
        READY,
        Column("Target", ".status.entry.target", priority=1),
        Column("Redirect", ".spec.redirectTo", priority=1),
        REASON,
    )
    SELECTABLE: ClassVar[tuple[str, ...]] = ("spec.account", "status.entry.state")

    spec: RouteSpec
    status: RouteStatus = Field(default_factory=RouteStatus)
