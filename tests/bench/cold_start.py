"""A replica that starts on many converged objects: how long, how many calls, how much memory."""

from __future__ import annotations

import asyncio
import gc
import time

from crds.clock import Clock
from crds.registry import KINDS
from crds.store import Store
from tests.bench.harness import Measurement, Reference, at_most, resident_bytes, until
from tests.bench.population import READY_AT, Population, populated
from tests.bench.stage import Stage, run
from tests.bench.world import World, busy, finished

WORKSPACES = 2500
# The goal is 60 s and 5 kB for each of 100,000 workspaces; with fewer, in proportion.
GOAL_MS_EACH = 60_000 / 100_000
GOAL_KB_EACH = 5.0
SLACK_SECONDS = 0.5


def measure(stage: Stage) -> list[Measurement]:
    """Run the bench."""
    with populated(stage, stage.size(WORKSPACES, 10)) as population:
        return run(_measure(population))


async def _measure(population: Population) -> list[Measurement]:
    clock = Clock.started(READY_AT)
    objects = population.objects
    workspaces = objects // 4
    async with Store.opened(population.url, clock=clock) as store:
        floor = await _read_all(store)
        world = World(clock)
        world.load(population.clouds)
        population.clouds.clear()
        gc.collect()
        before = resident_bytes()
        started = time.monotonic()
        async with world.replica(store) as replica:
            await until(lambda: finished(replica) >= objects and not busy(replica))
            seconds = time.monotonic() - started
            await asyncio.sleep(SLACK_SECONDS)
            gc.collect()
            kilobytes = (resident_bytes() - before) / 1000
    calls = world.transport
    reference = Reference("reading and validating every row", floor / workspaces * 1e3)
    pages = Reference("a page a 1,000 machines", float(-(-workspaces // 1000)))
    return [
        Measurement(
            f"cold start, {objects:,} objects: each workspace",
            seconds / workspaces * 1e3,
            "ms",
            reference,
            at_most(GOAL_MS_EACH),
        ),
        Measurement("  all of them", seconds, "s", Reference(reference.name, floor)),
        Measurement("  Fly calls", float(calls.of("fly")), "calls", pages),
        Measurement("  KV calls", float(calls.of("kv")), "calls"),
        Measurement(
            "  memory a workspace", kilobytes / workspaces, "kB", goal=at_most(GOAL_KB_EACH)
        ),
    ]


async def _read_all(store: Store) -> float:
    """Seconds to list every object of every kind, the least that a start could do."""
    started = time.monotonic()
    for kind in KINDS.values():
        await store.list(kind)
    return time.monotonic() - started
