"""Session: a terminal session on a Vps; its uid is the session's id wherever one is named."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from crds.meta import READY, REASON, Column, Model, Observed, Resource, Status
from crds.vps import AgentName
from crds.words import Line

SHELL: Final = "shell"
"""The agent type of a session that is nothing but a shell."""

AbsolutePath = Annotated[str, Field(pattern=r"^/[^\x00]*$", max_length=4096)]
# As the protocol bounds a terminal's size (worker/protocol/common.json).
Cells = Annotated[int, Field(ge=1, le=1000)]
EndReason = Literal["exited", "ended", "lost"]


class SessionSpec(Model):
    """What is wished for.

    Attributes:
        vps: The name of the Vps on which it is; it never changes.
        title: What its user calls it.
        agent_type: The agent that runs in it; `shell` for none.
        workdir: The directory where it begins.
        columns: Its width in characters at the beginning.
        rows: Its height in lines at the beginning.
    """

    vps: str = Field(min_length=1, max_length=253)
    title: Line = ""
    agent_type: AgentName = SHELL
    workdir: AbsolutePath = "/root"
    columns: Cells = 80
    rows: Cells = 24


class SessionProblem(Observed):
    """What the gateway said stood in the way.

    Attributes:
        code: For programs, lowercase words joined by hyphens.
        message: For people.
    """

    code: str
    message: str = ""


class SessionStatus(Status):
    """What there is.

    Attributes:
        started_at: When it first ran.
        hello: The number of the gateway's hello after which it was last asked for or found.
        starts: How often it was begun anew because the gateway no longer had it.
        ended_at: When it ended by itself; it is not begun again.
        reason: How it ended.
        exit_code: What its program returned.
        problem: Why it does not run.
    """

    started_at: datetime | None = None
    hello: int = 0
    starts: int = 0
    ended_at: datetime | None = None
    reason: EndReason | None = None
    exit_code: int | None = None
    problem: SessionProblem | None = None


class Session(Resource):
    """A terminal session on a Vps."""

    KIND: ClassVar[str] = "Session"
    PLURAL: ClassVar[str] = "sessions"
    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("sess",)
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("Vps", ".spec.vps"),
        Column("Agent", ".spec.agentType"),
        Column("Phase", ".status.phase"),
        READY,
        Column("Title", ".spec.title", priority=1),
        Column("Started", ".status.startedAt", "date", 1),
        REASON,
    )
    SELECTABLE: ClassVar[tuple[str, ...]] = ("spec.vps", "spec.agentType", "status.phase")
    OWNER_FIELDS: ClassVar[frozenset[str]] = frozenset(
        {"vps", "title", "agentType", "workdir", "columns", "rows"}
    )
    SUPPORT_FIELDS: ClassVar[frozenset[str]] = frozenset()

    spec: SessionSpec
    status: SessionStatus = Field(default_factory=SessionStatus)
