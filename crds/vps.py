"""Vps: a droplet on the user's own DigitalOcean account, with a gateway in it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, field_validator

from crds.cloud_connection import DIGITALOCEAN
from crds.meta import READY, REASON, Column, Observed, Status
from crds.power import Powered, PoweredSpec

# Slugs of DigitalOcean: which of them can be had, only DigitalOcean knows.
DropletRegion = Annotated[str, Field(pattern=r"^[a-z]{3}[0-9]{1,2}$")]
DropletSize = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
DropletImage = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
AgentName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
MOST_AGENTS: Final = 16

GATEWAY: Final = "GatewayConnected"
"""The condition that the droplet's gateway is connected to the hub."""

VpsOperation = Literal["Create", "PowerOn", "Shutdown", "PowerOff", "Destroy"]
AgentState = Literal["Wished", "Installing", "Installed", "Failed"]


class VpsSpec(PoweredSpec):
    """What is wished for; where and of what a droplet is made never changes.

    Attributes:
        power: Whether it shall run; one that is off still costs the same at DigitalOcean.
        connection: The name of the CloudConnection on whose account it is.
        region: DigitalOcean's slug of the region.
        size: DigitalOcean's slug of the size.
        image: DigitalOcean's slug of the image; one with cloud-init and systemd.
        agents: The coding agents that are installed in it, by name.
    """

    connection: str = Field(default=DIGITALOCEAN, min_length=1, max_length=63)
    region: DropletRegion = "ams3"
    size: DropletSize = "s-1vcpu-1gb"
    image: DropletImage = "ubuntu-24-04-x64"
    agents: list[AgentName] = Field(default_factory=list, max_length=MOST_AGENTS)

    @field_validator("agents")
    @classmethod
    def _once_each(cls, agents: list[str]) -> list[str]:
        if len(set(agents)) != len(agents):
            raise ValueError("must not name an agent twice")
        return agents


class DropletStatus(Observed):
    """The droplet as DigitalOcean last told of it.

    Attributes:
        id: DigitalOcean's number of it.
        status: `new`, `active`, `off` or `archive`.
        ipv4: Its public address; None until it has one.
        region: Where it is.
        size: What it was made as.
        image: What it was made of.
        team: The team whose it is; elsewhere it cannot be looked for.
        created_at: When DigitalOcean accepted it.
        active_since: When it was first seen running after it was made or switched on.
        missing_since: Since when it has not been found.
    """

    id: int
    status: str = "new"
    ipv4: str | None = None
    region: str
    size: str
    image: str
    team: str = ""
    created_at: datetime
    active_since: datetime | None = None
    missing_since: datetime | None = None


class VpsIntent(Observed):
    """What is asked of DigitalOcean, written before it is asked.

    Attributes:
        operation: What is asked.
        since: When it was about to be asked.
        droplet: Of which droplet it is asked; None of one that is yet to be made.
        action: DigitalOcean's number of the action that carries it out; None until it is known.
        accepted_at: When DigitalOcean accepted it; None while the outcome of asking is unknown.
        attempt: Which attempt in a row it is.
    """

    operation: VpsOperation
    since: datetime
    droplet: int | None = None
    action: int | None = None
    accepted_at: datetime | None = None
    attempt: int = 1


class GatewayStatus(Observed):
    """The gateway, as the hub reports it.

    Attributes:
        connected: Whether it is connected.
        since: Since when it has been so.
        version: Its program's version.
        hello: The number of its newest hello; another one means that it came back.
        first_hello_at: When it was first heard of.
    """

    connected: bool = False
    since: datetime | None = None
    version: str = ""
    hello: int = 0
    first_hello_at: datetime | None = None


class AgentStatus(Observed):
    """A coding agent in the droplet.

    Attributes:
        name: Which one.
        state: How far its installation is.
        version: What is installed.
        message: Why it is not.
        asked_at: When its installation was last asked for.
        hello: The number of the gateway's hello after which it was.
    """

    name: str
    state: AgentState = "Wished"
    version: str = ""
    message: str = ""
    asked_at: datetime | None = None
    hello: int = 0


class VpsCost(Observed):
    """What it costs its owner at DigitalOcean, on or off, in USD.

    Attributes:
        monthly_usd: A month.
        hourly_usd: An hour.
    """

    monthly_usd: float
    hourly_usd: float


class VpsStatus(Status):
    """What there is. No credential stands here.

    Attributes:
        droplet: The droplet.
        intent: What was asked of DigitalOcean and is not over.
        gateway: Its gateway.
        agents: Its agents.
        cost: What it costs.
        offline_since: Since when a gateway that was there has been away.
        provisioning_since: Since when the first sign of its gateway has been awaited.
        tidied: The number of the hello after which what nobody wishes for was last taken away.
    """

    droplet: DropletStatus | None = None
    intent: VpsIntent | None = None
    gateway: GatewayStatus = Field(default_factory=GatewayStatus)
    agents: list[AgentStatus] = Field(default_factory=list)
    cost: VpsCost | None = None
    offline_since: datetime | None = None
    provisioning_since: datetime | None = None
    tidied: int = 0


class Vps(Powered):
    """A droplet of a user's, with a gateway through which its terminals are reached."""

    KIND: ClassVar[str] = "Vps"
    PLURAL: ClassVar[str] = "vpses"
    SHORT_NAMES: ClassVar[tuple[str, ...]] = ()
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("Power", ".spec.power"),
        Column("Phase", ".status.phase"),
        READY,
        Column("Gateway", ".status.gateway.connected", "boolean"),
        Column("IPv4", ".status.droplet.ipv4"),
        Column("Region", ".spec.region", priority=1),
        Column("Size", ".spec.size", priority=1),
        Column("Droplet", ".status.droplet.id", "integer", 1),
        Column("Monthly-USD", ".status.cost.monthlyUsd", "number", 1),
        REASON,
    )
    SELECTABLE: ClassVar[tuple[str, ...]] = ("spec.power", "spec.connection", "status.phase")
    OWNER_FIELDS: ClassVar[frozenset[str]] = frozenset(
        {"power", "connection", "region", "size", "image", "agents"}
    )
    SUPPORT_FIELDS: ClassVar[frozenset[str]] = frozenset()

    spec: VpsSpec
    status: VpsStatus = Field(default_factory=VpsStatus)
