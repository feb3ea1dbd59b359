"""The work queue's keys, and the calls that a flush of routes takes."""

from __future__ import annotations

import asyncio
import random
from uuid import UUID

from controller.edge import BULK_LIMIT, Change, Edge
from controller.engine import WorkQueue
from crds.clock import Clock
from crds.meta import Key
from crds.route import RouteEntry
from tests.bench.harness import (
    Measurement,
    Reference,
    Spent,
    Stopwatch,
    at_most,
    in_turn,
)
from tests.bench.stage import Stage, run
from tests.bench.world import INSTALLATION, World

KEYS = 100_000
ROUTES = 25_000


def measure(stage: Stage) -> list[Measurement]:
    """Run the bench."""
    return run(_measure(stage))


async def _measure(stage: Stage) -> list[Measurement]:
    keys = [Key("Workspace", f"account-{n}", "main") for n in range(stage.size(KEYS, 1000))]
    own, plain = await in_turn(stage.runs, lambda: _ours(keys), lambda: _plain(keys))
    routes = stage.size(ROUTES, 100)
    calls = await _flush(routes)
    least = -(-routes // BULK_LIMIT)
    return [
        Measurement(
            "work queue: added twice, taken, done",
            len(keys) / own.wall,
            "keys/s",
            Reference("asyncio.Queue and a set", len(keys) / plain.wall),
        ),
        Measurement(
            f"KV calls to publish {routes:,} routes",
            float(calls),
            "calls",
            Reference("keys by the 10,000, rounded up", float(least)),
            at_most(least),
        ),
    ]


async def _ours(keys: list[Key]) -> Spent:
    queue = WorkQueue(rng=random.Random(0))  # noqa: S311 - jitter
    with Stopwatch() as watch:
        for _ in range(2):
            for key in keys:
                queue.add(key)
        for _ in keys:
            queue.done((await queue.get()).key)
    return watch.spent


async def _plain(keys: list[Key]) -> Spent:
    queue = asyncio.Queue[Key]()
    waiting: set[Key] = set()
    with Stopwatch() as watch:
        for _ in range(2):
            for key in keys:
                if key not in waiting:
                    waiting.add(key)
                    queue.put_nowait(key)
        for _ in keys:
            waiting.discard(await queue.get())
    return watch.spent


async def _flush(routes: int) -> int:
    world = World(Clock.started())
    edge = Edge(world.clouds().kv, world.clock, INSTALLATION)
    await asyncio.gather(*(edge.apply(_change(number)) for number in range(routes)))
    return world.transport.of("kv")


def _change(number: int) -> Change:
    uid = str(UUID(int=number))
    entry = RouteEntry(stamp=1, route=uid, account="acc", state="stopped")
    return Change(f"user-{number}", uid, 1, entry, None)
