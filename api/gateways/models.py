"""What the Worker asks and reports of gateways; messages as worker/protocol describes them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, model_validator

from api.models import Answer, Body
from crds.vps import AgentName
from crds.words import plain

# What a number of JavaScript can hold exactly.
LARGEST: Final = 2**53 - 1
MOST_OBSERVATIONS: Final = 100
# Long before the first gateway; a moment that PostgreSQL could not give back stays out.
EARLIEST: Final = datetime(2020, 1, 1, tzinfo=UTC)


def _late_enough(moment: datetime) -> datetime:
    if moment < EARLIEST:
        raise ValueError(f"must not be before {EARLIEST.date()}")
    return moment


Number = Annotated[int, Field(ge=0, le=LARGEST)]
Version = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}$")]
Code = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]


class Told(Body):
    """Base of what comes from the Worker: one that is newer than we may say more."""

    model_config = ConfigDict(extra="ignore", strict=True, hide_input_in_errors=True)


class GatewayProblem(Told):
    """Why something was not done."""

    code: Code
    message: Annotated[str, Field(max_length=1000), AfterValidator(plain)]


class GatewaySession(Told):
    """A session that a gateway has."""

    session_id: UUID
    sequence: Number


class GatewayHello(Told):
    """`gateway.hello`."""

    type: Literal["gateway.hello"]
    protocol: Annotated[int, Field(ge=1, le=LARGEST)]
    version: Version
    sessions: Annotated[list[GatewaySession], Field(max_length=256)]


class GatewayHealth(Told):
    """`gateway.health`."""

    type: Literal["gateway.health"]
    cpu_percent: Annotated[float, Field(ge=0, le=100)]
    memory_used_bytes: Number
    memory_total_bytes: Number
    disk_used_bytes: Number
    disk_total_bytes: Number
    uptime_seconds: Annotated[float, Field(ge=0, le=LARGEST)]


class GatewayUpdated(Told):
    """`gateway.updated`."""

    type: Literal["gateway.updated"]
    version: Version
    previous_version: Version


class AgentInstalled(Told):
    """`agent.installed`."""

    type: Literal["agent.installed"]
    agent: AgentName
    ok: bool
    # Left out, not null; what is not there is not passed on.
    version: Version = ""
    error: GatewayProblem | None = None


class SessionStarted(Told):
    """`session.started`."""

    type: Literal["session.started"]
    session_id: UUID
    sequence: Number
    columns: Annotated[int, Field(ge=1, le=1000)]
    rows: Annotated[int, Field(ge=1, le=1000)]


class SessionEnded(Told):
    """`session.ended`."""

    type: Literal["session.ended"]
    session_id: UUID
    reason: Literal["exited", "ended", "lost"]
    exit_code: Annotated[int, Field(ge=-255, le=255)] | None


class SessionError(Told):
    """`session.error`."""

    type: Literal["session.error"]
    session_id: UUID
    error: GatewayProblem


Message = Annotated[
    GatewayHello
    | GatewayHealth
    | GatewayUpdated
    | AgentInstalled
    | SessionStarted
    | SessionEnded
    | SessionError,
    Field(discriminator="type"),
]
Kind = Literal[
    "connected",
    "disconnected",
    "gateway.hello",
    "gateway.health",
    "gateway.updated",
    "agent.installed",
    "session.started",
    "session.ended",
    "session.error",
]


class Observed(Told):
    """Something that the hub saw of a gateway.

    Attributes:
        sequence: Grows with every observation of one gateway.
        observed_at: When, by the hub's clock.
        kind: `connected`, `disconnected`, or the message's type.
        message: The gateway's message; null for what the hub saw itself.
    """

    sequence: Number
    observed_at: Annotated[AwareDatetime, AfterValidator(_late_enough)]
    kind: Kind
    message: Message | None

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        of_hub = self.kind in ("connected", "disconnected")
        if (None if of_hub else self.kind) != (self.message and self.message.type):
            raise ValueError("message: must be null for what the hub saw itself, else of the kind")
        return self


class Report(Told):
    """What the hub saw of a gateway since the last report."""

    observations: Annotated[list[Observed], Field(max_length=MOST_OBSERVATIONS)]


class Shown(Told):
    """The token that a gateway has shown."""

    token: Annotated[str, Field(repr=False)]


class TerminalWish(Told):
    """A browser that wants a terminal.

    Attributes:
        vps: The VPS, by uid or name.
        session: The session, by uid or name.
        cookie: The whole `Cookie` header.
    """

    vps: str
    session: str
    cookie: Annotated[str, Field(repr=False)]


class TerminalGrant(Answer):
    """Whose terminal it is, and for whom."""

    gateway: UUID
    session: UUID
    viewer: str
    account: str
