"""Sessions kept by tmux, which outlive the gateway's program."""

import asyncio
import contextlib
import logging
import os
import shutil
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from deploy.gateway import atomic
from deploy.gateway.sessions import processes
from deploy.gateway.sessions.control import Control
from deploy.gateway.sessions.exits import ExitPipe, wrapped
from deploy.gateway.sessions.terminal import (
    ANSWER_SECONDS,
    COLUMNS,
    ROWS,
    Listener,
    Start,
    TerminalError,
)
from deploy.gateway.sessions.views import CAPTURES, PANE, PasteMode, read_picture
from deploy.gateway.snapshot import Picture

_SOCKET: Final = "tmux.sock"  # used from its folder: the whole path may be too long for a socket
_CONFIGURATION: Final = "tmux.conf"
_TERMINFO: Final = ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo", "/usr/lib/terminfo")
_KEYS_AT_ONCE: Final = 512
_REATTACHED: Final = 3

log = logging.getLogger(__name__)


def configuration() -> str:
    """Return the server's configuration: nothing of tmux is to be seen."""
    known = any(Path(folder, "t", "tmux-256color").exists() for folder in _TERMINFO)
    terminal = "tmux-256color" if known else "screen-256color"
    lines = [
        f'set -g default-terminal "{terminal}"',
        "set -g history-limit 2000",
        "set -g status off",
        "set -g set-titles off",
        "set -g allow-rename off",
        "set -g automatic-rename off",
        "set -g update-environment ''",
        "set -s escape-time 0",
        "set -s exit-empty on",
    ]
    return "".join(f"{line}\n" for line in lines)


