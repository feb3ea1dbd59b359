"""An hour of many converged objects: what is written, what is asked. On virtual time."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence

from psycopg.rows import DictRow

from crds.clock import Clock
from crds.store import LocalDoorbell, Store
from crds.store.database import Database, make_pool
from tests.bench.harness import Measurement, at_most
from tests.bench.population import LIMIT_SECONDS, READY_AT, Population, populated
from tests.bench.stage import FAST, Stage
from tests.bench.world import World, finished
from tests.support.virtual_time import run, running_loop

WORKSPACES = 2500
HOUR_SECONDS = 3600.0
# A common period of everything that comes round: resyncs, full looks, listings of the edge,
# collections, probes. More of it would only repeat it.
PERIOD_SECONDS = 1200.0
# Whatever a start brings has passed by then.
WARM_UP_SECONDS = 90.0
CHANGES = re.compile(r"INSERT|UPDATE|DELETE|create_object|write_object|delete_object")
STATUSES = "write_statuses"
PAGES = re.compile(r"^fly GET /v1/(orgs/\*/\w+|apps)$|^kv GET .*/keys$")


class CountedDatabase(Database):
    """Counts statements by what they are."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]  # the pool
        self.statements: Counter[str] = Counter()

    async def fetch(self, query: str, *parameters: object) -> Sequence[DictRow]:
        """Count and run."""
        self._count(query)
        return await super().fetch(query, *parameters)

    async def execute(self, query: str, *parameters: object) -> int:
        """Count and run."""
        self._count(query)
        return await super().execute(query, *parameters)

    def _count(self, query: str) -> None:
        self.statements[_sort(query)] += 1


def _sort(query: str) -> str:
    if STATUSES in query:
        return "statuses"
    if not CHANGES.search(query):
        return "reads"
    table = re.search(r"leases|heartbeats|objects?\b", query)
    return {"leases": "leases", "heartbeats": "heartbeats"}.get(table[0] if table else "", "others")


def measure(stage: Stage) -> list[Measurement]:
    """Run the bench."""
    with populated(stage, stage.size(WORKSPACES, 20)) as population:
        return run(lambda: _measure(population), limit_seconds=LIMIT_SECONDS)


async def _measure(population: Population) -> list[Measurement]:
    clock = Clock(READY_AT, running_loop().time())
    async with make_pool(population.url + FAST, 8) as pool:
        database = CountedDatabase(pool)
        store = Store(database, clock, LocalDoorbell(), poll_seconds=60.0)
        world = World(clock)
        world.load(population.clouds)
        async with world.replica(store) as replica:
            await asyncio.sleep(WARM_UP_SECONDS)
            database.statements.clear()
            world.transport.calls.clear()
            before = finished(replica)
            await asyncio.sleep(PERIOD_SECONDS)
            statements, calls = Counter(database.statements), Counter(world.transport.calls)
            reconciles = finished(replica) - before
    return _told(population.objects, statements, calls, reconciles, HOUR_SECONDS / PERIOD_SECONDS)


def _told(
    objects: int,
    statements: Counter[str],
    calls: Counter[str],
    reconciles: int,
    per_hour: float,
) -> list[Measurement]:
    agents = calls.pop("agent", 0)
    pages = sum(number for what, number in calls.items() if PAGES.match(what))
    others = calls.total() - pages
    each = per_hour / objects
    name = f"{objects:,} converged objects"
    return [
        Measurement(
            f"{name}: provider calls", calls.total() * each, "calls/object/h", goal=at_most(1)
        ),
        Measurement("  calls that are no page", others * per_hour, "calls/h", goal=at_most(0)),
        Measurement(
            "  status writes", statements["statuses"] * per_hour, "statements/h", goal=at_most(0)
        ),
        Measurement("  object writes", statements["others"] * per_hour, "statements/h"),
        Measurement("  heartbeat writes", statements["heartbeats"] * per_hour, "statements/h"),
        Measurement("  lease writes", statements["leases"] * per_hour, "statements/h"),
        Measurement("  reads", statements["reads"] * each, "statements/object/h"),
        Measurement("  reconciles", reconciles * each, "reconciles/object/h"),
        Measurement("  probes of agents", agents * each, "calls/object/h"),
    ]
