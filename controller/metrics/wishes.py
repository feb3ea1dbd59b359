"""How long wishes take to come true, and how often what was true stops being so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

import prometheus_client as prometheus

from controller.metrics.journal import Change, Facts, Open
from controller.metrics.vocabulary import kind_label

Wish = Literal["create", "change", "delete"]
Outcome = Literal["in_time", "late", "refused", "superseded"]
WISHES: Final[tuple[Wish, ...]] = ("create", "change", "delete")
OUTCOMES: Final[tuple[Outcome, ...]] = ("in_time", "late", "refused", "superseded")

# The objective: 99 % of wishes have come true within this time.
PROMISE: Final = timedelta(seconds=60)
PROMISES: Final[Mapping[str, timedelta]] = {
    # Six services start one after the other, a database first.
    "DevEnv": timedelta(seconds=180),
    # A droplet boots within a minute, and installs packages before its gateway comes up.
    "Vps": timedelta(seconds=300),
}
BUCKETS: Final = (0.5, 1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 300, 600, 1800, 3600)
# Their Ready only repeats that of a child, or of what they are on, which is counted by itself.
MIRRORS: Final = frozenset({"Workspace", "DevEnv", "Session", "AuthorizedKey"})


@dataclass(slots=True)
class _Open:
    kind: str
    since: datetime
    refused: bool
    wish: Wish | None  # None: not a wish, but a drift
    born: datetime | None = None  # of an object that was never ready yet
    told: bool = False


class Wishes:
    """Follows every object that is not as it should be, until it is.

    A wish counts once: as soon as it has come true, or as soon as it is late.
    So an outage shows while it lasts, and not when it is over.

    Args:
        registry: Where the metrics are registered.
    """

    def __init__(self, registry: prometheus.CollectorRegistry) -> None:
        self._open: dict[UUID, _Open] = {}
        self._wishes = prometheus.Counter(
            "invoker_wishes",
            "Wishes by what became of them within 60 seconds, 180 for dev environments, or 300 for "
            "VPSs; refused ones break a rule of ours or wait for a gateway that is away, "
            "superseded ones were followed by another wish before their time was up.",
            ("kind", "wish", "outcome"),
            registry=registry,
        )
        self._convergence = prometheus.Histogram(
            "invoker_convergence_seconds",
            "Seconds from a wish to its having come true.",
            ("kind", "wish"),
            buckets=BUCKETS,
            registry=registry,
        )
        self._readiness = prometheus.Histogram(
            "invoker_time_to_readiness_seconds",
            "Seconds from an object's creation to its first being ready.",
            ("kind",),
            buckets=BUCKETS,
            registry=registry,
        )
        self._drift = prometheus.Counter(
            "invoker_drift",
            "Objects that stopped being as wished without a new wish: a crash, a wake by a "
            "request, a change from outside.",
            ("kind",),
            registry=registry,
        )
        self._repaired = prometheus.Histogram(
            "invoker_drift_seconds",
            "Seconds from a drift to its repair; their count is the drifts that were repaired.",
            ("kind",),
            buckets=BUCKETS,
            registry=registry,
        )

    def begin(self, found: Iterable[Open], now: datetime) -> None:
        """Start over with what is open at present; what is late already was told by somebody."""
        self._open.clear()
        for kind, uid, since, facts in found:
            if not facts.converged:
                self._open[uid] = _Open(
                    kind,
                    since,
                    facts.refused,
                    "delete" if facts.deleting else "create" if facts.generation == 1 else "change",
                    told=_is_late(kind, now - since),
                )

    def heed(self, changes: Iterable[Change], now: datetime) -> None:
        """Take in what changed until now."""
        for change in changes:
            self._heed(change)
        for entry in self._open.values():
            if entry.wish is None or entry.told:
                continue
            if _is_late(entry.kind, now - entry.since):
                self._tell(entry, "refused" if entry.refused else "late")

    def ages(self, now: datetime) -> dict[str, list[float]]:
        """Seconds since each object stopped being as wished, by kind; refused ones are left out."""
        ages: dict[str, list[float]] = {}
        for entry in self._open.values():
            if entry.refused:
                continue
            age = max(0.0, (now - entry.since).total_seconds())
            ages.setdefault(kind_label(entry.kind), []).append(age)
        return ages

    def drifting(self) -> Counter[str]:
        """How many objects are open without a new wish, by kind."""
        return Counter(kind_label(e.kind) for e in self._open.values() if e.wish is None)

    def _heed(self, change: Change) -> None:
        before, after = change.before, change.after
        if after is None:
            self._settle(change)
        elif before is None or after.generation != before.generation:
            self._wished(change, after)
        if after is not None:
            self._looked(change, after)

    def _wished(self, change: Change, after: Facts) -> None:
        old = self._open.pop(change.uid, None)
        if old is not None and old.wish is not None and not old.told:
            self._tell(old, "superseded")
        born = change.at if change.before is None else old.born if old else None
        wish: Wish = "delete" if after.deleting else "create" if change.before is None else "change"
        self._open[change.uid] = _Open(change.kind, change.at, after.refused, wish, born)

    def _looked(self, change: Change, after: Facts) -> None:
        """The status as it is now: a wish came true, was refused, or something drifted."""
        entry = self._open.get(change.uid)
        if after.converged:
            self._settle(change)
        elif entry is not None:
            entry.refused = after.refused
        elif change.before is not None and change.before.converged:
            self._open[change.uid] = _Open(change.kind, change.at, after.refused, wish=None)
            if change.kind not in MIRRORS:
                self._drift.labels(kind_label(change.kind)).inc()

    def _settle(self, change: Change) -> None:
        entry = self._open.pop(change.uid, None)
        if entry is None:
            return
        kind, seconds = kind_label(entry.kind), (change.at - entry.since).total_seconds()
        if entry.wish is None:
            if entry.kind not in MIRRORS and change.after is not None:
                self._repaired.labels(kind).observe(seconds)
            return
        if change.after is None and entry.wish != "delete":
            return  # it went without having been asked to come true any more
        if not entry.told:
            late = _is_late(entry.kind, change.at - entry.since)
            self._tell(entry, "late" if late else "in_time")
        self._convergence.labels(kind, entry.wish).observe(seconds)
        if entry.born is not None and change.after is not None:
            self._readiness.labels(kind).observe((change.at - entry.born).total_seconds())

    def _tell(self, entry: _Open, outcome: Outcome) -> None:
        entry.told = True
        if entry.wish is not None:
            self._wishes.labels(kind_label(entry.kind), entry.wish, outcome).inc()


def _is_late(kind: str, age: timedelta) -> bool:
    return age > PROMISES.get(kind, PROMISE)
