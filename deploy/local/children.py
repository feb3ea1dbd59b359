"""Child processes that cannot outlive their parent."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

SHIM = Path(__file__).with_name("shim.py")


def bound(
    command: Sequence[str], *, death_signal: int = signal.SIGTERM, user: int | None = None
) -> list[str]:
    """Return a command line that runs ``command`` and dies with this process.

    Start it from a thread that lives as long as the child shall: the kernel watches the thread.

    Args:
        command: The program and its arguments.
        death_signal: What the kernel sends the child when this process goes.
        user: The uid and gid to run as; only root may ask for one.
    """
    options = ["--parent", str(os.getpid()), "--signal", str(int(death_signal))]
    if user is not None:
        options += ["--user", str(user)]
    return [sys.executable, "-IS", str(SHIM), *options, "--", *command]
