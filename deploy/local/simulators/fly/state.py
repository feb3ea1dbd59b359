"""What Fly remembers."""

from dataclasses import dataclass, field
from typing import Any

PERSISTENT = frozenset({"created", "started", "stopped", "suspended", "failed"})
TERMINAL = frozenset({"destroyed", "replaced", "migrated"})
SETTLED = (PERSISTENT - {"created"}) | TERMINAL
RUNNING = frozenset({"started", "starting", "restarting"})
WAITABLE = frozenset({"started", "stopped", "suspended", "destroyed", "failed", "settled"})

REGIONS = (
    "ams arn bom cdg dfw ewr fra gru iad jnb lax lhr nrt ord sin sjc syd yyz"
).split()  # what the platform offers today


class FlyError(Exception):
    """A refusal, in the shape of the Machines API.

    Attributes:
        status: HTTP status.
        error: the text, which the real API does not promise to keep.
        code: the machine-readable `status`, empty where Fly gives none.
    """

    def __init__(self, status: int, error: str, code: str = "") -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.code = code

    def body(self) -> dict[str, str]:
        """Return the answer's body."""
        return {"error": self.error, **({"status": self.code} if self.code else {})}


@dataclass(slots=True)
class Address:
    """An address an app was given."""

    ip: str
    type: str
    region: str
    shared: bool
    created_at: float
    network: str | None = None


@dataclass(slots=True)
class App:
    """An app, ours or somebody else's."""

    id: str
    name: str
    org: str
    network: str
    created_at: float
    visible_at: float = 0
    idempotency_key: str = ""
    number: int = 0
    addresses: list[Address] = field(default_factory=list)
    machines: dict[str, None] = field(default_factory=dict)
    volumes: dict[str, None] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    secrets_version: int = 0


@dataclass(slots=True)
class Snapshot:
    """A volume's snapshot."""

    id: str
    created_at: float
    ready_at: float
    size_gb: int


@dataclass(slots=True)
class Volume:
    """A volume.

    `state` is `created` until it is on its way out; a fork (`forked_from`) is `hydrating` first.
    """

    id: str
    app: str
    name: str
    region: str
    size_gb: int
    created_at: float
    state: str = "created"
    encrypted: bool = True
    machine: str | None = None
    auto_backup: bool = True
    retention_days: int = 5
    updated_at: float = 0
    restored_from: str = ""
    forked_from: str = ""
    snapshots: list[Snapshot] = field(default_factory=list)


@dataclass(slots=True)
class Event:
    """An entry of a machine's history."""

    id: str
    type: str
    status: str
    source: str
    at: float
    request: dict[str, Any] | None = None

    def view(self) -> dict[str, Any]:
        """Return it as the API shows it; the time is in milliseconds."""
        body: dict[str, Any] = {
            "id": self.id,
            "type": self.type,
            "status": self.status,
            "source": self.source,
            "timestamp": int(self.at * 1000),
        }
        return body | ({"request": self.request} if self.request else {})


@dataclass(slots=True)
class Lease:
    """Somebody's exclusive hold on a machine."""

    nonce: str
    owner: str
    description: str
    expires_at: float
    version: str


@dataclass(frozen=True, slots=True)
class CheckRun:
    """What the last run of a check found, and when."""

    status: str
    output: str
    at: float


@dataclass(slots=True)
class Machine:
    """A machine.

    `epoch` counts the orders it was given: a transition that finds another one has been overtaken.
    `checks` are the last runs since the last start, by name.
    """

    id: str
    app: str
    name: str
    region: str
    config: dict[str, Any]
    version: str
    private_ip: str
    created_at: float
    state: str = "created"
    updated_at: float = 0
    volume: str | None = None
    cordoned: bool = False
    host_status: str = "ok"
    host_full: bool = False
    skip_launch: bool = False
    active_until: float = 0
    started_at: float = 0
    lease: Lease | None = None
    epoch: int = 0
    stop_timeout: float | None = None
    restarts: list[float] = field(default_factory=list)
    checks: dict[str, CheckRun] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    versions: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        """The environment of its processes."""
        return self.config.get("env") or {}

    @property
    def services(self) -> list[dict[str, Any]]:
        """What the proxy may reach."""
        return self.config.get("services") or []


@dataclass(slots=True)
class FlyTimings:
    """How long things take, in seconds; the defaults suit a person who is watching."""

    api_seconds: float = 0
    app_visible_after_seconds: float = 0
    image_pull_seconds: float = 0.3
    boot_seconds: float = 0.5
    resume_seconds: float = 0.1
    stop_seconds: float = 0.3
    stop_settle_seconds: float = 0.2
    update_seconds: float = 0.4
    destroy_seconds: float = 0.5
    volume_release_seconds: float = 0.5
    deleted_volume_lists_seconds: float = 0
    snapshot_seconds: float = 1
    hydrate_seconds: float = 1
    restart_delay_seconds: float = 1
    hang_seconds: float = 60
    autostart_seconds: float = 30
    autostop_seconds: float = 180

    @classmethod
    def instant(cls) -> "FlyTimings":
        """Return timings under which every transition ends at the loop's next turns."""
        return cls(
            image_pull_seconds=0,
            boot_seconds=0,
            resume_seconds=0,
            stop_seconds=0,
            stop_settle_seconds=0,
            update_seconds=0,
            destroy_seconds=0,
            volume_release_seconds=0,
            snapshot_seconds=0,
            hydrate_seconds=0,
            restart_delay_seconds=0,
        )
