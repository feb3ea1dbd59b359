"""How the exit code of a program in tmux is learnt, also by a gateway that comes later.

tmux forgets what a pane has put out last when the pane ends, and with it the code.
So the program runs under a shell that stays, and that offers the code at a named pipe until it is
ended: opening the pipe waits for a reader.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

# A reader that goes at the wrong moment must not end the shell: hence PIPE.
# The traps before keep it from ending with what the terminal's keys send to everybody there;
# unlike ignored signals they are not inherited.
_STAYING: Final = (
    'pipe=$1; shift; trap : INT QUIT; "$@"; code=$?; trap "" INT QUIT PIPE; '
    'while [ -p "$pipe" ]; do echo $code > "$pipe"; sleep 1; done'
)
_MOST_CODE: Final = 64


def wrapped(command: Sequence[str], pipe: Path) -> list[str]:
    """Return a command that tells a command's exit code at a named pipe.

    Args:
        command: The command; it is not to know that tmux is there, or it could not run its own.
        pipe: The pipe.
    """
    hidden = ("env", "-u", "TMUX", "-u", "TMUX_PANE")
    return ["/bin/sh", "-c", _STAYING, "sh", str(pipe), *hidden, *command]


class ExitPipe:
    """Listens at a named pipe for an exit code.

    Args:
        path: The pipe; without one nothing is ever heard.
        told: Called with the code, once.
    """

    def __init__(self, path: Path, told: Callable[[int], None]) -> None:
        self._path = path
        self._told = told
        self._descriptor: int | None = None
        self._open()

    def close(self) -> None:
        """Stop listening."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)

    def _read(self) -> None:
        if self._descriptor is None:
            return
        text = os.read(self._descriptor, _MOST_CODE).split()
        self.close()
        if text and text[0].isdigit():
            self._told(int(text[0]))
        else:
            # Whoever opened it has gone without a word.
            self._open()

    def _open(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            asyncio.get_running_loop().add_reader(self._descriptor, self._read)
