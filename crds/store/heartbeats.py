"""Heartbeats: what machines say of themselves and what our probes saw, outside the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from crds.store.coalesce import Coalescer
from crds.store.database import Database


class Heartbeat(NamedTuple):
    """What a machine's agent reports of itself."""

    machine: UUID
    at: datetime
    state: str
    version: str
    last_activity_at: datetime | None


class Probe(NamedTuple):
    """What our own health probe of a machine saw; `answer` is None when it did not answer."""

    machine: UUID
    at: datetime
    answer: Heartbeat | None


class UsageSample(NamedTuple):
    """What the provider's metrics say that a machine uses.

    Attributes:
        at: When that was.
        cpu_percent: Of all its processors together, 0 to 100.
        memory_mb: In MiB.
    """

    machine: UUID
    at: datetime
    cpu_percent: float | None
    memory_mb: float | None


class HeartbeatRecord(NamedTuple):
    """The present knowledge of one machine.

    Attributes:
        last_seen_at: When it last said or answered anything.
        last_heartbeat_at: When its agent last reported by itself.
        last_activity_at: The newest activity of its user that it told of.
        healthy_since: Since when it has answered probes without a break.
        unreachable_since: Since when it has not.
        cpu_percent: How much of its processors it used at `usage_at`, 0 to 100.
        memory_mb: How much memory in MiB it used then.
        usage_at: When the provider last told.
    """

    machine: UUID
    state: str
    version: str
    last_seen_at: datetime | None
    last_heartbeat_at: datetime | None
    last_activity_at: datetime | None
    healthy_since: datetime | None
    unreachable_since: datetime | None
    cpu_percent: float | None = None
    memory_mb: float | None = None
    usage_at: datetime | None = None


