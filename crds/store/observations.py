"""What gateways report of themselves, beside the log: of each subject the newest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from crds.store.database import Database

CONNECTION: Final = "connection"
HELLO: Final = "hello"
HEALTH: Final = "health"
UPDATE: Final = "update"


def agent_subject(name: str) -> str:
    """The subject of an agent's installation."""
    return f"agent/{name}"


def session_subject(session: UUID) -> str:
    """The subject of a session's beginning and end."""
    return f"session/{session}"


def session_error_subject(session: UUID) -> str:
    """The subject of what went wrong with a session."""
    return f"session-error/{session}"


def session_of(subject: str) -> UUID | None:
    """The session that a subject is about, if it is about one."""
    about, _, session = subject.partition("/")
    return UUID(session) if about in ("session", "session-error") else None


def is_linked(known: Mapping[str, Observation]) -> bool:
    """Whether the hub has a gateway's connection that has said hello, by the newest word.

    The hub takes a health behind a hello only, so the newest of both tells of a connection also
    where its beginning was lost, with a report or with everything behind a backup.

    Args:
        known: What is known of the gateway's connection, its hello and its health, by subject.
    """
    hello, connection = known.get(HELLO), known.get(CONNECTION)
    if hello is None or connection is None:
        return hello is not None
    spoken = max(hello.sequence, known.get(HEALTH, hello).sequence)
    return spoken > connection.sequence


class Observation(NamedTuple):
    """Something that the hub saw of a gateway.

    Attributes:
        gateway: The gateway's id.
        subject: What it is about.
        sequence: Grows with every observation of one gateway.
        kind: `connected`, `disconnected`, or the type of the gateway's message.
        observed_at: When the hub saw it, by its clock.
        message: The gateway's message; None for what the hub saw itself.
    """

    gateway: UUID
    subject: str
    sequence: int
    kind: str
    observed_at: datetime
    message: dict[str, Any] | None


class Observations:
    """The table of what gateways report."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, seen: Sequence[Observation], reported_at: datetime) -> None:
        """Note what was seen; what is older than what is known of its subject changes nothing.

        Args:
            seen: What was seen; the same may come twice.
            reported_at: When it was heard of.
        """
        newest = {
            (each.gateway, each.subject): each for each in sorted(seen, key=lambda e: e.sequence)
        }
        # One order of rows for all writers, or two could wait for each other.
        rows = [newest[key] for key in sorted(newest)]
        await self._database.execute(
            "INSERT INTO gateway_observations AS o "
            "(gateway, subject, sequence, kind, observed_at, reported_at, message) "
            "SELECT g, s, n, k, a, %s, m FROM unnest(%s::uuid[], %s::text[], %s::bigint[], "
            "%s::text[], %s::timestamptz[], %s::jsonb[]) AS t(g, s, n, k, a, m) "
            "ON CONFLICT (gateway, subject) DO UPDATE SET sequence = excluded.sequence, "
            "kind = excluded.kind, observed_at = excluded.observed_at, "
            "reported_at = excluded.reported_at, message = excluded.message "
            "WHERE o.sequence < excluded.sequence",
            reported_at,
            [each.gateway for each in rows],
            [each.subject for each in rows],
            [each.sequence for each in rows],
            [each.kind for each in rows],
            [each.observed_at for each in rows],
            [None if each.message is None else Jsonb(each.message) for each in rows],
        )

    async def of(self, gateway: UUID, *subjects: str) -> dict[str, Observation]:
        """What is known of a gateway, by subject; without subjects all of it."""
        wanted = " AND subject = ANY(%s)" if subjects else ""
        rows = await self._database.fetch(
            "SELECT gateway, subject, sequence, kind, observed_at, message "
            f"FROM gateway_observations WHERE gateway = %s{wanted}",
            gateway,
            *([list(subjects)] if subjects else []),
        )
        return {row["subject"]: Observation(**row) for row in rows}

    async def newest(self, gateways: Sequence[UUID], subject: str) -> dict[UUID, Observation]:
        """What is known of one subject of several gateways."""
        rows = await self._database.fetch(
            "SELECT gateway, subject, sequence, kind, observed_at, message "
            "FROM gateway_observations WHERE gateway = ANY(%s) AND subject = %s",
            list(gateways),
            subject,
        )
        return {row["gateway"]: Observation(**row) for row in rows}

    async def news(self, since: datetime) -> dict[tuple[UUID, str], int]:
        """What was heard of gateways from a moment on, but their health.

        Returns:
            The sequence of each gateway's subject that was heard of.
        """
        rows = await self._database.fetch(
            "SELECT gateway, subject, sequence FROM gateway_observations "
            "WHERE reported_at >= %s AND subject <> 'health'",
            since,
        )
        return {(row["gateway"], row["subject"]): row["sequence"] for row in rows}

    async def forget(self, gateway: UUID) -> None:
        """Remove what is known of a gateway that is gone."""
        await self._database.execute("DELETE FROM gateway_observations WHERE gateway = %s", gateway)

    async def forget_rowless(self) -> int:
        """Remove what was reported of gateways and sessions whose rows are gone.

        Returns:
            How much.
        """
        # Only a session's subject has a uid in it; CASE keeps any other from being read as one.
        return await self._database.execute(
            "DELETE FROM gateway_observations AS o WHERE NOT EXISTS "
            "(SELECT FROM objects WHERE kind = 'Vps' AND uid = o.gateway) "
            "OR CASE WHEN split_part(subject, '/', 1) IN ('session', 'session-error') THEN "
            "NOT EXISTS (SELECT FROM objects "
            "WHERE kind = 'Session' AND uid = split_part(subject, '/', 2)::uuid) ELSE false END"
        )

    async def forget_subjects(self, gateway: UUID, *subjects: str) -> None:
        """Remove what is known of things of a gateway that are gone."""
        await self._database.execute(
            "DELETE FROM gateway_observations WHERE gateway = %s AND subject = ANY(%s)",
            gateway,
            list(subjects),
        )
