"""A droplet's first process: starts the gateway again and again, and ends everything at the end.

Started as a file by a bare interpreter, so it may import nothing of ours.
Whatever is started in the droplet and loses its parent becomes a child of this process, as on a
machine; so nothing of it is left when this process is told to end, or its own parent dies.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # from linux/prctl.h
_PARENT_FIELD = 1  # of /proc/<pid>/stat, counted behind the command's closing parenthesis
_RESTART_SECONDS = 1.0  # a real droplet's unit waits for 5 s, which nobody here has to
_LOOK_SECONDS = 0.01


def descendants() -> list[int]:
    """Return the processes below this one."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
            children.setdefault(int(fields[_PARENT_FIELD]), []).append(int(stat.parent.name))
    found, left = [], [os.getpid()]
    while left:
        below = children.get(left.pop(), [])
        found += below
        left += below
    return found


def end_all(*_: object) -> None:
    """Kill everything below this process, as the loss of power does, and end."""
    while alive := descendants():
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(_LOOK_SECONDS)
    os._exit(0)


def reap_until(pid: int) -> int:
    """Reap whatever ends until one process has; return its exit status."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def main() -> None:
    """Run a command for ever, unless it ends with the status that forbids it."""
    final, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, end_all)
    while True:
        process = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - it is given by our parent
        if reap_until(process.pid) == int(final):
            break
        time.sleep(_RESTART_SECONDS)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
