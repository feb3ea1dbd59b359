"""What the agent knows of its machine: its age, its use, what is on its volume."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import anyio

IDLE_SECONDS: Final = 300.0
"""Without a request by the owner for this long the machine calls itself idle."""

State = Literal["running", "idle", "error"]


def _now() -> datetime:
    return datetime.now(UTC)


class Volume:
    """The few things the agent keeps on the machine's volume.

    Args:
        path: The mount.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def count_start(self) -> int:
        """Add one to the number of starts of this volume and return it."""
        starts = self.starts() + 1
        self._write("starts", str(starts))
        return starts

    def starts(self) -> int:
        """How many times an agent has started on this volume."""
        try:
            return int(self._read("starts"))
        except ValueError:
            return 0

    def notes(self) -> str:
        """The owner's notes."""
        return self._read("notes.txt")

    def keep_notes(self, text: str) -> None:
        """Replace the owner's notes; they are on the disk when this returns."""
        self._write("notes.txt", text)

    def is_usable(self) -> bool:
        """Whether the volume can be written to."""
        return os.access(self._path, os.W_OK | os.X_OK)

    def _read(self, name: str) -> str:
        try:
            return (self._path / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def _write(self, name: str, text: str) -> None:
        """Write beside the file and rename: a machine may be killed at any moment."""
        descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=self._path)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self._path / name)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise


class Activity:
    """When the agent started and when its owner last asked for something.

    Args:
        clock: Monotonic seconds.
        now: The time of day.
    """

    def __init__(
        self,
        clock: Callable[[], float] = anyio.current_time,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._clock = clock
        self._now = now
        self._started = self._touched = clock()
        self._last = now()

    def touch(self) -> None:
        """Note that the owner has just used the machine."""
        self._touched = self._clock()
        self._last = self._now()

    @property
    def uptime(self) -> float:
        """Seconds since the start."""
        return round(self._clock() - self._started, 3)

    @property
    def last_activity_at(self) -> str:
        """RFC 3339; the start counts, since somebody wanted the machine then."""
        return self._last.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    @property
    def is_idle(self) -> bool:
        """Whether the owner has been away for longer than `IDLE_SECONDS`."""
        return self._clock() - self._touched >= IDLE_SECONDS


class Machine:
    """The machine as its heartbeats describe it.

    Args:
        uid: The Machine's uid.
        version: The image's version.
        volume: Its volume.
        activity: Its owner's activity.
    """

    def __init__(self, uid: str, version: str, volume: Volume, activity: Activity) -> None:
        self.uid = uid
        self.version = version
        self.volume = volume
        self.activity = activity
        self.subdomain: str | None = None
        self.url: str | None = None
        self.last_heartbeat_at: str | None = None

    @property
    def state(self) -> State:
        """`error` without a volume to write to, else whether the owner is about."""
        if not self.volume.is_usable():
            return "error"
        return "idle" if self.activity.is_idle else "running"
