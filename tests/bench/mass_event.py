"""Many workspaces at once, with the simulators enforcing the providers' limits. On virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import NamedTuple
from uuid import UUID

from crds.meta import ObjectMeta
from crds.platform import PLATFORM, Platform, PlatformSpec
from crds.store import LocalDoorbell, Store
from crds.workspace import Workspace
from deploy.local.simulators.fly.state import FlyTimings
from deploy.local.simulators.limits import FlyLimits
from tests.bench.harness import Measurement, Reference, at_most, ratio_at_most
from tests.bench.population import CAPS, LIMIT_SECONDS, account, workspace
from tests.bench.stage import FAST, Stage
from tests.bench.world import World
from tests.support.virtual_time import clock, run, running_loop

WORKSPACES = 300
# With the simulator's own limits, which count what has no object in its path as one.
FEW = 40
# A quick answer of the real API; the simulator's other times are its defaults.
TIMINGS = FlyTimings(api_seconds=0.1)
WORKERS = 32
"""Keys of a kind in hand at once: the controller's default."""
# What the API asks for: an app, an address of each family, a volume, a machine.
LEAST_CALLS = 5
POLL_SECONDS = 0.05
START_SECONDS = 30.0
GIVE_UP_SECONDS = 3600.0
STATUS_RATE = 45_000
BULK = 10_000


def ideal(number: int) -> float:
    """The ideal time of PERFORMANCE.md in seconds, with an app for each workspace.

    Nobody waits for a neighbour's app, so what is left is the work of the calls on all workers,
    the life of one workspace from the first call to its answer, the statuses, and the flush.
    """
    calls = LEAST_CALLS * TIMINGS.api_seconds
    one = calls + TIMINGS.image_pull_seconds + TIMINGS.boot_seconds
    return max(number * calls / WORKERS, one) + number / STATUS_RATE


class Outcome(NamedTuple):
    """What came of an event."""

    number: int
    seconds: float
    calls: Counter[str]
    too_many: int

    def told(self, name: str) -> list[Measurement]:
        """Its figures; the first two are the makespan and the refusals."""
        number = self.number
        pages = self._of("fly GET /v1/orgs")
        fly, writes = self._of("fly") - pages, self._of("fly POST")
        ideal_time = Reference(f"ideal time, {WORKERS} workers", ideal(number))
        least = Reference("the API's minimum", float(LEAST_CALLS))
        bulk = Reference("keys by the 10,000, rounded up", float(-(-number // BULK)))
        within = ratio_at_most(1.05)
        return [
            Measurement(f"{name}: all routed", self.seconds, "s, virtual", ideal_time, within),
            Measurement("  answers of 429", float(self.too_many), "answers", goal=at_most(0)),
            Measurement("  Fly calls each", fly / number, "calls", least, ratio_at_most(1.02)),
            Measurement("  of them writes", writes / number, "calls", least),
            Measurement("  pages of the observer", float(pages), "calls"),
            Measurement("  KV bulk writes", float(self._of("kv PUT")), "calls", bulk),
        ]

    def _of(self, what: str) -> int:
        return sum(n for each, n in self.calls.items() if each.startswith(what))


class DocumentedLimits(FlyLimits):
    """Fly's limits by its documentation: an action counts under its machine's or its app's id.

    What has no id yet, such as the creation of an app, is under none.
    """

    def allows(self, operation: str, subject: str, now: float) -> bool:
        """Count one call; return whether it may pass."""
        return not subject or super().allows(operation, subject, now)


def measure(stage: Stage) -> list[Measurement]:
    """Run the bench."""
    number, few = stage.size(WORKSPACES, 10), stage.size(FEW, 5)
    documented = _event(stage, number, DocumentedLimits(enabled=True))
    simulated = _event(stage, few, FlyLimits(enabled=True))
    name = f"{few} at once, the simulator's limits"
    return [
        *documented.told(f"{number} workspaces at once"),
        *simulated.told(name)[:2],
    ]


def _event(stage: Stage, number: int, limits: FlyLimits) -> Outcome:
    with stage.database() as url:
        return run(lambda: _measure(url + FAST, number, limits), limit_seconds=LIMIT_SECONDS)


async def _measure(url: str, number: int, limits: FlyLimits) -> Outcome:
    loop = running_loop()
    async with Store.opened(url, clock=clock(), doorbell=LocalDoorbell()) as store:
        world = World(clock(), timings=TIMINGS, limits=True)
        world.fly.limits = limits
        await store.create(
            Platform(metadata=ObjectMeta(name=PLATFORM), spec=PlatformSpec(caps=CAPS))
        )
        owners = [str(UUID(int=n + 1)) for n in range(number)]
        await asyncio.gather(*(store.create(account(owner)) for owner in owners))
        async with world.replica(store):
            await asyncio.sleep(START_SECONDS)
            world.transport.calls.clear()
            started = loop.time()
            wishes = (workspace(owner, f"user-{n:05}") for n, owner in enumerate(owners))
            await asyncio.gather(*(store.create(wish) for wish in wishes))
            routed = await _all_routed(world, number, started + GIVE_UP_SECONDS)
            ready = await _all_ready(store, number, started + GIVE_UP_SECONDS)
            calls = Counter(world.transport.calls)
            too_many = world.transport.too_many
    return Outcome(number, max(routed, ready) - started, calls, too_many)


async def _all_routed(world: World, number: int, give_up: float) -> float:
    """When the edge knew where all of them run."""
    entries = world.kv.namespaces[world.kv.default].entries
    loop = running_loop()
    while sum(b'"running"' in entry.value for entry in entries.values()) < number:
        await _rest(give_up)
    return loop.time()


async def _all_ready(store: Store, number: int, give_up: float) -> float:
    """When all of them said so."""
    while True:
        page = await store.list(Workspace)
        if sum(each.status.is_true("Ready") for each in page.items) == number:
            return running_loop().time()
        await _rest(give_up)


async def _rest(give_up: float) -> None:
    if running_loop().time() > give_up:
        raise TimeoutError(f"not all of them run after {GIVE_UP_SECONDS:g} s")
    await asyncio.sleep(POLL_SECONDS)
