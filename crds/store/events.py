"""Events: what happened to an object, in words, aggregated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from crds.store.database import Database


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One thing that happened `count` times between two moments."""

    namespace: str
    kind: str
    name: str
    uid: UUID
    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    count: int
    first_at: datetime
    last_at: datetime


class Events:
    """The table of events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, events: Sequence[EventRecord]) -> None:
        """Add events; the same words about the same object raise the count."""
        async with self._database.pool.connection() as connection, connection.cursor() as cursor:
            await cursor.executemany(
                "INSERT INTO events (namespace, kind, name, uid, type, reason, message, count, "
                "first_at, last_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
                "ON CONFLICT (uid, type, reason, md5(message)) DO UPDATE SET "
                "count = events.count + excluded.count, "
                "last_at = greatest(events.last_at, excluded.last_at)",
                [astuple(event) for event in events],
            )

    async def list(
        self, *, namespace: str | None = None, uid: UUID | None = None
    ) -> Sequence[EventRecord]:
        """Events of a namespace or of one object, oldest first."""
        rows = await self._database.fetch(
            "SELECT namespace, kind, name, uid, type, reason, message, count, first_at, last_at "
            "FROM events WHERE namespace = coalesce(%s, namespace) AND uid = coalesce(%s, uid) "
            "ORDER BY last_at, id",
            namespace,
            uid,
        )
        return [EventRecord(**row) for row in rows]

    async def expire(self, now: datetime, age: timedelta) -> int:
        """Remove events that last happened longer ago than `age`; returns how many."""
        return await self._database.execute("DELETE FROM events WHERE last_at < %s", now - age)
