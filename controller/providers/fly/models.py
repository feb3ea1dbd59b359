"""The parts of Fly's answers that decisions are made from.

Only the needed fields are kept (memory is the reason, PERFORMANCE.md), unknown ones are ignored,
and `null` is taken where the specification says otherwise, because real answers carry it
(PROVIDERS.md).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    model_validator,
)

TRANSIENT_STATES = frozenset(
    {
        "creating",
        "starting",
        "stopping",
        "restarting",
        "suspending",
        "destroying",
        "updating",
        "replacing",
    }
)
FAILED_STATES = frozenset({"failed", "launch_failed"})
"""It did not come to run, and a start may not help."""
TERMINAL_STATES = frozenset({"destroyed", "replaced", "migrated"})
GONE_VOLUME_STATES = frozenset({"scheduling_destroy", "pending_destroy", "destroyed"})
"""A volume that is on its way out cannot be used any more."""

AddressType = Literal[
    "v4", "v6", "shared_v4", "private_v6", "egress_v4", "egress_v6", "egress_pair"
]
WaitState = Literal["started", "stopped", "suspended", "destroyed", "failed", "settled"]


def _empty_string(value: Any) -> Any:
    return "" if value is None else value


def _empty_list(value: Any) -> Any:
    return [] if value is None else value


def _empty_dict(value: Any) -> Any:
    return {} if value is None else value


def _moment(value: Any) -> Any:
    return None if value in ("", 0) else value


Text = Annotated[str, BeforeValidator(_empty_string)]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]
Document = Annotated[dict[str, Any], BeforeValidator(_empty_dict)]
Labels = Annotated[dict[str, str], BeforeValidator(_empty_dict)]


class Model(BaseModel):
    """An answer: frozen, unknown fields ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class App(Model):
    """One app; also an item of the list of apps."""

    name: str
    id: Text = ""
    status: Text = ""
    network: Text = ""
    machine_count: int | None = None
    volume_count: int | None = None
    organization: str | None = Field(
        default=None, validation_alias=AliasPath("organization", "slug")
    )


class AppPage(Model):
    """One page of the organisation's apps."""

    apps: Annotated[list[App], BeforeValidator(_empty_list)] = []
    next_cursor: Text = ""


class IPAssignment(Model):
    """An address of an app."""

    ip: Text = ""
    shared: bool | None = None
    region: Text = ""
    service_name: Text = ""
    created_at: Moment = None

    @property
    def kind(self) -> str:
        """`shared_v4`, `v4`, `v6` or `private_v6`: the type that was asked for."""
        if ":" in self.ip:
            return "private_v6" if self.ip.lower().startswith("fd") else "v6"
        return "shared_v4" if self.shared else "v4"


class Volume(Model):
    """A volume; ids are assigned by Fly and names are not unique (PROVIDERS.md)."""

    id: str
    name: Text = ""
    state: Text = ""
    region: Text = ""
    size_gb: int = 0
    zone: Text = ""
    encrypted: bool | None = None
    attached_machine_id: str | None = None
    host_status: Text = ""
    created_at: Moment = None


class OrgVolume(Volume):
    """A volume in the organisation-wide list."""

    app_name: Text = ""
    updated_at: Moment = None


class MachineEvent(Model):
    """One entry of a machine's short history."""

    type: Text = ""
    status: Text = ""
    source: Text = ""
    timestamp: int = 0
    request: Document = {}


@dataclass(frozen=True, slots=True)
class ExitEvent:
    """How the machine's process ended.

    `at` is the moment of the exit, None when Fly did not say.
    """

    exit_code: int
    oom_killed: bool
    requested_stop: bool
    at: datetime | None


class ImageRef(Model):
    """The image that a machine was really started from."""

    registry: Text = ""
    repository: Text = ""
    tag: Text = ""
    digest: Text = ""


def _with_version(data: Any) -> Any:
    """Fill `version` from its deprecated name."""
    if isinstance(data, dict) and not data.get("version"):
        return {**data, "version": data.get("instance_id") or ""}
    return data


def normalise_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config with `services[].autostop` as a string.

    Answers carry booleans for `off` and `stop` where requests carry strings (PROVIDERS.md).
    """
    services = config.get("services")
    if not services:
        return config
    return {**config, "services": [_normalise_service(service) for service in services]}


def _normalise_service(service: dict[str, Any]) -> dict[str, Any]:
    autostop = service.get("autostop")
    if not isinstance(autostop, bool):
        return service
    return {**service, "autostop": "stop" if autostop else "off"}


def _config(value: Any) -> Any:
    return normalise_config(value) if isinstance(value, dict) else _empty_dict(value)


class CheckStatus(Model):
    """What the last run of one of a machine's checks found."""

    name: Text = ""
    status: Text = ""
    output: Text = ""
    updated_at: Moment = None

    @property
    def passing(self) -> bool:
        """Whether it found the machine well; `warning` is before the first run, or a doubt."""
        return self.status == "passing"


class Ran(Model):
    """What a command in a machine came to; its output may hold anything."""

    exit_code: int = 0
    stdout: Text = Field(default="", repr=False)
    stderr: Text = Field(default="", repr=False)


