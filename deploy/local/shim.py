"""Exec shim: run a command that dies with its parent.

Started as a file by a bare interpreter, so it may import nothing of ours.
Doing this between fork and exec of the parent instead (``preexec_fn``) may deadlock
as soon as the parent has a second thread.
"""

import argparse
import ctypes
import os
import sys

# From linux/prctl.h, linux/securebits.h and linux/capability.h.
_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522


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


def become_searching(uid: int) -> None:
    """Drop root like `become`, but keep the right to pass through closed directories.

    A tree below a home that is open to its owner only is one that another user cannot reach.

    Raises:
        OSError: The kernel grants neither of the two capabilities that would do.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    # With this, capabilities outlive the change of user, and access(2) respects them.
    libc.prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0)
    become(uid)
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
        bit = 1 << capability
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        # Effective, permitted, inheritable; the second three are for numbers above 31.
        data = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
        if libc.capset(header, data) == 0:
            libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)
            return
    raise OSError(ctypes.get_errno(), "capset")


def main() -> None:
    """Parse the shim's options, apply them and become the command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--signal", type=int, required=True)
    parser.add_argument("--user", type=int)
    parser.add_argument("--search", action="store_true", help="reach closed directories as --user")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.command[1:] if options.command[0] == "--" else options.command
    if options.user is not None:
        # First: a change of credentials clears the death signal.
        (become_searching if options.search else become)(options.user)
    die_with(options.parent, options.signal)
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
