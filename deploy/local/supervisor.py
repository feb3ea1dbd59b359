"""A process tree: parts started in order, kept alive, stopped in reverse order."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from deploy.local.children import bound

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 10.0
STEADY_SECONDS: Final = 20.0
"""A part that ran for this long did not die of its start: its next pause is the first again."""

_POLL_SECONDS: Final = 0.05
_CHUNK: Final = 65536
_LONGEST_LINE: Final = 100_000

Write = Callable[[str, str], None]


class StartError(RuntimeError):
    """A part did not become ready; the message says which."""


async def always() -> bool:
    """Readiness of a part that is ready as soon as it runs."""
    return True


@dataclass(frozen=True, kw_only=True)
class Service:
    """One part of the tree.

    Attributes:
        name: Short, for prefixes.
        command: The program and its arguments.
        environment: Added to the supervisor's own.
        ready: Whether it does its work now; asked until it does.
        prepare: Called before every start, for what a killed predecessor left behind.
        stop_signal: Asks it to end; also what it gets should the supervisor be killed.
        stop_seconds: It gets this long to end before it is killed.
        ready_seconds: It gets this long to become ready the first time.
        user: The uid to run as, for root only.
        reach: What that user must get at although directories on the way may be closed.
        cwd: Its working directory.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    ready: Callable[[], Awaitable[bool]] = always
    prepare: Callable[[], None] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 25.0
    ready_seconds: float = 60.0
    user: int | None = None
    reach: Sequence[Path] = ()
    cwd: Path | None = None


class _Keeper:
    """Keeps one service running until it is told to stop."""

    def __init__(self, service: Service, write: Write) -> None:
        self.service = service
        self.process: asyncio.subprocess.Process | None = None
        self.is_ready = asyncio.Event()
        self.starts = 0
        self.changed = asyncio.Condition()
        self._write = write
        self._stopping = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def started(self) -> None:
        """Wait until the service is ready.

        Raises:
            StartError: It is not, within its time.
        """
        ready = asyncio.create_task(self.is_ready.wait())
        try:
            await asyncio.wait(
                {ready, self._task},
                timeout=self.service.ready_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            ready.cancel()
        if self._task.done():
            self._task.result()
        if not self.is_ready.is_set():
            raise StartError(
                f"{self.service.name} is not ready after {self.service.ready_seconds:.0f} s"
            )

    async def stop(self) -> None:
        """End the service and everything in its process group."""
        self._stopping.set()
        process = self.process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(self.service.stop_signal)
            try:
                async with asyncio.timeout(self.service.stop_seconds):
                    await process.wait()
            except TimeoutError:
                self._write(self.service.name, "does not end by itself: killed")
        if process is not None:
            _kill_group(process.pid)
        await self._task

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            begin = time.monotonic()
            if self.service.prepare is not None:
                self.service.prepare()
            status = await self._run_once()
            if self._stopping.is_set():
                return
            pause = FIRST_PAUSE if time.monotonic() - begin > STEADY_SECONDS else pause
            self._write(
                self.service.name, f"ended ({_words(status)}), started again in {pause:.1f} s"
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _run_once(self) -> int:
        service = self.service
        command = bound(
            service.command,
            death_signal=service.stop_signal,
            user=service.user,
            reach=service.reach,
        )
        # A pipe of our own: with asyncio's, the end of a part is not seen as long as something
        # that it started holds the pipe open.
        read_end, write_end = os.pipe()
        try:
            # A session of its own: Ctrl-C in the terminal reaches the supervisor alone, and what
            # the part starts can be ended with it.
            self.process = await asyncio.create_subprocess_exec(
                *command,
                cwd=service.cwd,
                env={**os.environ, **service.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        async with self.changed:
            self.starts += 1
            self.changed.notify_all()
        polling = asyncio.create_task(self._poll())
        reading = asyncio.create_task(self._read(os.fdopen(read_end, "rb", 0)))
        try:
            return await self.process.wait()
        finally:
            self.is_ready.clear()
            polling.cancel()
            _kill_group(self.process.pid)
            # A grandchild that left the group may keep the pipe open.
            await asyncio.wait({reading}, timeout=1)
            reading.cancel()

    async def _poll(self) -> None:
        while not await self.service.ready():  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(_POLL_SECONDS)
        self.is_ready.set()

    async def _read(self, pipe: IO[bytes]) -> None:
        """Hand on whole lines; one that is too long is cut rather than kept in memory."""
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            await self._hand_on(reader)
        finally:
            transport.close()

    async def _hand_on(self, reader: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await reader.read(_CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._write(self.service.name, line.decode(errors="replace").rstrip())
        if rest:
            self._write(self.service.name, rest.decode(errors="replace"))


class Supervisor:
    """Starts services, restarts those that die, and stops all in reverse order.

    To be used from the main thread's loop: services die with the thread that starts them.

    Args:
        write: Takes a service's name and a line that it wrote.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._keepers: list[_Keeper] = []

    async def start(self, *services: Service) -> None:
        """Start services at the same time and wait until all are ready.

        Raises:
            StartError: One of them is not ready in its time; the others go on.
        """
        keepers = [_Keeper(service, self._write) for service in services]
        self._keepers += keepers
        await asyncio.gather(*(keeper.started() for keeper in keepers))

    async def stop(self) -> None:
        """Stop all services, the last one first."""
        while self._keepers:
            keeper = self._keepers.pop()
            with contextlib.suppress(Exception):
                await keeper.stop()

    def pid(self, name: str) -> int | None:
        """The process of a service, or ``None`` while it has none."""
        process = self._keeper(name).process
        return process.pid if process and process.returncode is None else None

    async def ready(self, name: str, *, starts: int = 1) -> None:
        """Wait until a service is ready and has been started at least ``starts`` times."""
        keeper = self._keeper(name)
        while keeper.starts < starts:
            async with keeper.changed:
                await keeper.changed.wait()
        await keeper.is_ready.wait()

    def _keeper(self, name: str) -> _Keeper:
        return next(keeper for keeper in self._keepers if keeper.service.name == name)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _words(status: int) -> str:
    if status >= 0:
        return f"exit {status}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"
