"""The bodies of requests and answers about VPSs, their sessions and their keys."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field

from api.models import Answer, Body
from crds.authorized_key import PublicKey
from crds.session import AbsolutePath, Cells
from crds.vps import MOST_AGENTS, AgentName, DropletImage, DropletRegion, DropletSize
from crds.words import Line

UID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

VpsState = Literal[
    "provisioning",
    "provisioning_timeout",
    "running",
    "offline",
    "powering_off",
    "off",
    "powering_on",
    "deleting",
    "blocked",
]
SessionState = Literal["starting", "waiting", "running", "ended", "failed"]
KeyState = Literal["waiting", "authorized", "expired", "failed"]
KeyType = Literal["user", "support"]


def _no_uid(name: str) -> str:
    # In an address a name and an id stand at the same place.
    if UID.fullmatch(name):
        raise ValueError("must not look like an id")
    return name


def _once_each(names: list[str]) -> list[str]:
    if len(set(names)) != len(names):
        raise ValueError("must not name an agent twice")
    return names


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is beyond all calendars") from None


Name = Annotated[
    str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"), AfterValidator(_no_uid)
]
Agents = Annotated[
    list[AgentName],
    Field(max_length=MOST_AGENTS, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_once_each),
]
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class MakeVps(Body):
    """A droplet that shall be there; what is not said is as everybody's, the name a free one.

    Attributes:
        name: What it is called.
        region: DigitalOcean's slug of the region.
        size: DigitalOcean's slug of the size.
        image: DigitalOcean's slug of the image; one with cloud-init and systemd.
        agents: The coding agents that are installed in it.
    """

    name: Name | None = None
    region: DropletRegion | None = None
    size: DropletSize | None = None
    image: DropletImage | None = None
    agents: Agents | None = None


class MakeSession(Body):
    """A terminal session that shall be there.

    Attributes:
        name: What it is called; a free name when left out.
        title: What its user calls it.
        agent_type: The agent that runs in it; `shell` for none.
        workdir: The directory where it begins.
        columns: Its width in characters at the beginning.
        rows: Its height in lines at the beginning.
    """

    name: Name | None = None
    title: Line | None = None
    agent_type: AgentName | None = None
    workdir: AbsolutePath | None = None
    columns: Cells | None = None
    rows: Cells | None = None


class MakeKey(Body):
    """An SSH key that shall be let in.

    Attributes:
        public_key: One line as in an `authorized_keys` file, without options.
        label: What its user calls it.
        type: Whose key it is; one of support ends within 24 hours.
        expires_at: When it ends; null: never.
    """

    public_key: PublicKey
    label: Line | None = None
    type: KeyType | None = None
    expires_at: Moment | None = None


class GatewayView(Answer):
    """The gateway in a droplet, through which its terminals are reached."""

    connected: bool
    version: str | None
    last_seen_at: datetime | None


class HealthView(Answer):
    """How the machine was when its gateway last said so."""

    cpu_percent: float
    memory_used_bytes: int
    memory_total_bytes: int
    disk_used_bytes: int
    disk_total_bytes: int
    uptime_seconds: float
    at: datetime


class AgentView(Answer):
    """A coding agent."""

    name: str
    state: Literal["wished", "installing", "installed", "failed"]
    version: str | None
    message: str


class VpsView(Answer):
    """A VPS: `status` is how it is, `power` what is wished for, `remedy` what its user can do."""

    vps_id: UUID
    name: str
    status: VpsState
    message: str
    remedy: str | None
    region: str
    size: str
    image: str
    ipv4: str | None
    power: Literal["on", "off"]
    created_at: datetime
    monthly_usd: float | None
    gateway: GatewayView
    health: HealthView | None
    agents: list[AgentView]


class VpsList(Answer):
    """The user's VPSs."""

    vps: list[VpsView]


class SessionView(Answer):
    """A terminal session."""

    session_id: UUID
    name: str
    vps_id: UUID
    title: str
    agent_type: str
    workdir: str
    status: SessionState
    message: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    exit_code: int | None


class SessionList(Answer):
    """The sessions of a VPS."""

    sessions: list[SessionView]


class Snapshot(Answer):
    """What a terminal shows: text with escape sequences that draws it on an empty one."""

    session_id: UUID
    sequence: int
    columns: int
    rows: int
    data: str


class KeyView(Answer):
    """An SSH key."""

    key_id: UUID
    name: str
    vps_id: UUID
    fingerprint: str
    label: str
    type: KeyType
    expires_at: datetime | None
    status: KeyState
    message: str


class KeyList(Answer):
    """The keys of a VPS."""

    keys: list[KeyView]
