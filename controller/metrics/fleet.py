"""The fleet as it is: how many of what in which phase, what it costs, what waits.

One replica looks, a few times a minute, and only at what changed; whoever scrapes between two looks
is told the last one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import anyio
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from psycopg import Error as DatabaseError

from controller.engine import Grip
from controller.metrics import devenvs
from controller.metrics.families import gauge, one
from controller.metrics.journal import Journal, JournalGapError
from controller.metrics.machines import MachineHistory
from controller.metrics.sorts import BY, LOOP_CRASHES, Sort
from controller.metrics.vocabulary import kind_label, phase_label, retry_label
from controller.metrics.wishes import Wishes
from crds.compute import monthly_cost_usd
from crds.errors import InvalidError
from crds.fleet import Tally, size_of, tally
from crds.platform import PLATFORM, Caps, Platform, PlatformSpec
from crds.store import Store
from crds.store.ledger import Ledger

# As often as Prometheus usually scrapes.
PERIOD_SECONDS: Final = 15.0

log = structlog.get_logger("invoker.fleet")


@dataclass(frozen=True, slots=True)
class View:
    """The fleet at one look; see the metrics made of it for what the fields mean."""

    sorts: Mapping[Sort, int]
    ages: Mapping[str, list[float]]
    drifting: Mapping[str, int]
    unreachable: list[float]
    committed: Tally
    caps: Caps


class FleetWatch(Collector):
    """Looks at the fleet while it leads, and shows what it saw.

    Args:
        store: The rows and their log.
        registry: Where it registers itself.
    """

    def __init__(self, store: Store, registry: CollectorRegistry) -> None:
        self._store = store
        self._wishes = Wishes(registry)
        self._machines = MachineHistory(registry)
        self._journal = Journal(store.database)
        self._ledger = Ledger(store.database, BY)
        self._view: View | None = None
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand."""
        return []

    async def run(self, _: Grip) -> None:
        """Look for as long as this replica leads; after a gap or an outage, begin anew."""
        try:
            while True:
                try:
                    await self.begin()
                    while True:
                        await self.look()
                        await anyio.sleep(PERIOD_SECONDS)
                except JournalGapError:
                    log.info("the log was compacted meanwhile, counting anew")
                except DatabaseError as error:
                    self._view = None
                    log.warning("cannot look at the fleet", error=type(error).__name__)
                    await anyio.sleep(PERIOD_SECONDS)
        finally:
            # Another replica shows it from here on.
            self._view = None

    async def begin(self) -> None:
        """Take the present for the beginning: what happened before is not counted.

        Raises:
            DatabaseError: The rows cannot be read.
        """
        self._journal = Journal(self._store.database)
        self._ledger = Ledger(self._store.database, BY)
        now, found = await self._journal.open()
        self._wishes.begin(found, now)
        self._machines.begin(found)

    async def look(self) -> None:
        """Look once at what changed since the last time.

        Raises:
            JournalGapError: A part of it is forgotten: begin anew.
            DatabaseError: The rows cannot be read.
        """
        now, changes = await self._journal.read()
        self._wishes.heed(changes, now)
        self._machines.heed(changes)
        platform = await self._platform()
        sorts = await self._ledger.read()
        self._view = View(
            sorts={Sort(*sort): number for sort, number in sorts.items()},
            ages=self._wishes.ages(now),
            drifting=self._wishes.drifting(),
            unreachable=self._machines.unreachable(now),
            committed=await tally(self._store, platform),
            caps=platform.caps,
        )

    async def _platform(self) -> PlatformSpec:
        try:
            found = await self._store.find(Platform, PLATFORM)
        except InvalidError:
            found = None
        return PlatformSpec() if found is None else found.spec

    def collect(self) -> Iterator[Metric]:
        """What the last look saw; families without values while another replica looks."""
        view = self._view
        yield from self._objects(view)
        yield from self._convergence(view)
        yield from self._fleet(view)
        yield from self._cost(view)
        yield from devenvs.families(None if view is None else view.sorts)

    def _objects(self, view: View | None) -> Iterator[Metric]:
        phases: Counter[tuple[str, ...]] = Counter()
        retries: Counter[tuple[str, ...]] = Counter()
        for sort, number in (view.sorts if view else {}).items():
            kind = kind_label(sort.kind)
            phases[kind, phase_label(sort.phase)] += number
            retries[kind, retry_label(sort.retry)] += number
        yield gauge("invoker_objects", "Objects by phase.", ("kind", "phase"), phases)
        yield gauge(
            "invoker_objects_by_retry",
            "Objects by the kind of error that keeps them from converging.",
            ("kind", "retry"),
            retries,
        )

    def _convergence(self, view: View | None) -> Iterator[Metric]:
        ages = view.ages if view else {}
        yield gauge(
            "invoker_unconverged_objects",
            "Objects that are not as wished, without those that a rule of ours refuses and those "
            "that are paused.",
            ("kind",),
            {(kind,): len(each) for kind, each in ages.items()},
        )
        yield gauge(
            "invoker_oldest_unconverged_seconds",
            "Seconds that the object among them has waited which has waited longest.",
            ("kind",),
            {(kind,): max(each) for kind, each in ages.items()},
        )
        yield gauge(
            "invoker_drifted_objects",
            "Objects that stopped being as wished without a new wish and are not repaired yet.",
            ("kind",),
            {(kind,): number for kind, number in (view.drifting if view else {}).items()},
        )

    def _fleet(self, view: View | None) -> Iterator[Metric]:
        def machines(name: str, text: str, **having: Any) -> Metric:
            return one(name, text, None if view is None else _having(view, **having))

        yield machines(
            "invoker_machines_wanted_running", "Machines that should run.", wanted="Running"
        )
        yield machines(
            "invoker_machines_healthy",
            "Machines that should run and answer.",
            wanted="Running",
            healthy=True,
        )
        yield machines(
            "invoker_machines_crash_looping",
            f"Machines that crashed {LOOP_CRASHES} times or more in a row.",
            looping=True,
        )
        yield machines(
            "invoker_intents_pending",
            "Effects outside that were begun and of which nobody knows the outcome yet.",
            intent=True,
        )
        away = view.unreachable if view else []
        yield one(
            "invoker_machines_unreachable",
            "Machines that run and do not answer.",
            None if view is None else len(away),
        )
        yield one(
            "invoker_machine_unreachable_longest_seconds",
            "Seconds since the machine last answered that has been silent for longest.",
            None if view is None else max(away, default=0.0),
        )

    def _cost(self, view: View | None) -> Iterator[Metric]:
        running = _running_cost(view) if view else {}
        yield gauge(
            "invoker_cost_usd_per_month",
            "What runs at present would cost in a month, in USD: machines that are up, and all "
            "volumes.",
            ("part",),
            running,
        )
        yield one(
            "invoker_committed_cost_usd_per_month",
            "What all workspaces and dev environments would cost in a month if they were always "
            "on, in USD: what the spend cap limits.",
            None if view is None else view.committed.monthly_usd,
        )
        yield one(
            "invoker_cost_cap_usd_per_month",
            "The platform's spend cap, in USD a month.",
            None if view is None else view.caps.monthly_spend_usd,
        )
        yield one(
            "invoker_committed_machines",
            "Workspaces and services of dev environments, which is what the cap on machines "
            "limits.",
            None if view is None else view.committed.machines,
        )
        yield one(
            "invoker_machines_cap",
            "The platform's cap on machines.",
            None if view is None else view.caps.machines,
        )


def _having(view: View, **having: Any) -> int:
    return sum(
        number
        for sort, number in view.sorts.items()
        if all(getattr(sort, name) == value for name, value in having.items())
    )


def _running_cost(view: View) -> dict[tuple[str, ...], float]:
    parts = {("machines",): 0.0, ("volumes",): 0.0}
    for sort, number in view.sorts.items():
        if sort.up and (size := size_of(sort.size)) is not None:
            parts["machines",] += number * monthly_cost_usd(size, 0)
        if sort.volume is not None and sort.volume.isdigit() and (size := size_of(sort.size)):
            volume = monthly_cost_usd(size, int(sort.volume)) - monthly_cost_usd(size, 0)
            parts["volumes",] += number * volume
    return {part: round(usd, 2) for part, usd in parts.items()}
