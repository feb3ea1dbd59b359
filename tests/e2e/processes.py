"""Processes as the kernel shows them: whose they are, what they run, whether any is left."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """A process; its start time tells it from a later one of the same number."""

    pid: int
    parent: int
    started: int
    command: tuple[str, ...]

    def kill(self) -> None:
        """Send SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)


def marked(mark: str) -> list[Process]:
    """The live processes that were started with ``mark`` in their command or environment.

    The path of a state directory marks everything that belongs to it, adopted orphans too.
    """
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [found for pid in pids if (found := _read(pid, os.fsencode(mark))) is not None]


def running(processes: Sequence[Process], *words: str) -> list[Process]:
    """Those of the processes whose command holds all the words, one an argument."""
    return [process for process in processes if set(words) <= set(process.command)]


def _read(pid: int, mark: bytes) -> Process | None:
    place = Path("/proc") / str(pid)
    try:
        command = (place / "cmdline").read_bytes()
        if mark not in command and mark not in (place / "environ").read_bytes():
            return None
        fields = (place / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # gone meanwhile, or somebody else's
        return None
    state, parent, started = fields[0], int(fields[1]), int(fields[19])
    if state == "Z" or pid == os.getpid():
        return None
    words = command.rstrip(b"\0").split(b"\0")
    return Process(pid, parent, started, tuple(map(os.fsdecode, words)))
