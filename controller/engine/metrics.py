"""The engine's metrics, under the names the field knows.

The engine counts in plain integers; they become metrics when somebody scrapes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from controller.engine.controller import Controller
from controller.engine.leader import Leader
from controller.engine.recorder import EventRecorder
from controller.engine.shards import Shards
from controller.engine.stats import Histogram

_RUNTIME = "invoker_controller_runtime"
_QUEUE = "invoker_workqueue"
RESULTS = (
    "success",
    "requeue_after",
    "error",
    "blocked",
    "terminal",
    "conflict",
    "fenced",
    "dropped",
)

Rows = Iterable[tuple[str, float]]


class EngineMetrics(Collector):
    """Collects from the engine's parts; scraped on the loop that runs them.

    Args:
        registry: Where it registers itself.
        controllers: The controllers, each with its queue.
        shards: This replica's share of the keys.
        leaders: The offices that this replica stands for.
        recorder: The recorder of events.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        controllers: Sequence[Controller] = (),
        shards: Shards | None = None,
        leaders: Sequence[Leader] = (),
        recorder: EventRecorder | None = None,
    ) -> None:
        self._controllers = controllers
        self._shards = shards
        self._leaders = leaders
        self._recorder = recorder
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: to describe would be to collect, and nothing runs yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Everything as it is now."""
        yield from self._reconciles()
        yield from self._workers()
        yield from self._queues()
        yield from self._queue_work()
        yield from self._ownership()

    def _reconciles(self) -> Iterator[Metric]:
        total = CounterMetricFamily(
            f"{_RUNTIME}_reconcile", "Reconciles by result.", labels=("controller", "result")
        )
        for each in self._controllers:
            for result in RESULTS:
                total.add_metric((each.name, result), each.stats.results[result])
        yield total
        yield self._counter(
            f"{_RUNTIME}_reconcile_errors",
            "Reconciles that ended in an error other than a conflict.",
            ((each.name, each.stats.errors) for each in self._controllers),
        )
        yield self._counter(
            f"{_RUNTIME}_reconcile_panics",
            "Reconciles that ended in an error nobody raised on purpose.",
            ((each.name, each.stats.panics) for each in self._controllers),
        )
        yield self._histogram(
            f"{_RUNTIME}_reconcile_time_seconds",
            "Seconds a reconcile took.",
            ((each.name, each.stats.time) for each in self._controllers),
        )

    def _workers(self) -> Iterator[Metric]:
        yield self._gauge(
            f"{_RUNTIME}_max_concurrent_reconciles",
            "Workers of a controller.",
            ((each.name, each.workers) for each in self._controllers),
        )
        yield self._gauge(
            f"{_RUNTIME}_active_workers",
            "Workers that have a key in hand.",
            ((each.name, len(each.queue.taken)) for each in self._controllers),
        )
        yield self._gauge(
            f"{_RUNTIME}_stuck_workers",
            "Workers whose reconcile outlived its timeout.",
            ((each.name, each.stuck) for each in self._controllers),
        )

    def _queues(self) -> Iterator[Metric]:
        yield self._gauge(
            f"{_QUEUE}_depth",
            "Keys that could be taken now.",
            ((each.name, len(each.queue)) for each in self._controllers),
            label="name",
        )
        yield self._gauge(
            f"{_QUEUE}_delayed",
            "Keys that are due later.",
            ((each.name, each.queue.delayed) for each in self._controllers),
            label="name",
        )
        yield self._counter(
            f"{_QUEUE}_adds",
            "Keys that began to wait.",
            ((each.name, each.queue.stats.adds) for each in self._controllers),
            label="name",
        )
        yield self._counter(
            f"{_QUEUE}_retries",
            "Keys that were queued again after a failure.",
            ((each.name, each.queue.stats.retries) for each in self._controllers),
            label="name",
        )

    def _queue_work(self) -> Iterator[Metric]:
        yield self._histogram(
            f"{_QUEUE}_queue_duration_seconds",
            "Seconds from queued to taken.",
            ((each.name, each.queue.stats.queue_duration) for each in self._controllers),
            label="name",
        )
        yield self._histogram(
            f"{_QUEUE}_work_duration_seconds",
            "Seconds from taken to done.",
            ((each.name, each.queue.stats.work_duration) for each in self._controllers),
            label="name",
        )
        ages = {each.name: _ages(each) for each in self._controllers}
        yield self._gauge(
            f"{_QUEUE}_unfinished_work_seconds",
            "Seconds of work in progress that work_duration has not seen yet.",
            ((name, sum(each)) for name, each in ages.items()),
            label="name",
        )
        yield self._gauge(
            f"{_QUEUE}_longest_running_processor_seconds",
            "Seconds that the longest running reconcile has run.",
            ((name, max(each, default=0.0)) for name, each in ages.items()),
            label="name",
        )

    def _ownership(self) -> Iterator[Metric]:
        if self._shards is not None:
            owned = self._shards.held()
            yield self._gauge(
                "invoker_shard_owned",
                "Whether this replica owns the shard.",
                ((str(n), float(n in owned)) for n in range(self._shards.count)),
                label="shard",
            )
        yield self._gauge(
            "invoker_leader_election_master_status",
            "Whether this replica leads.",
            ((each.name, float(each.leading)) for each in self._leaders),
            label="name",
        )
        if self._recorder is not None:
            yield CounterMetricFamily(
                "invoker_events_dropped", "Events over the limit.", value=self._recorder.dropped
            )

    @staticmethod
    def _counter(name: str, text: str, rows: Rows, label: str = "controller") -> Metric:
        family = CounterMetricFamily(name, text, labels=(label,))
        for value, number in rows:
            family.add_metric((value,), number)
        return family

    @staticmethod
    def _gauge(name: str, text: str, rows: Rows, label: str = "controller") -> Metric:
        family = GaugeMetricFamily(name, text, labels=(label,))
        for value, number in rows:
            family.add_metric((value,), number)
        return family

    @staticmethod
    def _histogram(
        name: str, text: str, rows: Iterable[tuple[str, Histogram]], label: str = "controller"
    ) -> Metric:
        family = HistogramMetricFamily(name, text, labels=(label,))
        for value, histogram in rows:
            family.add_metric((value,), histogram.buckets(), histogram.sum)
        return family


def _ages(controller: Controller) -> list[float]:
    now = asyncio.get_running_loop().time()
    return [now - since for since in controller.queue.taken.values()]
