"""Workspace: one user's machine behind one subdomain."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, AwareDatetime, Field

from crds.compute import CheckedSize, Region
from crds.meta import READY, REASON, Column, Status
from crds.names import subdomain_problem
from crds.power import Powered, PoweredSpec

WORKSPACE = "main"
IDLE_TIMEOUT_SECONDS: Final = 1800
# How long an old name redirects after a rename, unless it is released earlier.
REDIRECT_DAYS = 30


def _good_subdomain(value: str) -> str:
    if problem := subdomain_problem(value):
        raise ValueError(problem)
    return value


Subdomain = Annotated[str, AfterValidator(_good_subdomain)]
Recreate = Literal["Never", "OnRegionChange"]


class WorkspaceSpec(PoweredSpec):
    """What the user wants; what is left out is the platform's default, which may change later.

    Attributes:
        power: Whether it shall run; a running one still sleeps while nobody uses it.
        subdomain: The name under which it answers; nobody else can have it.
        region: Fly's code of the region where it runs.
        size: How many processors and how much memory it has.
        image: The container image that it runs.
        volume_gb: The size of its disk in GB; a disk never shrinks.
    """

    # When its user last asked for it to run: counts as activity, so it wakes one that is asleep.
    wake_at: AwareDatetime | None = None
    # A process that started before this moment is restarted once; for what is stopped, nothing.
    restart_at: AwareDatetime | None = None
    subdomain: Subdomain
    region: Region | None = None
    size: CheckedSize | None = None
    image: str | None = Field(default=None, min_length=1, max_length=512)
    volume_gb: int | None = Field(default=None, ge=1, le=500)
    # Fixed by the product; a field so that clients need not know the number.
    idle_timeout_seconds: Literal[1800] = IDLE_TIMEOUT_SECONDS
    # Volumes are regional: another region means a new, empty machine, which must be asked for.
    recreate: Recreate = "Never"


class WorkspaceStatus(Status):
    """What the user has.

    Attributes:
        url: Where the workspace answers.
        subdomain: The name that is routed at present.
        asleep: Whether it was stopped for idleness.
        idle_at: When it will be put to sleep if nothing happens.
        last_activity_at: The newest activity that the agent reported.
    """

    url: str | None = None
    subdomain: str | None = None
    asleep: bool = False
    idle_at: datetime | None = None
    last_activity_at: datetime | None = None


class Workspace(Powered):
    """One user's machine behind one subdomain."""

    KIND: ClassVar[str] = "Workspace"
    PLURAL: ClassVar[str] = "workspaces"
    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("ws",)
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("Subdomain", ".spec.subdomain"),
        Column("Power", ".spec.power"),
        Column("Phase", ".status.phase"),
        READY,
        Column("URL", ".status.url"),
        Column("Region", ".spec.region", priority=1),
        Column("Asleep", ".status.asleep", "boolean", 1),
        Column("Idle-At", ".status.idleAt", priority=1),
        REASON,
    )
    SELECTABLE: ClassVar[tuple[str, ...]] = (
        "spec.subdomain",
        "spec.power",
        "status.phase",
        "status.subdomain",
    )
    OWNER_FIELDS: ClassVar[frozenset[str]] = frozenset(
        {"power", "wakeAt", "restartAt", "subdomain"}
    )
    SUPPORT_FIELDS: ClassVar[frozenset[str]] = frozenset({"wakeAt", "restartAt"})

    spec: WorkspaceSpec
    status: WorkspaceStatus = Field(default_factory=WorkspaceStatus)
