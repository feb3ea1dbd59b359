"""Reconciles that find nothing to do: real rows, real reconcilers, one process."""

from __future__ import annotations

from controller.assembly import Replica
from crds.clock import Clock
from crds.store import Store
from tests.bench import jobs
from tests.bench.harness import (
    Goal,
    Measurement,
    Reference,
    Spent,
    Stopwatch,
    median,
    middle,
    ratio_at_least,
    until,
)
from tests.bench.population import READY_AT, Population, populated
from tests.bench.stage import Stage, run
from tests.bench.world import World, busy, finished

WORKSPACES = 1000
GOALS: dict[jobs.Peer, Goal | None] = {
    jobs.PGQUEUER: ratio_at_least(1.5),
    jobs.PROCRASTINATE: ratio_at_least(30),
    jobs.LOCKED: None,
}


def measure(stage: Stage) -> list[Measurement]:
    """Run the bench."""
    with populated(stage, stage.size(WORKSPACES, 20)) as population:
        spent = run(_measure(stage, population))
        rate = population.objects / spent.wall
    # A smoke test brings no packages.
    there = jobs.available(install=stage.scale == 1)
    peers = [jobs.PGQUEUER, jobs.PROCRASTINATE] if there else [jobs.LOCKED]
    return [
        *(_beside(stage, peer, rate) for peer in peers),
        Measurement("  CPU of one", spent.cpu / population.objects * 1e6, "µs"),
    ]


def _beside(stage: Stage, peer: jobs.Peer, rate: float) -> Measurement:
    theirs = median(jobs.rate(stage, peer) for _ in range(stage.runs))
    return Measurement(
        "no-op reconciles", rate, "keys/s", Reference(peer.name, theirs), GOALS[peer]
    )


async def _measure(stage: Stage, population: Population) -> Spent:
    clock = Clock.started(READY_AT)
    async with Store.opened(population.url, clock=clock) as store:
        world = World(clock)
        world.load(population.clouds)
        async with world.replica(store) as replica:
            await _pass(replica, population.objects)
            return middle([await _pass(replica, population.objects) for _ in range(stage.runs)])


async def _pass(replica: Replica, objects: int) -> Spent:
    """Reconcile every key once."""
    goal = finished(replica) + objects
    with Stopwatch() as watch:
        replica.resync()
        await until(lambda: finished(replica) >= goal and not busy(replica))
    return watch.spent
