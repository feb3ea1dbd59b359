"""Events by reason: what is told about objects, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.engine import EventRecorder
from controller.metrics.vocabulary import OTHER, REASONS, reason_label


class EventMetrics(Collector):
    """Shows how often each thing happened on this replica.

    Args:
        recorder: Where events are recorded.
        registry: Where it registers itself.
    """

    def __init__(self, recorder: EventRecorder, registry: CollectorRegistry) -> None:
        self._recorder = recorder
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every reason from the start, so that a first time is an increase."""
        counts: Counter[str] = Counter(dict.fromkeys([*sorted(REASONS), OTHER], 0))
        for reason, number in self._recorder.reasons.items():
            counts[reason_label(reason)] += number
        family = CounterMetricFamily(
            "invoker_events", "Things that happened to objects.", labels=("reason",)
        )
        for reason, number in counts.items():
            family.add_metric((reason,), number)
        yield family
