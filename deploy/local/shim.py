"""Exec shim: run a command that dies with its parent.

Started as a file by a bare interpreter, so it may import nothing of ours.
Doing this between fork and exec of the parent instead (``preexec_fn``) may deadlock
as soon as the parent has a second thread.
"""

import argparse
import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def die_with(parent: int, signal_number: int) -> None:
    """Let the kernel send ``signal_number`` to this process when ``parent`` goes.

    The kernel watches the parent *thread* that forked us:
    whoever starts children through the shim does so from a thread that lives as long as they do.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before we asked
        sys.exit(1)


def become(uid: int) -> None:
    """Drop root for ``uid`` and the group of the same number, for good."""
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def main() -> None:
    """Parse the shim's options, apply them and become the command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--signal", type=int, required=True)
    parser.add_argument("--user", type=int)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.command[1:] if options.command[0] == "--" else options.command
    if options.user is not None:
        become(options.user)  # first: a change of credentials clears the death signal
    die_with(options.parent, options.signal)
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
