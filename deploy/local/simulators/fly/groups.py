"""Process groups of machines: how they are started, recognised and ended."""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.local import shim

_START_FIELD = 19  # of /proc/<pid>/stat, counted behind the command's closing parenthesis


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def started_at(pid: int) -> int | None:
    """Return when a process started, in ticks since the boot; None where that cannot be known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[_START_FIELD])


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal a process and all of its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def signal_one(pid: int, number: signal.Signals) -> None:
    """Signal one process."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def lives(pid: int) -> bool:
    """Return whether anything is left of a process's group."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def told(name: str, under: Path) -> Iterator[int]:
    """Yield the processes whose environment names a folder, or one in it; none but on Linux.

    Args:
        name: The variable.
        under: The folder.
    """
    sought = f"{name}={under}{os.sep}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            entries = environment.read_bytes().split(b"\0")
            if any((entry + os.sep.encode()).startswith(sought) for entry in entries):
                yield int(environment.parent.name)


def dying_with_us(command: list[str]) -> list[str]:
    """Return a command that ends when this process does; on Linux only."""
    if sys.platform != "linux":
        return command
    options = ["--parent", str(os.getpid()), "--signal", str(int(signal.SIGKILL)), "--"]
    return [sys.executable, shim.__file__, *options, *command]
