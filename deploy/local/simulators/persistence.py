"""A simulator's state in a file, so that the next start finds what the last one left."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

_PAUSE_PER_WRITE = 10


class Persistent(Protocol):
    """What can be saved."""

    on_change: Callable[[], None] | None

    def dump(self) -> dict[str, Any]:
        """Return everything as JSON."""

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `dump` returned."""


class StateFile:
    """Saves a simulator soon after it changed.

    The file is replaced whole, so that a kill -9 at any point leaves the former or the new
    state, never half of one.

    Args:
        path: the JSON file.
        subject: what is saved.
        delay_seconds: how long changes are gathered before they are written.
    """

    def __init__(self, path: Path, subject: Persistent, delay_seconds: float = 0.1) -> None:
        self.path = path
        self.subject = subject
        self.delay_seconds = delay_seconds
        self.pause_seconds = delay_seconds
        self._due: asyncio.TimerHandle | None = None

    def open(self) -> bool:
        """Load what was saved and begin to watch; return whether there was anything."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        found = self.path.exists()
        if found:
            self.subject.load(json.loads(self.path.read_text()))
        self.subject.on_change = self._changed
        return found

    def save(self) -> None:
        """Write the state now."""
        self._due = None
        loop = asyncio.get_running_loop()
        began = loop.time()
        beside = self.path.with_suffix(".tmp")
        with beside.open("w") as file:
            json.dump(self.subject.dump(), file, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)
        # A large state must not keep the simulator busy with writing.
        self.pause_seconds = max(self.delay_seconds, _PAUSE_PER_WRITE * (loop.time() - began))

    def close(self) -> None:
        """Stop watching and write a last time."""
        self.subject.on_change = None
        if self._due:
            self._due.cancel()
        self.save()

    def _changed(self) -> None:
        if self._due is None:
            loop = asyncio.get_running_loop()
            self._due = loop.call_later(self.pause_seconds, self.save)
