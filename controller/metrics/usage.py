"""Whether anybody knows where there was traffic: without that nothing can be stopped rightly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from controller.metrics.families import one


class Looker(Protocol):
    """Who asks for the usage of services.

    Attributes:
        looked_at: When that last succeeded on this replica.
    """

    looked_at: datetime | None


class UsageMetrics(Collector):
    """Shows when services' usage was last asked for with success.

    Args:
        looker: Who asks; None where nobody can.
        registry: Where it registers itself.
    """

    def __init__(self, looker: Looker | None, registry: CollectorRegistry) -> None:
        self._looker = looker
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One moment; none before the first success."""
        looked_at = None if self._looker is None else self._looker.looked_at
        yield one(
            "invoker_usage_looked_timestamp_seconds",
            "When services' usage and traffic was last learnt from the provider, as unix time.",
            None if looked_at is None else looked_at.timestamp(),
        )
