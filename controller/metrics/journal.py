"""What became of objects, read from the log of changes: only what metrics want to know."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import DictRow

from crds.annotations import PAUSED
from crds.store.database import Database


class Facts(NamedTuple):
    """An object at one moment.

    Attributes:
        converged: Whether the newest wish has come true and nothing is wrong since.
        refused: Whether it is not ours to bring about: a rule of ours stands against the wish, as
            a quota does (no provider), an operator has taken the object out of the loop's hands,
            or it waits for a droplet whose gateway is away, which its user may have switched off,
            was refused in it, or is over for good.
        healthy_since: As the status has it, in RFC 3339.
        unreachable_since: The same.
        crashes: Crashes in a row.
        instance: The provider's id of the machine.
    """

    generation: int
    converged: bool
    deleting: bool
    refused: bool
    healthy_since: str | None = None
    unreachable_since: str | None = None
    crashes: int | None = None
    instance: str | None = None


class Change(NamedTuple):
    """A change of an object; `before` is None for a new one, `after` for one that is gone."""

    kind: str
    uid: UUID
    at: datetime
    before: Facts | None
    after: Facts | None


class Open(NamedTuple):
    """An object that is not as it should be, when the journal is opened.

    `since` is when it was wished so, or when it stopped being ready, if that was later.
    """

    kind: str
    uid: UUID
    since: datetime
    facts: Facts


class News(NamedTuple):
    """What the journal has to tell.

    Attributes:
        now: The database's time, by which the changes are stamped too.
        changes: In the order in which they became visible.
    """

    now: datetime
    changes: Sequence[Change]


class JournalGapError(Exception):
    """The log has forgotten a part of what was not read yet: open the journal anew."""


class Journal:
    """Reads on from where it was read last.

    Args:
        database: Where the log is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._since = 0

    async def open(self) -> tuple[datetime, list[Open]]:
        """Begin at the present; returns it, and what is not as it should be."""
        rows = await self._database.fetch(_OPEN)
        self._since = rows[0]["at"]
        return rows[0]["now"], [
            Open(row["kind"], row["uid"], _later(row), Facts(*row["facts"]))
            for row in rows
            if row["uid"] is not None
        ]

    async def read(self) -> News:
        """What changed since the last time.

        Raises:
            JournalGapError: A part of it is forgotten.
        """
        rows = await self._database.fetch(_READ, self._since)
        if rows[0]["compacted"] > self._since or rows[0]["newest"] < self._since:
            raise JournalGapError
        self._since = rows[0]["newest"]
        return News(rows[0]["now"], [_change(row) for row in rows if row["uid"] is not None])


def _later(row: DictRow) -> datetime:
    """The wish, or the moment since which it is not true any more."""
    since: datetime = row["since"]
    return max(since, moment(row["ready_since"]) or since)


def moment(text: str | None) -> datetime | None:
    """A time as a status has it; None for what an edit by plain SQL made of it."""
    with suppress(ValueError):
        found = None if text is None else datetime.fromisoformat(text)
        return found if found is None or found.tzinfo is not None else None
    return None


def _change(row: DictRow) -> Change:
    return Change(
        row["kind"], row["uid"], row["at"], _facts_of(row["before"]), _facts_of(row["after"])
    )


def _facts_of(values: Sequence[Any] | None) -> Facts | None:
    return None if values is None else Facts(*values)


# Of droplets, and of what is on them.
_NOT_OURS = "'Ended', 'Expired', 'Failed', 'Offline', 'Waiting'"


def _converged(status: str, generation: str, deleting: str) -> str:
    not_ready = """'$.conditions[*] ? (@.type == "Ready" && @.status != "True")'"""
    return (
        f"(NOT {deleting} AND coalesce({status}->'observedGeneration' = {generation}, false) "
        f"AND NOT coalesce(jsonb_path_exists({status}, {not_ready}), false))"
    )


def _facts(status: str, generation: str, deleting: str, annotations: str) -> str:
    """A JSON array with the fields of `Facts`; it cannot fail, whatever SQL left in a row."""
    crashes = f"{status}->'restarts'->'count'"
    return (
        f"jsonb_build_array({generation}, {_converged(status, generation, deleting)}, {deleting}, "
        f"(coalesce({status}->'retry'->>'kind' IN ('Blocked', 'Terminal') "
        f"AND {status}->'retry'->>'provider' IS NULL, false) "
        f"OR coalesce({annotations}->>'{PAUSED}' = 'true', false) "
        f"OR coalesce({status}->>'phase' IN ({_NOT_OURS}), false)), "
        f"{status}->>'healthySince', {status}->>'unreachableSince', "
        f"CASE jsonb_typeof({crashes}) WHEN 'number' THEN {crashes} END, "
        f"{status}->'instance'->>'id')"
    )


def _logged(which: str) -> str:
    deleting = f"({which}->>'deletion_timestamp' IS NOT NULL)"
    status, generation = f"({which}->'status')", f"({which}->'generation')"
    facts = _facts(status, generation, deleting, f"({which}->'annotations')")
    return f"CASE WHEN {which} IS NOT NULL THEN {facts} END"


_ROW = ("status", "to_jsonb(generation)", "(deletion_timestamp IS NOT NULL)")
_ROW_FACTS = _facts(*_ROW, "annotations")
_NEWEST = (
    "SELECT now() AS now, coalesce((SELECT max(resource_version) FROM object_log), 0) AS newest, "
    "(SELECT compacted FROM log_horizon) AS compacted"
)
_READ = (
    f"SELECT * FROM ({_NEWEST}) AS horizon LEFT JOIN ("  # noqa: S608 - constants; values are parameters
    f"SELECT version, kind, uid, at, {_logged('was')} AS before, {_logged('become')} AS after "
    "FROM ("
    "SELECT resource_version AS version, kind, uid, logged_at AS at, "
    "CASE type WHEN 'DELETED' THEN object ELSE previous END AS was, "
    "CASE WHEN type <> 'DELETED' THEN object END AS become "
    "FROM object_log WHERE resource_version > %s OFFSET 0) AS logged) AS change "
    "ON before IS DISTINCT FROM after ORDER BY version"
)
# A wish is as old as the first entry of its generation; one that the log forgot, as its object.
_OPEN = (
    f"WITH open AS (SELECT kind, uid, generation, creation_timestamp, {_ROW_FACTS} AS facts, "  # noqa: S608 - the same
    "jsonb_path_query_first(status, '$.conditions[*] ? (@.type == \"Ready\").lastTransitionTime') "
    "#>> '{}' AS ready_since "
    f"FROM objects WHERE NOT {_converged(*_ROW)} OR status ? 'unreachableSince'), "
    "wish AS (SELECT uid, object->'generation' AS generation, min(logged_at) AS since "
    "FROM object_log WHERE uid IN (SELECT uid FROM open) GROUP BY 1, 2) "
    "SELECT now() AS now, coalesce((SELECT max(resource_version) FROM object_log), 0) AS at, "
    "open.kind, open.uid, open.facts, open.ready_since, "
    "coalesce(wish.since, open.creation_timestamp) AS since "
    "FROM (SELECT 1) AS one LEFT JOIN open ON true LEFT JOIN wish "
    "ON wish.uid = open.uid AND wish.generation = to_jsonb(open.generation)"
)
