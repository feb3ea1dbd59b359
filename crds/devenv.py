"""DevEnv: a Supabase of six services on Fly that keeps its names."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from crds.compute import (
    MONTHLY_VOLUME_USD_PER_GB,
    CheckedSize,
    MachineSize,
    Region,
    monthly_cost_usd,
)
from crds.meta import READY, REASON, Column, Model, ObjectMeta, Observed, Status
from crds.power import Powered, PoweredSpec

Service = Literal["postgres", "postgrest", "gotrue", "kong", "storage", "studio"]
# In the order in which they start; they stop in the reverse one.
SERVICES: Final[tuple[Service, ...]] = get_args(Service)
# What the name of each service's app ends in.
SUFFIXES: Final[dict[Service, str]] = {
    "postgres": "pg",
    "postgrest": "rest",
    "gotrue": "auth",
    "kong": "kong",
    "storage": "storage",
    "studio": "studio",
}
IMAGES: Final[dict[Service, str]] = {
    "postgres": "supabase/postgres:15.1.1.78",
    "postgrest": "postgrest/postgrest:v12.0.1",
    "gotrue": "supabase/gotrue:v2.143.0",
    "kong": "kong:3.4",
    "storage": "supabase/storage-api:v0.43.11",
    "studio": "supabase/studio:20240101",
}
PORTS: Final[dict[Service, int]] = {
    "postgres": 5432,
    "postgrest": 3000,
    "gotrue": 9999,
    "kong": 8000,
    "storage": 5000,
    "studio": 3000,
}
SIZES: Final[dict[Service, MachineSize]] = {
    "postgres": MachineSize(memory_mb=1024),
    "postgrest": MachineSize(memory_mb=256),
    "gotrue": MachineSize(memory_mb=256),
    "kong": MachineSize(memory_mb=1024),
    "storage": MachineSize(memory_mb=512),
    "studio": MachineSize(memory_mb=512),
}
RlsMode = Literal["production", "permissive", "disabled"]

# The hours of a month, and those of them in which somebody works, eight a day.
MONTHLY_HOURS = 730.0
MONTHLY_WORKING_HOURS = 240.0

Slug = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$")]


# Shorter, and starting would take a good part of it.
MIN_AUTO_STOP_MINUTES = 5


def _none_is_never(minutes: int | None) -> int | None:
    if minutes is not None and 0 < minutes < MIN_AUTO_STOP_MINUTES:
        raise ValueError(f"must be {MIN_AUTO_STOP_MINUTES} to 1440, or 0 for never")
    return minutes or None


AutoStopMinutes = Annotated[int | None, Field(ge=0, le=1440), AfterValidator(_none_is_never)]


class NetlifySpec(Model):
    """The front end that is built with this environment's address and public key.

    Attributes:
        site: Netlify's id of the site.
        team: The slug of the team (Netlify's account) that the site belongs to.
    """

    site: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.-]+$")
    team: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_-]+$")


class DevEnvSpec(PoweredSpec):
    """What is wished for.

    Client and app give every service its name, so they never change.

    Attributes:
        power: Whether it shall run; a running one is still stopped when nobody uses it.
        client: Whose it is, as in every service's name.
        app: What it is for, as in every service's name.
        silo_id: What it is called elsewhere; the object's name when left out.
        enabled: Whether it may be made at all.
        fly_org: The Fly organisation where it has to be; any when left out.
        region: Fly's code of the region where it runs; another one moves it with its data.
        studio: Whether it has the administrators' page.
        images: Container images other than the usual ones, by service.
        sizes: Sizes other than the usual ones, by service.
        volume_gb: The size of the database's disk in GB; a disk never shrinks.
        storage_gb: The size of the disk for files in GB; a disk never shrinks.
        rls_mode: How far row-level security holds in the database.
        auto_stop_minutes: After so many minutes without traffic it is stopped; 0 is never.
        netlify: The front end that is told its address and public key.
        preview_url: Where that front end is seen.
        wake_at: When somebody last asked for it to run: counts as traffic.
        restart_at: What started before this moment is restarted once, in order.
        rotate_at: Keys made before this moment are replaced by new ones.
        rotate_on_restart: Whether a restart brings new keys.
    """

    client: Slug
    app: Slug
    silo_id: str | None = Field(default=None, pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    enabled: bool = True
    fly_org: str | None = Field(default=None, min_length=1, max_length=100)
    region: Region = "yyz"
    studio: bool = True
    images: dict[Service, str] = Field(default_factory=dict)
    sizes: dict[Service, CheckedSize] = Field(default_factory=dict)
    volume_gb: int = Field(default=40, ge=1, le=500)
    storage_gb: int = Field(default=10, ge=1, le=500)
    rls_mode: RlsMode = "production"
    auto_stop_minutes: AutoStopMinutes = 30
    netlify: NetlifySpec | None = None
    preview_url: str | None = Field(default=None, max_length=300, pattern=r"^https?://[^\s]+$")
    wake_at: AwareDatetime | None = None
    restart_at: AwareDatetime | None = None
    rotate_at: AwareDatetime | None = None
    rotate_on_restart: bool = False

    @field_validator("images")
    @classmethod
    def _images_are_named(cls, images: dict[Service, str]) -> dict[Service, str]:
        if any(not 1 <= len(image) <= 512 for image in images.values()):  # noqa: PLR2004 - as Machine's image
            raise ValueError("an image must have 1 to 512 characters")
        return images

    @model_serializer(mode="wrap")
    def _say_never(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        """What is None is not stored, and comes back as the default: in JSON never is 0."""
        data: dict[str, Any] = handler(self)
        if info.mode == "json" and self.auto_stop_minutes is None:
            data["autoStopMinutes" if info.by_alias else "auto_stop_minutes"] = 0
        return data

    @property
    def services(self) -> tuple[Service, ...]:
        """The services that are wished for, in the order in which they start."""
        return tuple(s for s in SERVICES if s != "studio" or self.studio)

    def app_of(self, service: Service) -> str:
        """The name of a service's Fly app: the same for as long as there is this environment."""
        return f"devenv-{self.client}-{self.app}-{SUFFIXES[service]}"

    def image_of(self, service: Service) -> str:
        """The image of a service."""
        return self.images.get(service, IMAGES[service])

    def size_of(self, service: Service) -> MachineSize:
        """The size of a service's machine."""
        return self.sizes.get(service, SIZES[service])

    def volume_of(self, service: Service) -> int | None:
        """The size of a service's disk in GB; None for those that keep nothing."""
        return {"postgres": self.volume_gb, "storage": self.storage_gb}.get(service)


class Cost(Observed):
    """What it costs a month in USD, by the provider's prices.

    Attributes:
        always_on_usd: If it ran all the time.
        auto_stop_usd: If it ran only in working hours, 240 a month; disks cost all the time.
    """

    always_on_usd: float
    auto_stop_usd: float


class ServiceStatus(Observed):
    """One service.

    Attributes:
        name: Which one.
        machine: The name of its Machine.
        phase: The Machine's phase.
        ready: Whether it answers.
        instance: Fly's id of the machine.
        started_at: When it last started.
    """

    name: Service
    machine: str
    phase: str = "Pending"
    ready: bool = False
    instance: str | None = None
    started_at: datetime | None = None


class KeysStatus(Observed):
    """The keys, as far as may be told.

    Attributes:
        fingerprint: Another one for other keys; keyed, so nothing can be tried out on it.
        made_at: When they were made.
        applied: Tells of the keys that the database has, and of the disk where it has them.
    """

    fingerprint: str
    made_at: datetime
    applied: str = ""


class RlsStatus(Observed):
    """Row-level security in the database as it was put there and as it was found.

    Attributes:
        mode: The mode that was applied.
        generation: The generation of the wish that was applied.
        checked_at: When it was last looked at.
        drift: The tables where somebody changed it by hand.
    """

    mode: RlsMode
    generation: int
    checked_at: datetime | None = None
    drift: list[str] = Field(default_factory=list)


class NetlifyStatus(Observed):
    """What the front end was told.

    Attributes:
        fingerprint: Of the address and key that were written; keyed.
        build: The title of the build that was asked for with them.
        deploy: Netlify's id of the deploy in which that build ends.
        asked_at: When the build was asked for.
    """

    fingerprint: str = ""
    build: str = ""
    deploy: str = ""
    asked_at: datetime | None = None


MoveStep = Literal["Stop", "Create", "Copy", "Verify", "Switch", "Remove"]


class MoveStatus(Observed):
    """A move to another region.

    Attributes:
        source: The region that it leaves.
        target: The region where it goes.
        step: What is being done.
        since: When the move began.
        machines: The names of the Machines that take over, by service.
        tables: How many tables were compared.
        rows: How many rows both databases have.
    """

    source: Region
    target: Region
    step: MoveStep = "Stop"
    since: datetime
    machines: dict[Service, str] = Field(default_factory=dict)
    tables: int | None = None
    rows: int | None = None


# A wish, half an hour without traffic, an account that may not run anything.
StoppedFor = Literal["Wish", "Idle", "Account"]
Connection = Literal["None", "Partial", "Full", "Unsafe"]


class DevEnvStatus(Status):
    """What there is. No address and no key stands here: they are told only to whom they concern.

    Attributes:
        prefix: What the names of all its apps begin with.
        network: The private network of all its apps.
        region: Where its data is.
        services: Its services, in the order in which they start.
        connection: What its users are told: nothing, addresses, everything, everything as unsafe.
        told: Fingerprint of that; keyed.
        missing: What has to be there before it is made, and is not.
        stopped_for: Why it is down, or on its way there; None while it shall be up.
        last_started_at: When all its services were last ready.
        last_stopped_at: When it was last told to stop.
        last_activity_at: When there was last traffic.
        idle_at: When it will be stopped if there is no traffic.
        starting_since: Since when it has been on its way up.
        warm_up_seconds: How long its last start took, in seconds.
        keys: Its keys.
        rls: Row-level security.
        netlify: What its front end was told.
        move: The move to another region that is under way.
        moves: How often it has moved.
        cost: What it costs.
    """

    prefix: str = ""
    network: str = ""
    region: str | None = None
    services: list[ServiceStatus] = Field(default_factory=list)
    connection: Connection = "None"
    told: str = ""
    missing: list[str] = Field(default_factory=list)
    stopped_for: StoppedFor | None = None
    last_started_at: datetime | None = None
    last_stopped_at: datetime | None = None
    last_activity_at: datetime | None = None
    idle_at: datetime | None = None
    starting_since: datetime | None = None
    warm_up_seconds: float | None = None
    keys: KeysStatus | None = None
    rls: RlsStatus | None = None
    netlify: NetlifyStatus | None = None
    move: MoveStatus | None = None
    moves: int = 0
    cost: Cost | None = None

    def service(self, name: Service) -> ServiceStatus | None:
        """What is known of a service."""
        return next((service for service in self.services if service.name == name), None)


# Its Machines carry its name as a label, whose values are no longer.
LONGEST_NAME: Final = 63


def _not_too_long(metadata: ObjectMeta) -> ObjectMeta:
    if len(metadata.name) > LONGEST_NAME:
        raise ValueError(f"name: must have at most {LONGEST_NAME} characters")
    return metadata


class DevEnv(Powered):
    """A Supabase of six services for one app of one client."""

    KIND: ClassVar[str] = "DevEnv"
    PLURAL: ClassVar[str] = "devenvs"
    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("de",)
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("Client", ".spec.client"),
        Column("App", ".spec.app"),
        Column("Power", ".spec.power"),
        Column("Phase", ".status.phase"),
        READY,
        Column("Connection", ".status.connection"),
        Column("Region", ".status.region", priority=1),
        Column("RLS", ".spec.rlsMode", priority=1),
        Column("Idle-At", ".status.idleAt", priority=1),
        Column("Auto-Stop-USD", ".status.cost.autoStopUsd", "number", 1),
        REASON,
    )
    SELECTABLE: ClassVar[tuple[str, ...]] = (
        "spec.client",
        "spec.app",
        "spec.power",
        "spec.siloId",
        "status.phase",
    )
    OWNER_FIELDS: ClassVar[frozenset[str]] = frozenset(
        {
            "power",
            "client",
            "app",
            "siloId",
            "region",
            "studio",
            "rlsMode",
            "autoStopMinutes",
            "netlify",
            "previewUrl",
            "wakeAt",
            "restartAt",
            "rotateAt",
            "rotateOnRestart",
        }
    )
    SUPPORT_FIELDS: ClassVar[frozenset[str]] = frozenset({"wakeAt", "restartAt"})

    metadata: Annotated[ObjectMeta, AfterValidator(_not_too_long)]
    spec: DevEnvSpec
    status: DevEnvStatus = Field(default_factory=DevEnvStatus)

    @property
    def silo_id(self) -> str:
        """What it is called in the silos' own words."""
        return self.spec.silo_id or self.metadata.name


def cost_of(spec: DevEnvSpec) -> Cost:
    """What a dev environment costs a month, always on and with auto-stop."""
    disks = sum(spec.volume_of(service) or 0 for service in spec.services)
    disks_usd = disks * MONTHLY_VOLUME_USD_PER_GB
    machines_usd = sum(monthly_cost_usd(spec.size_of(service), 0) for service in spec.services)
    worked = machines_usd * MONTHLY_WORKING_HOURS / MONTHLY_HOURS
    auto_stop = machines_usd if spec.auto_stop_minutes is None else worked
    return Cost(
        always_on_usd=round(machines_usd + disks_usd, 2),
        auto_stop_usd=round(auto_stop + disks_usd, 2),
    )
