"""Records events about objects: aggregated, limited, written in batches, never in the way."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol
from uuid import UUID

import anyio
import structlog

from crds.clock import Clock
from crds.meta import Key
from crds.store import EventRecord
from crds.words import plain

log = structlog.get_logger("invoker.recorder")

EventType = Literal["Normal", "Warning"]

# client-go's spam filter: so many events about one object at once, then one in five minutes.
BURST = 25.0
REFILL_PER_SECOND = 1 / 300
# How many objects' buckets are remembered, as client-go's cache; the least used go first.
OBJECTS = 4096
MESSAGE_LIMIT = 1024
"""Characters of a message that are kept, as in core/v1 Event."""


class EventTable(Protocol):
    """The events of the store."""

    async def record(self, events: Sequence[EventRecord]) -> None:
        """Add events; the same words about the same object raise the count."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class EventRecorder:
    """Collects events and writes them once in a while.

    Args:
        table: The events of the store.
        clock: Stamps the events.
        flush_every: Seconds between writes.
        capacity: Distinct events kept while the store is away; more are dropped.
    """

    def __init__(
        self,
        table: EventTable,
        clock: Clock,
        *,
        flush_every: float = 1.0,
        capacity: int = 10_000,
    ) -> None:
        self.dropped = 0
        self.reasons = Counter[str]()
        """How often each reason was given, whether or not the event was kept."""
        self._table = table
        self._clock = clock
        self._flush_every = flush_every
        self._capacity = capacity
        self._pending: dict[tuple[UUID, str, str, str], EventRecord] = {}
        self._buckets: OrderedDict[UUID, _Bucket] = OrderedDict()

    def event(self, key: Key, uid: UUID, type_: EventType, reason: str, message: str) -> None:
        """Note that something happened to an object; never fails and never waits.

        Args:
            key: The object.
            uid: Its uid.
            type_: Warning for what somebody should look at.
            reason: One CamelCase word for programs.
            message: A sentence for people, without secrets.
        """
        self.reasons[reason] += 1
        # One that cannot be kept would hold all others back with it.
        message = plain(message, MESSAGE_LIMIT)
        same = (uid, type_, reason, message)
        now = self._clock.now()
        known = self._pending.get(same)
        if known is not None:
            self._pending[same] = replace(known, count=known.count + 1, last_at=now)
        elif len(self._pending) >= self._capacity or not self._allowed(uid):
            self.dropped += 1
        else:
            self._pending[same] = EventRecord(
                key.namespace, key.kind, key.name, uid, type_, reason, message, 1, now, now
            )

    async def run(self) -> None:
        """Write for ever, and once more when cancelled."""
        try:
            while True:
                await asyncio.sleep(self._flush_every)
                await self.flush()
        finally:
            with anyio.move_on_after(self._flush_every, shield=True):
                await self.flush()

    async def flush(self) -> None:
        """Write what was noted; what cannot be written is kept for the next time."""
        batch, self._pending = self._pending, {}
        if not batch:
            return
        # All writers in one order, so that two replicas cannot wait for each other's rows.
        records = sorted(batch.values(), key=lambda event: (event.uid.bytes, event.reason))
        try:
            await self._table.record(records)
        except Exception as error:  # noqa: BLE001 - events must not hurt anybody
            log.warning("cannot write events", error=type(error).__name__, events=len(batch))
            self._take_back(batch)

    def _take_back(self, batch: dict[tuple[UUID, str, str, str], EventRecord]) -> None:
        for same, old in batch.items():
            new = self._pending.get(same)
            if new is not None:
                self._pending[same] = replace(
                    new, count=new.count + old.count, first_at=old.first_at
                )
            elif len(self._pending) < self._capacity:
                self._pending[same] = old
            else:
                self.dropped += 1

    def _allowed(self, uid: UUID) -> bool:
        """Take a token of the object's bucket."""
        now = self._clock.monotonic()
        bucket = self._buckets.pop(uid, None) or _Bucket(BURST, now)
        self._buckets[uid] = bucket
        if len(self._buckets) > OBJECTS:
            self._buckets.popitem(last=False)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.at) * REFILL_PER_SECOND)
        bucket.at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True
