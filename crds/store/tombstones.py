"""Tombstones: which rows are gone, and what of them may be left outside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from crds.meta import Key
from crds.store.database import Database

_COLUMNS: Final = "uid, kind, namespace, name, reason, forced, details, at, gone_at"


class Tombstone(NamedTuple):
    """What became of a row.

    Attributes:
        reason: `Deleted` when it went in order; else why somebody let it go before that.
        forced: Whether it went before what it stood for was gone.
        details: What was on record outside, of a row that was forced.
        gone_at: Since when nothing of it is left outside, as far as the collector sees.
    """

    uid: UUID
    key: Key
    reason: str
    forced: bool
    details: Mapping[str, Any]
    at: datetime
    gone_at: datetime | None


class Tombstones:
    """The table of tombstones; the database adds one for every row that goes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def force(
        self, key: Key, uid: UUID, reason: str, details: Mapping[str, Any], now: datetime
    ) -> None:
        """Note that a row is about to go before what it stands for is gone."""
        await self._database.execute(
            "INSERT INTO tombstones (uid, kind, namespace, name, reason, forced, details, at) "
            "VALUES (%s, %s, %s, %s, %s, true, %s, %s) ON CONFLICT (uid) DO NOTHING",
            uid,
            *key,
            reason,
            Jsonb(details),
            now,
        )

    async def find(self, uids: Iterable[UUID]) -> dict[UUID, Tombstone]:
        """The tombstones of those that have one."""
        rows = await self._database.fetch(
            f"SELECT {_COLUMNS} FROM tombstones WHERE uid = ANY(%s)", [*uids]
        )
        return {row["uid"]: _tombstone(row) for row in rows}

    async def standing(self, *, without: str = "") -> set[UUID]:
        """Those of which something may be left outside.

        Args:
            without: A kind that somebody else looks after.
        """
        rows = await self._database.fetch(
            "SELECT uid FROM tombstones WHERE gone_at IS NULL AND kind <> %s", without
        )
        return {row["uid"] for row in rows}

    async def standing_of(self, kind: str) -> list[Tombstone]:
        """The same of one kind, with what is known of them."""
        rows = await self._database.fetch(
            f"SELECT {_COLUMNS} FROM tombstones WHERE gone_at IS NULL AND kind = %s", kind
        )
        return [_tombstone(row) for row in rows]

    async def namespaces_of(self, kind: str) -> set[str]:
        """The namespaces in which rows of a kind have gone, as far as anybody remembers."""
        rows = await self._database.fetch(
            "SELECT DISTINCT namespace FROM tombstones WHERE kind = %s", kind
        )
        return {row["namespace"] for row in rows}

    async def note_gone(self, uids: Iterable[UUID], now: datetime) -> None:
        """Note that nothing is left of these."""
        await self._database.execute(
            "UPDATE tombstones SET gone_at = %s WHERE uid = ANY(%s) AND gone_at IS NULL",
            now,
            [*uids],
        )

    async def expire(self, now: datetime, age: timedelta) -> int:
        """Forget those of which nothing has been left for longer than `age`; returns how many."""
        return await self._database.execute("DELETE FROM tombstones WHERE gone_at < %s", now - age)


def _tombstone(row: Mapping[str, Any]) -> Tombstone:
    key = Key(row["kind"], row["namespace"], row["name"])
    rest = (row["reason"], row["forced"], row["details"], row["at"], row["gone_at"])
    return Tombstone(row["uid"], key, *rest)
