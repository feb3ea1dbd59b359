"""Sessions on a pseudo-terminal of the gateway's own, where there is no tmux."""

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import Callable
from typing import Final

from deploy.gateway.sessions import processes
from deploy.gateway.sessions.emulator import Emulator
from deploy.gateway.sessions.terminal import Listener, Start, TerminalError
from deploy.gateway.snapshot import Picture

MOST_UNREAD: Final = 256 * 1024
"""Bytes that were typed and not read by the program."""
MOST_UNDRAWN: Final = 128 * 1024
"""Bytes of output that wait for the emulator; it is slower than programs are."""
_STEP: Final = 4 * 1024
"""Bytes that the emulator draws at a time: a few milliseconds."""
_PAUSE_SECONDS: Final = 0.01
"""What is left to everything else between two steps."""
_READ: Final = 64 * 1024
_READS_AT_ONCE: Final = 16  # a terminal gives 4 KiB at a time
_LAST_READS: Final = 16
# A leader without a terminal gets the one that it opens (termios(3), "controlling terminal").
_OPENING: Final = 'exec "$@" <>"$0" >&0 2>&0'
_TERM: Final = "xterm-256color"


class PtyTerminal:
    """A program on a pseudo-terminal."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        descriptor: int,
        size: tuple[int, int],
        listener: Listener,
    ) -> None:
        self._process = process
        self._descriptor = descriptor
        self._size = size
        self._listener = listener
        self._emulator = Emulator(*size, self._answer)
        self._undrawn = bytearray()
        self._drawing = False
        self._unread = bytearray()
        self._open = True
        self._ending = False
        self._loop = asyncio.get_running_loop()
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._read_some)
        self._watcher = asyncio.create_task(self._watch())

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self._size

    def write(self, data: bytes) -> None:
        """Type.

        Raises:
            TerminalError: The program does not read.
        """
        if not self._open:
            return
        if len(self._unread) + len(data) > MOST_UNREAD:
            raise TerminalError("The program does not read what is typed.")
        self._unread += data
        self._type()

    def resize(self, columns: int, rows: int) -> None:
        """Change the size."""
        self._draw_all()
        self._size = (columns, rows)
        self._emulator.resize(columns, rows)
        if self._open:
            set_size(self._descriptor, columns, rows)

    async def picture(self, then: Callable[[Picture], None]) -> None:
        """Call `then` with what is shown after all output so far."""
        self._draw_all()
        then(self._emulator.picture())

    async def end(self) -> None:
        """End everything in the session."""
        self._ending = True
        self._close()
        await processes.end(self._process.pid)
        await self._process.wait()
        await asyncio.gather(self._watcher, return_exceptions=True)

    async def leave(self) -> None:
        """End it: nobody else could go on with it."""
        await self.end()

    async def _watch(self) -> None:
        code = await self._process.wait()
        # What the program has put out is there when it has ended; others may go on for ever.
        for _ in range(_LAST_READS):
            if not self._read_some():
                break
        if not self._ending:
            self._ending = True
            self._listener.exited(code)

    def _read_some(self) -> bool:
        """Read for a while; whether there may be more."""
        return all(self._open and self._read() for _ in range(_READS_AT_ONCE))

    def _read(self) -> bool:
        """Read once; whether there was anything."""
        try:
            output = os.read(self._descriptor, _READ)
        except BlockingIOError:
            return False
        except OSError:  # nobody has the other end
            output = b""
        if not output:
            self._close()
            return False
        self._listener.output(output)
        self._undrawn += output
        if len(self._undrawn) > MOST_UNDRAWN:
            # What shows is the present: most of this has left the screen already.
            del self._undrawn[: -_STEP * 2]
            del self._undrawn[: self._undrawn.find(b"\n") + 1]
            self._emulator.skip()
        if not self._drawing:
            self._drawing = True
            self._loop.call_later(_PAUSE_SECONDS, self._draw)
        return True

    def _draw(self) -> None:
        self._emulator.feed(bytes(self._undrawn[:_STEP]))
        del self._undrawn[:_STEP]
        self._drawing = bool(self._undrawn)
        if self._drawing:
            self._loop.call_later(_PAUSE_SECONDS, self._draw)

    def _draw_all(self) -> None:
        self._emulator.feed(bytes(self._undrawn))
        self._undrawn.clear()

    def _answer(self, data: bytes) -> None:
        with contextlib.suppress(TerminalError):
            self.write(data)

    def _type(self) -> None:
        try:
            written = os.write(self._descriptor, self._unread)
        except BlockingIOError:
            written = 0
        except OSError:
            written = len(self._unread)
        del self._unread[:written]
        if self._unread:
            self._loop.add_writer(self._descriptor, self._type)
        else:
            self._loop.remove_writer(self._descriptor)

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._descriptor)
            self._loop.remove_writer(self._descriptor)
            os.close(self._descriptor)


class Pty:
    """Pseudo-terminals; they end with the gateway."""

    async def start(self, start: Start, listener: Listener) -> PtyTerminal:
        """Run a program.

        Raises:
            TerminalError: It does not start.
        """
        ours, theirs = os.openpty()
        try:
            set_size(ours, start.columns, start.rows)
            process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", _OPENING, os.ttyname(theirs), *start.command),
                cwd=start.folder,
                env={**start.environment, "TERM": _TERM},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            )
        except OSError:
            os.close(ours)
            raise TerminalError("The program does not start.") from None
        finally:
            os.close(theirs)
        return PtyTerminal(process, ours, (start.columns, start.rows), listener)

    async def survivors(self) -> set[str]:
        """Return nothing: none outlives the gateway."""
        return set()

    async def adopt(self, session: str, listener: Listener) -> PtyTerminal:  # noqa: ARG002 - as declared
        """Find nothing.

        Raises:
            TerminalError: Always.
        """
        raise TerminalError("There is no such session.")

    async def discard(self, session: str) -> None:
        """Do nothing: there are none."""


def set_size(descriptor: int, columns: int, rows: int) -> None:
    """Set a terminal's size."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