class FlyMachine(Model):
    """One machine with its config.

    `config` is empty when the host is unreachable; `incomplete_config` may then say a part.
    """

    id: str
    name: Text = ""
    state: Text = ""
    region: Text = ""
    version: Text = ""
    config: Annotated[dict[str, Any], BeforeValidator(_config)] = {}
    incomplete_config: Annotated[dict[str, Any], BeforeValidator(_config)] = {}
    host_status: Text = ""
    private_ip: Text = ""
    cordoned: bool | None = None
    image_ref: ImageRef | None = None
    events: Annotated[list[MachineEvent], BeforeValidator(_empty_list)] = []
    checks: Annotated[list[CheckStatus], BeforeValidator(_empty_list)] = []
    created_at: Moment = None
    updated_at: Moment = None

    _version = model_validator(mode="before")(_with_version)

    @property
    def metadata(self) -> dict[str, str]:
        """The marks on the machine; from the incomplete config when that is all there is."""
        return (self.config or self.incomplete_config).get("metadata") or {}

    @property
    def reachable(self) -> bool:
        """Whether the host answers; an unreachable host's machine can come back."""
        return self.host_status != "unreachable"

    @property
    def passing(self) -> bool:
        """Whether it has checks, and all of them found it well."""
        return bool(self.checks) and all(check.passing for check in self.checks)

    def last_exit(self) -> ExitEvent | None:
        """The newest exit in the events, or None."""
        exits = [event for event in self.events if event.type == "exit"]
        newest = max(exits, key=lambda event: event.timestamp, default=None)
        return None if newest is None else _exit_event(newest)

    def last_start(self) -> datetime | None:
        """When its process last started, by the events; None when they do not say."""
        starts = [e.timestamp for e in self.events if (e.type, e.status) == ("start", "started")]
        return datetime.fromtimestamp(max(starts) / 1000, UTC) if any(starts) else None


def _exit_event(event: MachineEvent) -> ExitEvent:
    request = event.request
    detail = request.get("exit_event") or (request.get("MonitorEvent") or {}).get("exit_event")
    detail = detail or {}
    code = detail.get("exit_code")
    return ExitEvent(
        exit_code=0 if code is None else int(code),
        oom_killed=bool(detail.get("oom_killed")),
        requested_stop=bool(detail.get("requested_stop")),
        at=datetime.fromtimestamp(event.timestamp / 1000, UTC) if event.timestamp else None,
    )


class OrgMachine(Model):
    """A machine in the organisation-wide list; of its config only what identifies it."""

    id: str
    app_name: Text = ""
    name: Text = ""
    state: Text = ""
    region: Text = ""
    version: Text = ""
    image: Text = Field(default="", validation_alias=AliasPath("config", "image"))
    metadata: Labels = Field(default={}, validation_alias=AliasPath("config", "metadata"))
    created_at: Moment = None
    updated_at: Moment = None

    _version = model_validator(mode="before")(_with_version)


class OrgMachinePage(Model):
    """One page; it may be short or empty with more to come.

    Nothing may be concluded about what is absent in a region of `error_regions`.
    """

    machines: Annotated[list[OrgMachine], BeforeValidator(_empty_list)] = []
    next_cursor: Text = ""
    last_updated_at: Moment = None
    error_regions: Annotated[list[str], BeforeValidator(_empty_list)] = []


class OrgVolumePage(Model):
    """One page of volumes; the same caution as for machines."""

    volumes: Annotated[list[OrgVolume], BeforeValidator(_empty_list)] = []
    next_cursor: Text = ""
    last_updated_at: Moment = None
    error_regions: Annotated[list[str], BeforeValidator(_empty_list)] = []


class Lease(Model):
    """An exclusive right to change a machine.

    Accepts the flat answer and the one in an envelope (PROVIDERS.md).
    """

    nonce: str = Field(repr=False)
    owner: Text = ""
    description: Text = ""
    version: Text = ""
    expires_at: Moment = None

    @model_validator(mode="before")
    @classmethod
    def _unwrap(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("data"), dict):
            return data["data"]
        return data


class Region(Model):
    """A place where machines can run."""

    code: str
    name: Text = ""
    deprecated: bool | None = None
    gateway_available: bool | None = None
    requires_paid_plan: bool | None = None


class Regions(Model):
    """The answer to what regions there are."""

    regions: Annotated[list[Region], BeforeValidator(_empty_list)] = []
    nearest: Text = ""


class Started(Model):
    """What a start says about the machine before it."""

    previous_state: Text = ""
    migrated: bool | None = None
    new_host: Text = ""


class Waited(Model):
    """What a wait ended with; `state` and `version` are empty when Fly did not say."""

    ok: bool | None = None
    state: Text = ""
    version: Text = ""


class Extended(Model):
    """A grown volume, and whether the machine must restart to see it."""

    volume: Volume
    needs_restart: bool | None = None


class IPAssignments(Model):
    """The addresses of an app."""

    ips: Annotated[list[IPAssignment], BeforeValidator(_empty_list)] = []


class AppSecret(Model):
    """A secret of an app, without its value."""

    name: str


class SecretList(Model):
    """The secrets of an app."""

    secrets: Annotated[list[AppSecret], BeforeValidator(_empty_list)] = []


class MachineList(RootModel[Annotated[list[FlyMachine], BeforeValidator(_empty_list)]]):
    """The machines of an app."""


class VolumeList(RootModel[Annotated[list[Volume], BeforeValidator(_empty_list)]]):
    """The volumes of an app."""
