"""The audit: who wrote what, with what was there before and after. The database writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from crds.store.database import Database

COLUMNS = (
    "id, at, subject, role, via, request, verb, kind, namespace, name, uid, resource_version, "
    "before, after"
)


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One write.

    Attributes:
        subject: Who: a token's or a person's name, or a database user.
        via: Through which door: kubernetes, api, console, cli or sql.
        verb: create, update or delete.
        before: Metadata and spec before it (and the status if the write was about it).
        after: The same after it.
    """

    id: int
    at: datetime
    subject: str
    role: str
    via: str
    request: str
    verb: str
    kind: str
    namespace: str
    name: str
    uid: UUID | None
    resource_version: int | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Audit:
    """The table of writes by people and programs outside the controllers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self, *, uid: UUID | None = None, before_id: int | None = None, limit: int = 100
    ) -> Sequence[AuditRecord]:
        """Writes, the newest first.

        Args:
            uid: Only those to this object.
            before_id: Only those older than the record with this id.
            limit: At most so many.
        """
        rows = await self._database.fetch(
            f"SELECT {COLUMNS} FROM audit WHERE (%s::uuid IS NULL OR uid = %s) "
            "AND (%s::bigint IS NULL OR id < %s) ORDER BY id DESC LIMIT %s",
            uid,
            uid,
            before_id,
            before_id,
            limit,
        )
        return [AuditRecord(**row) for row in rows]

    async def expire(self, now: datetime, age: timedelta) -> int:
        """Remove records older than `age`; returns how many."""
        async with self._database.pool.connection() as connection, connection.transaction():
            await connection.execute("SELECT set_config('invoker.retention', 'on', true)")
            cursor = await connection.execute("DELETE FROM audit WHERE at < %s", (now - age,))
            return cursor.rowcount
