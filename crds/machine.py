"""Machine: one Fly app with its addresses, one volume, one machine."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import AwareDatetime, Field, model_validator

from crds.compute import CheckedSize, MachineSize, Region
from crds.meta import READY, REASON, Column, Model, Observed, Resource, Status
from crds.workspace import Recreate

Power = Literal["Running", "Asleep", "Stopped"]


class VolumeSpec(Model):
    """The disk that survives everything but deletion.

    Attributes:
        size_gb: Its size in GB; it never shrinks.
        path: Where the machine finds it.
        source: Fly's id of the volume that it begins as a copy of; empty: it begins empty.
    """

    size_gb: int = Field(default=1, ge=1, le=500)
    path: str = Field(default="/data", pattern=r"^/[A-Za-z0-9_./-]+$")
    source: str = Field(default="", pattern=r"^[A-Za-z0-9_]*$")


class SecretRef(Model):
    """Variables that are kept among the secrets, never here.

    Attributes:
        name: The secret's name in the machine's namespace; its value is a JSON object of strings.
        fingerprint: Another one says that the value is another one.
    """

    name: str = Field(min_length=1, max_length=255)
    fingerprint: str = Field(min_length=1, max_length=64)


class Scrape(Model):
    """Where the provider's Prometheus finds a service's own metrics.

    Attributes:
        port: The port on which they are served.
        path: The path under which they are.
    """

    port: int = Field(ge=1, le=65535)
    path: str = Field(default="/metrics", pattern=r"^/")


class ServiceSpec(Model):
    """What an image runs that knows nothing of us: the provider's checks tell its health.

    Attributes:
        app: The Fly app's name, which is wished for and not ours to choose.
        network: The private network that it shares with its siblings; the mark on its app.
        public: Whether `https://<app>.fly.dev` leads to it; else only `<app>.flycast` does.
        check: How the provider finds out that it is well.
        check_path: Where an HTTP check asks.
        command: What runs instead of the image's own command.
        files: Texts that lie in the machine's file system, by absolute path; nothing secret.
        secrets: Variables of its environment that are secret.
        metrics: Where its own metrics are, if it has any.
        stop_signal: What asks it to end.
    """

    app: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    network: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    public: bool = False
    check: Literal["tcp", "http"] = "tcp"
    check_path: str = Field(default="/", pattern=r"^/")
    command: list[str] = Field(default_factory=list)
    files: dict[str, str] = Field(default_factory=dict)
    secrets: SecretRef | None = None
    metrics: Scrape | None = None
    stop_signal: Literal["SIGINT", "SIGTERM"] = "SIGTERM"


class MachineSpec(Model):
    """What should run.

    `Asleep` is stopped, but the provider's proxy may start it on a request and that is not drift;
    `Stopped` stays stopped.
    A process that runs and started before `restart_at` is restarted once.

    Attributes:
        power: Whether it shall run.
        account: The account that it belongs to.
        image: The container image that it runs.
        region: Fly's code of the region where it runs.
        size: How many processors and how much memory it has.
        volume: Its disk; when left out the usual one, and none for a service.
        port: The port on which the image answers.
        env: Variables of its environment; secrets have no place here.
        recreate: Whether another region means a new, empty machine or is refused.
        restart_at: What started before this moment is restarted once.
        service: What runs, when it is not our agent.
    """

    power: Power = "Running"
    account: str = Field(min_length=1)
    image: str = Field(min_length=1, max_length=512)
    region: Region = "iad"
    size: CheckedSize = Field(default_factory=MachineSize)
    volume: VolumeSpec | None = Field(default_factory=VolumeSpec)
    port: int = Field(default=8080, ge=1, le=65535)
    env: dict[str, str] = Field(default_factory=dict)
    recreate: Recreate = "Never"
    restart_at: AwareDatetime | None = None
    service: ServiceSpec | None = None

    @model_validator(mode="before")
    @classmethod
    def _services_need_no_disk(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("service") is not None:
            # No disk is a field that is left out, in JSON as it is kept.
            return {"volume": None, **data}
        return data


class Intent(Observed):
    """What is about to be done outside, written down before it is done.

    Attributes:
        operation: The provider operation, such as `volumes.create`.
        since: When it was last tried.
        attempt: How many times it was tried in a row.
    """

    operation: str
    since: datetime
    attempt: int = 1


class AppStatus(Observed):
    """The Fly app.

    Attributes:
        name: Its name, which the world shares; decided before it is asked for.
        names_taken: How many names before this one belonged to somebody else.
        created_at: When the provider confirmed it.
        addresses: Whether it has its addresses.
        assigned: The kinds of addresses that it surely has.
        missing_since: Since when it has not been found; None while it is.
        secrets: Fingerprint of the variables that it surely has.
    """

    name: str
    secrets: str = ""
    names_taken: int = 0
    created_at: datetime | None = None
    addresses: bool = False
    assigned: list[str] = Field(default_factory=list)
    missing_since: datetime | None = None


class VolumeStatus(Observed):
    """The Fly volume as last read.

    Attributes:
        id: Fly's id of the volume.
        region: The region where it is.
        size_gb: Its size in GB.
        region: Where it is.
        wished_region: Where it was asked for; a provider may put it elsewhere.
        used: Whether a machine may have written to it.
        missing_since: Since when it has not been found; None while it is.
    """

    id: str
    region: str
    size_gb: int
    wished_region: str = ""
    used: bool = False
    missing_since: datetime | None = None


class InstanceStatus(Observed):
    """The Fly machine as last read.

    Attributes:
        id: Fly's machine id.
        region: Where it was asked for; only told of machines that have no volume.
        version: Fly's version of its configuration.
        state: Fly's state, such as `started`.
        since: When this state was first seen.
        started_at: When it was last seen to start.
        start_told: Fly's word on when it last started, as last read: another one is another start.
        host_status: Fly's word on the host: ok, unknown, unreachable.
        cordoned: Whether the proxy sends it nothing.
        config_hash: Fingerprint of the config that this version was found to have.
        updated_at: Fly's word on when anything about it last changed.
        missing_since: Since when it has not been found; None while it is.
        nudges: How often a transition of it that was stuck has been helped on.
    """

    id: str
    region: str = ""
    version: str = ""
    state: str = "created"
    since: datetime
    started_at: datetime | None = None
    start_told: datetime | None = None
    host_status: str = "ok"
    cordoned: bool = False
    updated_at: datetime | None = None
    config_hash: str = ""
    missing_since: datetime | None = None
    nudges: int = 0


class Restarts(Observed):
    """The crash loop, if there is one.

    Attributes:
        count: Crashes since the machine was last healthy for ten minutes.
        last_exit_code: What the process last exited with.
        last_exit_at: When it did, by the provider's clock: tells one crash from the next.
        last_at: When the last crash was seen.
        next_at: When the next restart is due.
        since: When the first of them was seen.
        generation: The wish that they were counted for; another one begins anew.
        given_up_at: When restarting was given up, until somebody wishes for something else.
    """

    count: int = 0
    last_exit_code: int | None = None
    last_exit_at: datetime | None = None
    last_at: datetime | None = None
    next_at: datetime | None = None
    since: datetime | None = None
    generation: int = 0
    given_up_at: datetime | None = None


class MachineStatus(Status):
    """What runs.

    Attributes:
        app: The Fly app.
        volume: The Fly volume.
        copied: Of which volume its own surely was a complete copy once.
        instance: The Fly machine.
        intent: What is about to be done outside.
        restarts: Its crashes.
        url: Where the provider's proxy answers for it; a service's is not told here.
        resting_since: Since when it has been stopped because the spec said so.
        woken_at: When a sleeping machine was found started again.
        healthy_since: Since when its health endpoint has answered without a break.
        unreachable_since: Since when it has not answered although it is started.
    """

    app: AppStatus | None = None
    volume: VolumeStatus | None = None
    copied: str = ""
    instance: InstanceStatus | None = None
    intent: Intent | None = None
    restarts: Restarts = Field(default_factory=Restarts)
    url: str | None = None
    resting_since: datetime | None = None
    woken_at: datetime | None = None
    healthy_since: datetime | None = None
    unreachable_since: datetime | None = None


class Machine(Resource):
    """One machine with its disk."""

    KIND: ClassVar[str] = "Machine"
    PLURAL: ClassVar[str] = "machines"
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("Power", ".spec.power"),
        Column("Phase", ".status.phase"),
        READY,
        Column("Region", ".spec.region"),
        Column("Restarts", ".status.restarts.count", "integer"),
        Column("App", ".status.app.name", priority=1),
        Column("Instance", ".status.instance.id", priority=1),
        Column("Host", ".status.instance.hostStatus", priority=1),
        Column("Image", ".spec.image", priority=1),
        REASON,
    )
    SELECTABLE: ClassVar[tuple[str, ...]] = (
        "spec.account",
        "spec.power",
        "spec.region",
        "status.phase",
    )

    spec: MachineSpec
    status: MachineStatus = Field(default_factory=MachineStatus)
