"""Everything that belongs to a terminal: the processes of its session (setsid(2))."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import Final

GRACE_SECONDS: Final = 2.0
"""How long programs have to heed a hangup."""

_STATE = 0  # of /proc/<pid>/stat, counted behind the command's closing parenthesis
_SESSION = 3
_ZOMBIE = "Z"
_FIRST_LOOK_SECONDS: Final = 0.01


def members(leader: int) -> list[int]:
    """Return the processes of a session, by its leader's pid; none but on Linux."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[_SESSION]) == leader and fields[_STATE] != _ZOMBIE:
                found.append(int(stat.parent.name))
    return found


async def end(leader: int, grace: float = GRACE_SECONDS) -> None:
    """Hang up on all processes of a session, and kill what does not heed it.

    Args:
        leader: The session leader's pid.
        grace: How long to wait in between, in seconds.
    """
    left, wait = members(leader), _FIRST_LOOK_SECONDS
    _signal(left, signal.SIGHUP, signal.SIGCONT)
    deadline = asyncio.get_running_loop().time() + grace
    while left and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(wait)
        wait *= 2
        left = members(leader)
    while left:
        _signal(left, signal.SIGKILL)
        await asyncio.sleep(_FIRST_LOOK_SECONDS)
        left = members(leader)


def _signal(pids: list[int], *numbers: signal.Signals) -> None:
    for pid in pids:
        for number in numbers:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
