"""Events: what happened to an object, in words, aggregated; and what others post in our place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from psycopg import errors as pg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from crds.errors import AlreadyExistsError, ConflictError
from crds.store.database import Database

RECORD = "namespace, kind, name, uid, type, reason, message, count, first_at, last_at"
ROW = f"id, place, event_name, version, made, details, {RECORD}"


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


@dataclass(frozen=True, slots=True)
class PostedEvent:
    """An event that somebody else posted under a name of its own.

    Attributes:
        record: What every event has; the namespace is the one that it is posted to.
        name: Its name.
        details: What it has beside that, as JSON.
    """

    record: EventRecord
    name: str
    details: Mapping[str, Any]


class Events:
    """The table of events.

    Every change has a version from one sequence, given under a lock:
    their order is the order in which the changes become visible.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, events: Sequence[EventRecord]) -> None:
        """Add events; the same words about the same object raise the count."""
        async with self._database.pool.connection() as connection, connection.cursor() as cursor:
            await cursor.executemany(
                f"INSERT INTO events ({RECORD}) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
                "ON CONFLICT (uid, type, reason, md5(message)) WHERE details IS NULL DO UPDATE SET "
                "count = events.count + excluded.count, "
                "last_at = greatest(events.last_at, excluded.last_at)",
                [astuple(event) for event in events],
            )

    async def list(
        self, *, namespace: str | None = None, uid: UUID | None = None
    ) -> Sequence[EventRecord]:
        """Events of a namespace or of one object, oldest first."""
        rows = await self._database.fetch(
            f"SELECT {RECORD} FROM events "
            "WHERE namespace = coalesce(%s, namespace) AND uid = coalesce(%s, uid) "
            "ORDER BY last_at, id",
            namespace,
            uid,
        )
        return [EventRecord(**row) for row in rows]

    async def expire(self, now: datetime, age: timedelta) -> int:
        """Remove events that last happened longer ago than `age`; returns how many."""
        rows = await self._database.fetch(
            "WITH gone AS (DELETE FROM events WHERE last_at < %s RETURNING version), "
            "horizon AS (UPDATE event_horizon SET expired = "
            "greatest(expired, (SELECT max(version) FROM gone))) "
            "SELECT count(*) AS expired FROM gone",
            now - age,
        )
        return int(rows[0]["expired"])

    async def newest(self) -> int:
        """The newest visible version; 0 before the first event."""
        rows = await self._database.fetch(f"SELECT {_NEWEST} AS newest")
        return int(rows[0]["newest"])

    async def page(
        self,
        *,
        place: str | None = None,
        name: str | None = None,
        after: tuple[str, str] | None = None,
        limit: int | None = None,
    ) -> tuple[int, Sequence[DictRow]]:
        """Events in the order of place and name.

        Args:
            place: Only of this namespace; those about cluster objects are in `default`.
            name: Only the one of this name.
            after: Only those that come after this place and name.
            limit: At most so many.

        Returns:
            The version that they are a snapshot of, and the rows.
        """
        conditions = " AND (place, event_name) > (%s, %s)" if after else ""
        rows = await self._database.fetch(
            f"SELECT {_NEWEST} AS at, e.* FROM (SELECT 1) AS one LEFT JOIN LATERAL ("
            f"SELECT {ROW} FROM events WHERE place = coalesce(%s, place) "
            f"AND event_name = coalesce(%s, event_name){conditions} "
            "ORDER BY place, event_name LIMIT %s) e ON true",
            place,
            name,
            *(after or ()),
            limit,
        )
        return rows[0]["at"], [row for row in rows if row["id"] is not None]

    async def since(self, version: int, limit: int) -> Sequence[DictRow]:
        """Events that changed after a version, as they are, in the order of their last change."""
        return await self._database.fetch(
            f"SELECT {ROW} FROM events WHERE version > %s ORDER BY version LIMIT %s",
            version,
            limit,
        )

    async def post(
        self, event: PostedEvent, *, expected: int | None = None, dry_run: bool = False
    ) -> DictRow:
        """Store what somebody posted.

        Args:
            event: The event.
            expected: The version of the one that it replaces; None for a new one.
            dry_run: Do everything and keep nothing.

        Returns:
            Its row.

        Raises:
            AlreadyExistsError: The name is taken.
            ConflictError: The one that it replaces moved, or is gone.
        """
        values = {
            **_columns(event.record),
            "event_name": event.name,
            "details": Jsonb(event.details),
        }
        names = ", ".join(values)
        places = ", ".join(["%s"] * len(values))
        if expected is None:
            query = f"INSERT INTO events ({names}) VALUES ({places}) RETURNING {ROW}"
            key: tuple[object, ...] = ()
        else:
            query = (
                f"UPDATE events SET ({names}) = ROW ({places}) "
                "WHERE place = coalesce(nullif(%s, ''), 'default') AND event_name = %s "
                f"AND version = %s RETURNING {ROW}"
            )
            key = (event.record.namespace, event.name, expected)
        try:
            async with (
                self._database.pool.connection() as connection,
                connection.transaction(force_rollback=dry_run),
            ):
                cursor = await connection.execute(query, (*values.values(), *key))
                row = await cursor.fetchone()
        except pg.UniqueViolation:
            raise AlreadyExistsError(f"Event/{event.record.namespace}/{event.name}") from None
        if row is None:
            raise ConflictError(f"Event/{event.record.namespace}/{event.name} moved")
        return row


_NEWEST = (
    "greatest(coalesce((SELECT max(version) FROM events), 0), (SELECT expired FROM event_horizon))"
)


def _columns(record: EventRecord) -> dict[str, object]:
    return dict(zip(RECORD.split(", "), astuple(record), strict=True))
