"""What machines go through: made, healthy, crashed, recovered, out of reach."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

import prometheus_client as prometheus

from controller.metrics.journal import Change, Facts, Open, moment

# A minute, an hour, a working day, a week, a month of uptime.
BUCKETS: Final = (60, 300, 900, 1800, 3600, 14400, 28800, 86400, 604800, 2592000)
KIND: Final = "Machine"


class MachineHistory:
    """Counts what happens to machines.

    Args:
        registry: Where the metrics are registered.
    """

    def __init__(self, registry: prometheus.CollectorRegistry) -> None:
        self._unreachable: dict[UUID, datetime] = {}
        self._created = prometheus.Counter(
            "invoker_machines_created", "Machines that were made or adopted.", registry=registry
        )
        self._crashes = prometheus.Counter(
            "invoker_machine_crashes",
            "Crashes of machines, those that stopped answering included.",
            registry=registry,
        )
        self._recoveries = prometheus.Counter(
            "invoker_machine_recoveries",
            "Machines that became healthy again after a crash.",
            registry=registry,
        )
        self._runs = prometheus.Histogram(
            "invoker_machine_uptime_seconds",
            "Seconds that a machine was healthy at a stretch, when the stretch ended.",
            buckets=BUCKETS,
            registry=registry,
        )

    def begin(self, found: Iterable[Open]) -> None:
        """Start over with the machines that do not answer at present."""
        self._unreachable.clear()
        for entry in found:
            if entry.kind == KIND:
                self._note_reach(entry.uid, entry.facts)

    def heed(self, changes: Iterable[Change]) -> None:
        """Take in what changed."""
        for change in changes:
            if change.kind == KIND:
                self._heed(change)

    def unreachable(self, now: datetime) -> list[float]:
        """Seconds since each machine that should answer stopped answering."""
        return [max(0.0, (now - since).total_seconds()) for since in self._unreachable.values()]

    def _heed(self, change: Change) -> None:
        before, after = change.before or _NOTHING, change.after or _NOTHING
        if after.instance is not None and after.instance != before.instance:
            self._created.inc()
        crashes = (after.crashes or 0) - (before.crashes or 0)
        if crashes > 0:
            self._crashes.inc(crashes)
        if after.healthy_since is not None and before.healthy_since is None and after.crashes:
            self._recoveries.inc()
        if before.healthy_since is not None and after.healthy_since != before.healthy_since:
            began = moment(before.healthy_since) or change.at
            self._runs.observe(max(0.0, (change.at - began).total_seconds()))
        self._note_reach(change.uid, after)

    def _note_reach(self, uid: UUID, facts: Facts) -> None:
        self._unreachable.pop(uid, None)
        if (since := moment(facts.unreachable_since)) is not None:
            self._unreachable[uid] = since


_NOTHING: Final = Facts(0, converged=False, deleting=False, refused=False)