class TmuxTerminal:
    """A session of tmux."""

    def __init__(self, tmux: "Tmux", session: str, listener: Listener) -> None:
        self._tmux = tmux
        self._session = session
        self._listener = listener
        self._size = (COLUMNS, ROWS)
        self._pane, self._leader = "", 0
        self._control: Control | None = None
        self._pastes = PasteMode()
        self._exit: ExitPipe | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = False
        self._attached = 0

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self._size

    async def attach(self, size: tuple[int, int] | None = None) -> None:
        """Begin to listen.

        Args:
            size: What to make it; as it is by default.

        Raises:
            TerminalError: There is no such session.
        """
        found = await self._tmux.run(
            "list-panes",
            *("-t", f"={self._session}:"),
            *("-F", "#{pane_id} #{pane_pid} #{pane_width} #{pane_height}"),
        )
        try:
            pane, leader, columns, rows = found.splitlines()[0].split()
            self._pane, self._leader = pane, int(leader)
            self._size = size or (int(columns), int(rows))
        except (IndexError, ValueError):
            raise TerminalError("tmux does not know this session.") from None
        client = await self._tmux.spawn("-C", "attach-session", "-t", f"={self._session}")
        self._control = Control(client, self._output, self._gone)
        # Also makes the size ours alone: it follows no client from here on.
        await self._control.ask(self._resized(*self._size))
        if self._exit is None:
            self._exit = ExitPipe(self._tmux.exit_pipe(self._session), self._exited)
        self._attached += 1

    def write(self, data: bytes) -> None:
        """Type."""
        if self._control is None:
            return
        for begin in range(0, len(data), _KEYS_AT_ONCE):
            keys = data[begin : begin + _KEYS_AT_ONCE].hex(" ")
            self._control.order(f"send-keys -t {self._pane} -H {keys}")

    def resize(self, columns: int, rows: int) -> None:
        """Change the size."""
        self._size = (columns, rows)
        if self._control is not None:
            self._control.order(self._resized(columns, rows))

    async def picture(self, then: Callable[[Picture], None]) -> None:
        """Call `then` with what is shown, in order with the output.

        Raises:
            TerminalError: tmux does not say.
        """
        if self._control is None:
            raise TerminalError("The session is about to end.")

        def told(answers: Sequence[list[bytes]]) -> None:
            then(read_picture(answers, pastes=self._pastes.on))

        await self._control.ask(*(each.replace(PANE, self._pane) for each in CAPTURES), then=told)

    async def end(self) -> None:
        """End everything in the session."""
        await self._let_go()
        await self._tmux.run("kill-session", "-t", f"={self._session}")
        await processes.end(self._leader)
        self._tmux.exit_pipe(self._session).unlink(missing_ok=True)

    async def leave(self) -> None:
        """Stop listening; the session goes on."""
        await self._let_go()

    async def _let_go(self) -> None:
        self._ending = True
        if self._exit is not None:
            self._exit.close()
        control, self._control = self._control, None
        if control is not None:
            await control.aclose()

    def _resized(self, columns: int, rows: int) -> str:
        return f"resize-window -t {self._pane} -x {columns} -y {rows}"

    def _output(self, data: bytes) -> None:
        self._pastes.feed(data)
        self._listener.output(data)

    def _exited(self, code: int) -> None:
        self._spawn(self._exited_after_output(code))

    async def _exited_after_output(self, code: int) -> None:
        """Everything that the program has put out comes before an answer does."""
        with contextlib.suppress(TerminalError):
            if self._control is not None:
                await self._control.ask("display-message -p ended")
        if not self._ending:
            self._ending = True
            self._listener.exited(code)

    def _gone(self) -> None:
        if not self._ending:
            self._spawn(self._attach_again())

    async def _attach_again(self) -> None:
        """The client has ended: was it the session's end, or only the client's?"""
        if await self._is_attached_again():
            log.warning("attached again to a session")
            self._listener.missed()
        elif not self._ending:
            self._ending = True
            self._listener.exited(None)

    async def _is_attached_again(self) -> bool:
        # A client that does not stay is not worth trying for ever.
        if self._attached > _REATTACHED:
            return False
        try:
            await self.attach()
        except TerminalError:
            return False
        return True

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Tmux:
    """A tmux server of the gateway's own, behind a socket that nobody else knows.

    Args:
        folder: Where its socket and its configuration are; it is made.
        program: tmux.
        environment: The environment of the server, and so of all sessions.
    """

    def __init__(self, folder: Path, program: str, environment: dict[str, str]) -> None:
        self._folder = folder
        self._program = program
        self._environment = environment
        # Two clients at the moment when the server begins can make it end: one after another.
        self._starting = asyncio.Lock()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic.write(folder / _CONFIGURATION, configuration().encode(), mode=0o600)

    def exit_pipe(self, session: str) -> Path:
        """Return where a session's exit code is told."""
        return self._folder / f"{session}.exit"

    async def start(self, start: Start, listener: Listener) -> TmuxTerminal:
        """Run a program in a new session.

        Raises:
            TerminalError: tmux does not start it.
        """
        pipe = self.exit_pipe(start.session)
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe, 0o600)
        async with self._starting:
            await self.run(
                "new-session",
                *("-d", "-s", start.session, "-x", str(start.columns), "-y", str(start.rows)),
                *("-c", str(start.folder), "--", *wrapped(start.command, pipe)),
                must=True,
            )
            terminal = TmuxTerminal(self, start.session, listener)
            try:
                await terminal.attach((start.columns, start.rows))
            except TerminalError:
                await terminal.end()
                raise
        return terminal

    async def survivors(self) -> set[str]:
        """Return the sessions that are there."""
        return set((await self.run("list-sessions", "-F", "#{session_name}")).split())

    async def adopt(self, session: str, listener: Listener) -> TmuxTerminal:
        """Take over a session that is there.

        Raises:
            TerminalError: It is not.
        """
        terminal = TmuxTerminal(self, session, listener)
        await terminal.attach()
        return terminal

    async def discard(self, session: str) -> None:
        """End a session that nobody knows of."""
        await self.run("kill-session", "-t", f"={session}")
        self.exit_pipe(session).unlink(missing_ok=True)

    async def run(self, *arguments: str, must: bool = False) -> str:
        """Return what a command of tmux says; nothing when it fails.

        Raises:
            TerminalError: It fails and must not, or does not end.
        """
        process = await self.spawn(*arguments)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                out, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise TerminalError("tmux does not answer.") from None
        if process.returncode != 0 and must:
            raise TerminalError("tmux does not start a session.")
        return out.decode(errors="replace") if process.returncode == 0 else ""

    async def spawn(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start a client."""
        return await asyncio.create_subprocess_exec(
            *(self._program, "-u", "-S", _SOCKET, "-f", _CONFIGURATION, *arguments),
            cwd=self._folder,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )


def find_tmux() -> str | None:
    """Return the tmux of this machine."""
    return shutil.which("tmux")
