"""Child processes that cannot outlive their parent."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

SHIM = Path(__file__).with_name("shim.py")


def bound(
    command: Sequence[str],
    *,
    death_signal: int = signal.SIGTERM,
    user: int | None = None,
    reach: Sequence[Path] = (),
) -> list[str]:
    """Return a command line that runs ``command`` and dies with this process.

    Start it from a thread that lives as long as the child shall: the kernel watches the thread.

    Args:
        command: The program and its arguments.
        death_signal: What the kernel sends the child when this process goes.
        user: The uid and gid to run as; only root may ask for one.
        reach: What that user must be able to get at, through directories closed to others.
    """
    options = ["--parent", str(os.getpid()), "--signal", str(int(death_signal))]
    if user is not None:
        options += ["--user", str(user)]
        if any(_is_closed(path) for path in reach):
            options.append("--search")
    return [sys.executable, "-IS", str(SHIM), *options, "--", *command]


def _is_closed(path: Path) -> bool:
    """Whether a directory on the way to ``path`` keeps others out."""
    parents = path.resolve().parents
    return any(parent.exists() and not parent.stat().st_mode & 0o001 for parent in parents)
