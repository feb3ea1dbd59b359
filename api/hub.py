"""The hub that machines report to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from crds.credentials import MachineTokens
from crds.store import Heartbeat, Store
from crds.store.coalesce import Coalescer

NEXT_HEARTBEAT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Registration:
    """What the control plane knows of a machine that reports; no subdomain: not routed."""

    machine: UUID
    subdomain: str | None


class Hub:
    """Takes heartbeats: those that come at the same time share a read and a write.

    Args:
        store: Where they go.
        tokens: What machines prove themselves with.
    """

    def __init__(self, store: Store, tokens: MachineTokens) -> None:
        self.tokens = tokens
        self._store = store
        self._beats = Coalescer[Heartbeat, Registration | None](self._record)

    async def report(
        self, machine: UUID, state: str, version: str, last_activity_at: datetime | None
    ) -> Registration | None:
        """Note a heartbeat; returns None, and notes nothing, when there is no such machine."""
        now = self._store.clock.now()
        # A machine whose clock runs ahead must not look busy until we have caught up with it.
        activity = min(last_activity_at, now) if last_activity_at else None
        return await self._beats.submit(Heartbeat(machine, now, state, version, activity))

    async def _record(self, beats: Sequence[Heartbeat]) -> Sequence[Registration | None]:
        rows = await self._store.database.fetch(
            "SELECT id, subdomain FROM machine_registry WHERE id = ANY(%s)",
            [beat.machine for beat in beats],
        )
        known = {row["id"]: Registration(row["id"], row["subdomain"]) for row in rows}
        if present := [beat for beat in beats if beat.machine in known]:
            await self._store.heartbeats.record(present)
        return [known.get(beat.machine) for beat in beats]
