"""What Prometheus is told beyond the engine and the providers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, ProcessCollector

from controller.devenv.watch import UsageWatch
from controller.engine import EventRecorder
from controller.metrics import (
    DatabaseWatch,
    EventMetrics,
    FleetWatch,
    LeakMetrics,
    UsageMetrics,
)
from crds.store import Store


class Told:
    """Registers all of it, and holds what somebody has to run or to tell."""

    def __init__(
        self,
        store: Store,
        recorder: EventRecorder,
        ping: Callable[[], Awaitable[None]],
        usage: UsageWatch | None,
        registry: CollectorRegistry,
    ) -> None:
        self.fleet = FleetWatch(store, registry)
        self.leaks = LeakMetrics(registry)
        self.database = DatabaseWatch(ping, store.database.pool, registry)
        EventMetrics(recorder, registry)
        UsageMetrics(usage, registry)
        ProcessCollector(registry=registry)