class Heartbeats:
    """The table of heartbeats."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._finds = Coalescer[UUID, HeartbeatRecord | None](self._find_all)

    async def record(self, beats: Sequence[Heartbeat]) -> None:
        """Note what agents reported; one statement for all of them."""
        newest = {beat.machine: beat for beat in sorted(beats, key=lambda beat: beat.at)}
        await self._database.execute(
            "INSERT INTO heartbeats (machine, state, version, last_seen_at, "
            "last_heartbeat_at, last_activity_at) "
            "SELECT m, s, v, a, a, act FROM unnest(%s::uuid[], %s::text[], %s::text[], "
            "%s::timestamptz[], %s::timestamptz[]) AS t(m, s, v, a, act) ORDER BY m "
            "ON CONFLICT (machine) DO UPDATE SET state = excluded.state, "
            "version = excluded.version, "
            "last_seen_at = greatest(heartbeats.last_seen_at, excluded.last_seen_at), "
            "last_heartbeat_at = "
            "greatest(heartbeats.last_heartbeat_at, excluded.last_heartbeat_at), "
            "last_activity_at = "
            "greatest(heartbeats.last_activity_at, excluded.last_activity_at)",
            [beat.machine for beat in newest.values()],
            [beat.state for beat in newest.values()],
            [beat.version for beat in newest.values()],
            [beat.at for beat in newest.values()],
            [beat.last_activity_at for beat in newest.values()],
        )

    async def record_probes(self, probes: Sequence[Probe]) -> None:
        """Note what probes saw; one statement for all of them."""
        await self._database.execute(
            "INSERT INTO heartbeats AS h (machine, state, version, last_seen_at, "
            "last_activity_at, healthy_since, unreachable_since) "
            "SELECT m, coalesce(s, 'unknown'), coalesce(v, ''), CASE WHEN ok THEN a END, act, "
            "CASE WHEN ok THEN a END, CASE WHEN NOT ok THEN a END "
            "FROM unnest(%s::uuid[], %s::timestamptz[], %s::bool[], %s::text[], %s::text[], "
            "%s::timestamptz[]) AS t(m, a, ok, s, v, act) ORDER BY m "
            "ON CONFLICT (machine) DO UPDATE SET "
            "state = CASE WHEN excluded.healthy_since IS NULL THEN h.state "
            "ELSE excluded.state END, "
            "version = CASE WHEN excluded.healthy_since IS NULL THEN h.version "
            "ELSE excluded.version END, "
            "last_seen_at = greatest(h.last_seen_at, excluded.last_seen_at), "
            "last_activity_at = greatest(h.last_activity_at, excluded.last_activity_at), "
            "healthy_since = CASE WHEN excluded.healthy_since IS NOT NULL "
            "THEN coalesce(h.healthy_since, excluded.healthy_since) END, "
            "unreachable_since = CASE WHEN excluded.unreachable_since IS NOT NULL "
            "THEN coalesce(h.unreachable_since, excluded.unreachable_since) END",
            [probe.machine for probe in probes],
            [probe.at for probe in probes],
            [probe.answer is not None for probe in probes],
            [probe.answer and probe.answer.state for probe in probes],
            [probe.answer and probe.answer.version for probe in probes],
            [probe.answer and probe.answer.last_activity_at for probe in probes],
        )

    async def record_usage(self, samples: Sequence[UsageSample]) -> None:
        """Note what machines use; one statement for all of them, and the newest one holds."""
        newest = {sample.machine: sample for sample in sorted(samples, key=lambda each: each.at)}
        await self._database.execute(
            "INSERT INTO heartbeats AS h (machine, cpu_percent, memory_mb, usage_at) "
            "SELECT m, c, b, a FROM unnest(%s::uuid[], %s::real[], %s::real[], "
            "%s::timestamptz[]) AS t(m, c, b, a) ORDER BY m "
            "ON CONFLICT (machine) DO UPDATE SET cpu_percent = excluded.cpu_percent, "
            "memory_mb = excluded.memory_mb, usage_at = excluded.usage_at "
            "WHERE h.usage_at IS NULL OR h.usage_at <= excluded.usage_at",
            [sample.machine for sample in newest.values()],
            [sample.cpu_percent for sample in newest.values()],
            [sample.memory_mb for sample in newest.values()],
            [sample.at for sample in newest.values()],
        )

    async def note_activity(self, moments: Mapping[UUID, datetime]) -> None:
        """Note when machines last had traffic; one statement for all of them."""
        await self._database.execute(
            "INSERT INTO heartbeats AS h (machine, last_activity_at) "
            "SELECT m, a FROM unnest(%s::uuid[], %s::timestamptz[]) AS t(m, a) ORDER BY m "
            "ON CONFLICT (machine) DO UPDATE SET "
            "last_activity_at = greatest(h.last_activity_at, excluded.last_activity_at)",
            list(moments),
            list(moments.values()),
        )

    async def get(self, machines: Iterable[UUID]) -> dict[UUID, HeartbeatRecord]:
        """What is known of these machines; those never heard of are missing."""
        rows = await self._database.fetch(
            "SELECT machine, state, version, last_seen_at, last_heartbeat_at, "
            "last_activity_at, healthy_since, unreachable_since, cpu_percent, memory_mb, usage_at "
            "FROM heartbeats WHERE machine = ANY(%s)",
            list(machines),
        )
        return {row["machine"]: HeartbeatRecord(**row) for row in rows}

    async def find(self, machine: UUID) -> HeartbeatRecord | None:
        """What is known of one machine; callers at the same time share a statement."""
        return await self._finds.submit(machine)

    async def _find_all(self, machines: Sequence[UUID]) -> Sequence[HeartbeatRecord | None]:
        known = await self.get(machines)
        return [known.get(machine) for machine in machines]

    async def reset_health(self, machine: UUID) -> None:
        """Forget probe results of a machine that is not running: they say nothing any more."""
        await self._database.execute(
            "UPDATE heartbeats SET healthy_since = NULL, unreachable_since = NULL "
            "WHERE machine = %s AND (healthy_since, unreachable_since) IS DISTINCT FROM "
            "(NULL, NULL)",
            machine,
        )

    async def forget(self, machine: UUID) -> None:
        """Remove what is known of a machine that is gone."""
        await self._database.execute("DELETE FROM heartbeats WHERE machine = %s", machine)
