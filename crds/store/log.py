"""The log of changes: tail it, compact it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from datetime import datetime

from psycopg.rows import DictRow

from crds.errors import ExpiredError
from crds.meta import Key
from crds.store.database import Database
from crds.store.doorbell import Doorbell
from crds.store.rows import WatchEvent, to_json

BATCH = 500


class Log:
    """The table `object_log`, whose order is the order in which changes became visible."""

    def __init__(self, database: Database, doorbell: Doorbell, poll_seconds: float) -> None:
        self._database = database
        self._doorbell = doorbell
        self._poll_seconds = poll_seconds

    async def newest(self) -> int:
        """The newest visible version; 0 before the first change."""
        rows = await self._database.fetch(
            "SELECT greatest(coalesce((SELECT max(resource_version) FROM object_log), 0), "
            "(SELECT compacted FROM log_horizon)) AS newest"
        )
        return int(rows[0]["newest"])

    async def horizon(self) -> int:
        """The newest compacted version: what is not newer cannot be watched from."""
        rows = await self._database.fetch("SELECT compacted FROM log_horizon")
        return int(rows[0]["compacted"])

    async def tail(self, kinds: Collection[str] | None, since: int) -> AsyncIterator[WatchEvent]:
        """Every change after `since`, in order, for ever; BOOKMARKs tell of other kinds' changes.

        Raises:
            ExpiredError: `since` is compacted or in the future.
        """
        async for rows in self._batches(since):
            for row in rows:
                if kinds is None or row["kind"] in kinds:
                    yield _event(row)
            if rows and kinds is not None and rows[-1]["kind"] not in kinds:
                yield _bookmark(rows[-1])

    async def batches(self, since: int) -> AsyncGenerator[Sequence[WatchEvent], None]:
        """The same of every kind, as many at a time as there are; an empty one after each wait.

        Raises:
            ExpiredError: `since` is compacted or in the future.
        """
        async for rows in self._batches(since):
            yield [_event(row) for row in rows]

    async def _batches(self, since: int) -> AsyncIterator[list[DictRow]]:
        if since > await self.newest():
            raise ExpiredError(f"version {since} has not been yet")
        while True:
            heard = self._doorbell.rings()
            rows = await self._after(since)
            if rows:
                since = rows[-1]["resource_version"]
            yield rows
            if len(rows) < BATCH:
                await self._doorbell.wait(heard, self._poll_seconds)

    async def compact(self, before: datetime) -> int:
        """Forget changes logged before a moment, never the newest; returns how many."""
        rows = await self._database.fetch(
            "WITH gone AS (DELETE FROM object_log WHERE logged_at < %s "
            "AND resource_version < (SELECT max(resource_version) FROM object_log) "
            "RETURNING resource_version), "
            "horizon AS (UPDATE log_horizon SET compacted = "
            "greatest(compacted, (SELECT max(resource_version) FROM gone)) RETURNING compacted) "
            "SELECT (SELECT count(*) FROM gone) AS forgotten, compacted FROM horizon",
            before,
        )
        return int(rows[0]["forgotten"])

    async def _after(self, since: int) -> list[DictRow]:
        rows = await self._database.fetch(
            "SELECT (SELECT compacted FROM log_horizon) AS compacted, l.* "
            "FROM (SELECT 1) AS one LEFT JOIN LATERAL (SELECT resource_version, type, kind, "
            "namespace, name, uid, spec_changed, object, previous FROM object_log "
            "WHERE resource_version > %s ORDER BY resource_version LIMIT %s) l ON true",
            since,
            BATCH,
        )
        if rows[0]["compacted"] > since:
            raise ExpiredError(f"version {since} is compacted; list again")
        return [row for row in rows if row["resource_version"] is not None]


def _event(row: DictRow) -> WatchEvent:
    previous = row["previous"]
    return WatchEvent(
        row["type"],
        row["resource_version"],
        Key(row["kind"], row["namespace"], row["name"]),
        row["uid"],
        row["spec_changed"],
        to_json(row["object"]),
        None if previous is None else to_json(previous),
    )


def _bookmark(row: DictRow) -> WatchEvent:
    return WatchEvent(
        "BOOKMARK",
        row["resource_version"],
        Key(row["kind"], "", ""),
        row["uid"],
        spec_changed=False,
        object=None,
        previous=None,
    )
