"""The audit: who wrote what, with what was there before and after, and who read what is secret.

Writes are noted by the database itself, reads by whoever gives something away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from crds.meta import Key
from crds.store.database import Database

COLUMNS = (
    "id, at, subject, role, via, request, verb, kind, namespace, name, uid, resource_version, "
    "before, after, given, refused"
)


class Actor(NamedTuple):
    """Who writes, for the audit.

    Attributes:
        subject: The person or token.
        role: In which role.
        via: Through which door, such as `kubernetes` or `console`.
        request: The request's id.
    """

    subject: str
    role: str
    via: str
    request: str = ""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One write, or one read of what is secret.

    Attributes:
        subject: Who: a token's or a person's name, or a database user.
        via: Through which door: kubernetes, api, console, cli or sql.
        verb: create, update, delete or read.
        before: Metadata and spec before it (and the status if the write was about it).
        after: The same after it.
        given: Of a read, the names of what was given; never what it was.
        refused: Of a read that was refused, why, in a word.
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
    given: list[str] | None = None
    refused: str = ""


class Audit:
    """The table of what people and programs outside the controllers wrote, and secrets read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note_read(
        self, actor: Actor, key: Key, uid: UUID | None, *, given: Sequence[str], refused: str = ""
    ) -> None:
        """Note that somebody asks for something secret, before they are given anything.

        Args:
            actor: Who.
            key: Of which object.
            uid: Its uid, when there is one.
            given: The names of what they are about to be given.
            refused: Why they are given nothing, in a word.
        """
        await self._database.execute(
            "INSERT INTO audit (subject, role, via, request, verb, kind, namespace, name, uid, "
            "given, refused) VALUES (%s, %s, %s, %s, 'read', %s, %s, %s, %s, %s::text[], %s)",
            *actor,
            *key,
            uid,
            list(given),
            refused,
        )

    async def list(
        self, *, uid: UUID | None = None, before_id: int | None = None, limit: int = 100
    ) -> Sequence[AuditRecord]:
        """Writes and reads, the newest first.

        Args:
            uid: Only those of this object.
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
