"""The process tree, with trivial parts."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.local.supervisor import Service, StartError, Supervisor

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]
WAITS = (
    "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})",
    "print('up', flush=True); signal.sigwait({signal.SIGTERM})",
)


class Lines:
    """Keeps what services write and wakes whoever waits for it."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str]] = []
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, name: str, text: str) -> None:
        """Take a line."""
        self.written.append((name, text))
        task = asyncio.create_task(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def until(self, name: str, text: str, count: int = 1) -> None:
        """Wait until a service has written a line that often."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.written.count((name, text)) >= count)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@pytest.fixture
async def lines() -> Lines:
    """What the services write."""
    return Lines()


@pytest.fixture
async def supervisor(lines: Lines) -> AsyncIterator[Supervisor]:
    """A supervisor that is stopped in the end."""
    supervisor = Supervisor(lines)
    yield supervisor
    await supervisor.stop()


def _service(name: str, *statements: str, stop_seconds: float = 10) -> Service:
    command = [sys.executable, "-IS", "-c", "\n".join(statements)]
    return Service(name=name, command=command, stop_seconds=stop_seconds)


def _is_gone(pid: int) -> bool:
    """Whether no process runs under that number; nobody may be there to collect a dead one."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def _gone(pid: int) -> None:
    """Wait for the end of a process that is not our child."""
    with contextlib.suppress(ProcessLookupError):
        handle, ended = os.pidfd_open(pid), asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(handle, ended.set)
        try:
            async with asyncio.timeout(10):
                await ended.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)


async def test_killed_service_is_started_again(supervisor: Supervisor, lines: Lines) -> None:
    """A part that is killed runs again, as another process."""
    await supervisor.start(_service("a", *WAITS))
    await lines.until("a", "up")
    first = supervisor.pid("a")
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await lines.until("a", "up", count=2)

    assert supervisor.pid("a") not in {None, first}
    assert ("a", "ended (SIGKILL), started again in 0.1 s") in lines.written


async def test_pauses_grow(supervisor: Supervisor, lines: Lines) -> None:
    """A part that cannot start is tried with growing pauses."""
    await supervisor.start(_service("a", "raise SystemExit(3)"))
    await lines.until("a", "ended (exit 3), started again in 0.2 s")

    assert ("a", "ended (exit 3), started again in 0.1 s") in lines.written


async def test_stops_in_reverse_order(supervisor: Supervisor, lines: Lines) -> None:
    """What was started last is gone before what it stands on is asked to end."""
    farewell = (*WAITS, "print('down', flush=True)")
    for name in ("a", "b", "c"):
        await supervisor.start(_service(name, *farewell))
        await lines.until(name, "up")
    await supervisor.stop()

    assert [name for name, text in lines.written if text == "down"] == ["c", "b", "a"]


async def test_stubborn_service_is_killed(supervisor: Supervisor, lines: Lines) -> None:
    """A part that ignores its signal is killed when its time is over."""
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    wait = ("print('up', flush=True)", "while True: signal.pause()")
    await supervisor.start(_service("a", ignore, *wait, stop_seconds=0.1))
    await lines.until("a", "up")
    pid = supervisor.pid("a")
    assert pid is not None
    await supervisor.stop()
    await _gone(pid)

    assert _is_gone(pid)


async def test_grandchildren_go_too(supervisor: Supervisor, lines: Lines) -> None:
    """What a part has started goes with it, however it ends."""
    child = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True)"
    await supervisor.start(_service("a", child, *WAITS))
    await lines.until("a", "up")
    pid = int(lines.written[0][1])
    await supervisor.stop()
    await _gone(pid)

    assert _is_gone(pid)


async def test_not_ready(supervisor: Supervisor) -> None:
    """A part that does not become ready in its time fails the start by name."""

    async def never() -> bool:
        return False

    command = [sys.executable, "-IS", "-c", "\n".join(WAITS)]
    service = Service(name="slow", command=command, ready=never, ready_seconds=0.05)
    with pytest.raises(StartError, match="slow is not ready"):
        await supervisor.start(service)


async def test_failing_preparation(supervisor: Supervisor) -> None:
    """What goes wrong in a part's preparation is the start's error, not a silent wait."""

    def prepare() -> None:
        raise StartError("in use")

    with pytest.raises(StartError, match="in use"):
        await supervisor.start(Service(name="a", command=["true"], prepare=prepare))


async def test_long_lines(supervisor: Supervisor, lines: Lines) -> None:
    """A line without end neither stops a part nor fills the memory."""
    await supervisor.start(_service("a", "print('x' * 1_000_000)", *WAITS))
    await lines.until("a", "up")

    assert max(len(text) for _, text in lines.written) < 200_000


SUPERVISE = """
import asyncio, sys
from deploy.local.supervisor import Service, Supervisor

async def main():
    supervisor = Supervisor(lambda name, text: print(name, text, flush=True))
    child = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    await supervisor.start(
        *(Service(name=n, command=[sys.executable, "-IS", "-c", child]) for n in ("a", "b"))
    )
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_killed_supervisor_takes_all_along() -> None:
    """When the supervisor itself is killed, the kernel ends every part."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SUPERVISE, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    pids = [int((await process.stdout.readline()).split()[1]) for _ in range(2)]
    process.kill()
    for pid in pids:
        await _gone(pid)
    await process.wait()

    assert [pid for pid in pids if not _is_gone(pid)] == []
