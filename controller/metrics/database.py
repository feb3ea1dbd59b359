"""Whether the database answers, and how busy the connections to it are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from prometheus_client import CollectorRegistry, Gauge, Histogram

from crds.clock import Clock
from crds.store.database import Pool

PERIOD_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 2.0
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2)


class DatabaseWatch:
    """Asks the database for a sign of life every few seconds.

    Args:
        ping: Asks; raises when there is none.
        pool: The connections.
        registry: Where the metrics are registered.
    """

    def __init__(
        self, ping: Callable[[], Awaitable[None]], pool: Pool, registry: CollectorRegistry
    ) -> None:
        self._ping = ping
        self._up = Gauge(
            "invoker_database_up", "1 while the database answers, else 0.", registry=registry
        )
        self._answers = Histogram(
            "invoker_database_ping_seconds",
            "Seconds until the database answered, a free connection included.",
            buckets=BUCKETS,
            registry=registry,
        )
        waiting = Gauge(
            "invoker_database_waiting",
            "Statements that wait for a connection.",
            registry=registry,
        )
        waiting.set_function(lambda: float(pool.get_stats().get("requests_waiting", 0)))

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            await self.look()
            await anyio.sleep(PERIOD_SECONDS)

    async def look(self) -> None:
        """Ask once."""
        asked = Clock.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._ping()
        except Exception:  # noqa: BLE001 - whatever it is, the database does not answer
            self._up.set(0)
            return
        self._up.set(1)
        self._answers.observe(Clock.monotonic() - asked)
