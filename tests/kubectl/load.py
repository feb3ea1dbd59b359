"""Many watches under many writes: `python -m tests.kubectl.load` measures this machine."""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.local.children import bound
from tests.e2e.product import ROOT
from tests.kubectl.door import Door
from tests.support.postgres import Databases, serving

NAMESPACE: Final = "under-load"
_LINE_BYTES: Final = 2**28


@dataclass(frozen=True, slots=True)
class Load:
    """How much is done.

    Attributes:
        watchers: How many watches read as fast as they can.
        slow: How many read nothing before the others are through.
        rate: Writes a second, at most.
        count: Writes in all.
        objects: On how many objects, in turn: more than are ever written at once, because what is
            wished for one object at the same time becomes one write.
    """

    watchers: int
    slow: int
    rate: int
    count: int
    objects: int = 500


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it.

    Attributes:
        written: The versions of all writes, in order.
        seconds: How long the writes took.
        behind: Seconds between the last write and the last event at the last watcher.
        fast: What the watchers that read were sent: how many got each different sequence.
        slow: The same of the slow ones.
        connections: How often each watcher was let in.
        errors: The ERROR events.
    """

    written: Sequence[int]
    seconds: float
    behind: float
    fast: dict[tuple[int, ...], int]
    slow: dict[tuple[int, ...], int]
    connections: Sequence[int]
    errors: Sequence[str]


async def run(
    door: Door, load: Load, meanwhile: Callable[[], Awaitable[None]] | None = None
) -> Result:
    """Write while everybody watches.

    Args:
        door: The API; its database gets the objects.
        load: How much.
        meanwhile: Done while writes are under way.
    """
    numbers = [str(number) for number in (load.objects, load.rate, load.count)]
    async with _child("load_writer", door.database_url, NAMESPACE, *numbers) as writer:
        since = (await _said(writer))["since"]
        path = f"/apis/invoker.dev/v1/namespaces/{NAMESPACE}/workspaces"
        many = [str(number) for number in (since, load.watchers, load.slow)]
        async with _child("watchers", str(door.kubeconfig), path, *many) as watchers:
            await _said(watchers)
            await _tell(writer, "go")
            if meanwhile is not None:
                await meanwhile()
            written = await _said(writer)
            begin = asyncio.get_running_loop().time()
            await _tell(watchers, str(written["versions"][-1]))
            fast = await _said(watchers)
            behind = asyncio.get_running_loop().time() - begin
            slow = await _said(watchers)
    return Result(
        written["versions"],
        written["seconds"],
        behind,
        _sequences(fast),
        _sequences(slow),
        [*fast["connections"], *slow["connections"]],
        [*fast["errors"], *slow["errors"]],
    )


def _sequences(summary: dict[str, Any]) -> dict[tuple[int, ...], int]:
    return {tuple(sent["versions"]): sent["watchers"] for sent in summary["sequences"]}


@asynccontextmanager
async def _child(module: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *bound([sys.executable, "-m", f"tests.kubectl.{module}", *arguments]),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _said(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    assert line, f"a helper ended with {await process.wait()}"
    said: dict[str, Any] = json.loads(line)
    return said


async def _tell(process: asyncio.subprocess.Process, line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n".encode())
    await process.stdin.drain()


def main(arguments: Sequence[str]) -> int:
    """Measure, and print what came of it.

    Returns:
        The exit code: 1 when a watcher missed an event, or got one twice or out of order.
    """
    options = _parser().parse_args(arguments)
    load = Load(options.watchers, options.slow, options.rate, options.rate * options.seconds)
    with (
        serving() as server,
        Databases(server).fresh() as url,
        tempfile.TemporaryDirectory(prefix="invoker-door-") as folder,
        Door(url, Path(folder)) as door,
    ):
        result = asyncio.run(run(door, load))
    exact = {tuple(result.written): load.watchers} == result.fast
    exact &= not load.slow or {tuple(result.written): load.slow} == result.slow
    rate = len(result.written) / result.seconds
    sys.stdout.write(
        f"{len(result.written)} writes in {result.seconds:.1f} s: {rate:.0f}/s of {load.rate}/s\n"
        f"{load.watchers} watches: {rate * load.watchers:.0f} events/s, "
        f"{result.behind:.2f} s behind in the end\n"
        f"every event once and in order: {'yes' if exact else 'NO'}\n"
    )
    return 0 if exact else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.kubectl.load", description=__doc__)
    parser.add_argument("--watchers", type=int, default=100)
    parser.add_argument("--slow", type=int, default=1)
    parser.add_argument("--rate", type=int, default=1000, help="writes a second")
    parser.add_argument("--seconds", type=int, default=10)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
