"""Things outside that carry our mark and that no row wants."""

from __future__ import annotations

from collections import Counter
from typing import Final

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client import Counter as CounterMetric

THINGS: Final = ("app", "volume", "machine", "entry")


class LeakMetrics:
    """What the collector finds and removes; it tells after every look.

    Args:
        registry: Where the metrics are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seen = Gauge(
            "invoker_orphans",
            "Things outside that carry our mark and had no row at the last look.",
            ("thing",),
            registry=registry,
        )
        self._removed = CounterMetric(
            "invoker_orphans_removed",
            "Things outside that were removed because no row wanted them.",
            ("thing",),
            registry=registry,
        )
        self._refusals = CounterMetric(
            "invoker_collections_refused",
            "Looks after which nothing was removed, because so much seemed lost at once.",
            registry=registry,
        )
        for thing in THINGS:
            self._removed.labels(thing)

    def saw(self, things: Counter[str]) -> None:
        """So many orphans of each sort were there."""
        for thing in THINGS:
            self._seen.labels(thing).set(things[thing])

    def removed(self, thing: str) -> None:
        """One was removed."""
        self._removed.labels(thing).inc()

    def refused(self) -> None:
        """Nothing was removed, for fear of having lost rows."""
        self._refusals.inc()

    def forget(self) -> None:
        """Another replica looks from here on."""
        self._seen.clear()
