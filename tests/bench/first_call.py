"""From a Workspace's commit to the first request that Fly sees of it, on real sockets and disk."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

from crds.clock import Clock
from crds.meta import ObjectMeta
from crds.platform import PLATFORM, Platform, PlatformSpec
from crds.store import Store
from tests.bench.harness import Measurement, Reference, median, percentile, until
from tests.bench.population import CAPS, account, workspace
from tests.bench.stage import Stage, run
from tests.bench.world import World, busy, finished

WORKSPACES = 20
PATIENCE_SECONDS = 10.0
# What stands between the two: the Workspace's finalizer, its Route, its Machine, the Machine's
# finalizer, and the intent. Each has to be on disk before the next.
COMMITS = 5


def measure(stage: Stage) -> list[Measurement]:
    """Run the bench."""
    with stage.database() as url:
        return run(_measure(stage, url))


async def _measure(stage: Stage, url: str) -> list[Measurement]:
    count = stage.size(WORKSPACES, 5)
    # Two stores: the wish comes from another process than the one that acts on it.
    async with Store.opened(url) as front, Store.opened(url) as back:
        await front.create(
            Platform(metadata=ObjectMeta(name=PLATFORM), spec=PlatformSpec(caps=CAPS))
        )
        owners = [str(uuid4()) for _ in range(count + 1)]
        for owner in owners:
            await front.create(account(owner))
        world = World(Clock.started())
        async with world.replica(back) as replica:
            await until(lambda: finished(replica) >= len(owners) and not busy(replica))
            seconds = [await _once(world, front, owner) for owner in owners][1:]
        commits = [await _commit(front, owner) for owner in owners for _ in range(5)]
    floor = Reference(f"{COMMITS} durable commits in a row", COMMITS * median(commits) * 1e3)
    name = "workspace committed → first Fly request"
    return [
        Measurement(f"{name}, p50", percentile(seconds, 50) * 1e3, "ms", floor),
        Measurement(f"{name}, worst", max(seconds) * 1e3, "ms", floor),
    ]


async def _once(world: World, store: Store, owner: str) -> float:
    asked = asyncio.get_running_loop().create_future()

    def on_call(what: str) -> None:
        if what == "fly POST /v1/apps" and not asked.done():
            asked.set_result(time.monotonic())

    world.transport.on_call = on_call
    started = time.monotonic()
    await store.create(workspace(owner, f"user-{owner[:8]}"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        at: float = await asked
    # Its machine is brought up meanwhile; the next one should not wait for that.
    await asyncio.sleep(0.1)
    return at - started


async def _commit(store: Store, owner: str) -> float:
    """Seconds for one write of one row through the store."""
    row = await store.get(type(account(owner)), owner)
    row.metadata.labels["at"] = str(time.monotonic_ns())
    started = time.monotonic()
    await store.update(row)
    return time.monotonic() - started
