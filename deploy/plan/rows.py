"""The rows that a plan is about: read from the real database, written into the copy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg import IsolationLevel
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from crds.annotations import PAUSED
from deploy.plan.documents import Wish

# Rows of the accounts in question, and what holds for all.
OURS = (
    "kind = 'Platform' OR namespace = ANY(%(accounts)s) "
    "OR (kind = 'Account' AND name = ANY(%(accounts)s)) "
    "OR (kind = 'Route' AND spec->>'account' = ANY(%(accounts)s))"
)
# What others have counts towards the caps, and others' claims on a name in question hold.
OTHERS = (
    "kind IN ('Workspace', 'DevEnv') OR (kind = 'Route' AND (name = ANY(%(names)s) OR name IN "
    "(SELECT spec->>'subdomain' FROM objects "
    "WHERE kind = 'Workspace' AND namespace = ANY(%(accounts)s))))"
)


@dataclass(frozen=True, slots=True)
class Rows:
    """What is copied.

    Attributes:
        ours: The accounts' rows and the platform's, as JSON; these are reconciled.
        others: Rows that only have to be there.
        heartbeats: What is known of the accounts' machines.
        secrets: The accounts' secrets, encrypted.
        reports: What the gateways of the accounts' VPSs reported last.
        taken: The apps of others' services, with their networks: their names are fixed.
        carried_out: By machine, the spec that was last carried out, where it is another one.
        newest: The newest resourceVersion.
    """

    ours: Sequence[Mapping[str, Any]]
    others: Sequence[Mapping[str, Any]]
    heartbeats: Sequence[Mapping[str, Any]]
    secrets: Sequence[Mapping[str, Any]]
    reports: Sequence[Mapping[str, Any]]
    taken: Mapping[str, str]
    carried_out: Mapping[UUID, Mapping[str, Any]]
    newest: int


def read(url: str, wishes: Sequence[Wish]) -> Rows:
    """Read what a plan needs, as one snapshot, without writing anything.

    Args:
        url: The real database.
        wishes: Whose accounts are affected; a wish for the platform affects all.
    """
    with psycopg.connect(url, row_factory=dict_row) as connection:
        connection.read_only = True
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        wanted = {"accounts": _accounts(connection, wishes), "names": _names(wishes)}
        ours = _objects(connection, f"({OURS})", wanted)
        others = _objects(connection, f"NOT coalesce({OURS}, false) AND ({OTHERS})", wanted)
        machines = [row for row in ours if row["kind"] == "Machine"]
        return Rows(
            ours=ours,
            others=[_paused(row) for row in others],
            heartbeats=_heartbeats(connection, machines),
            secrets=_secrets(connection, wanted["accounts"]),
            reports=_reports(connection, (row for row in ours if row["kind"] == "Vps")),
            taken=_taken(connection, wanted["accounts"]),
            carried_out=dict(_carried_out(connection, machines)),
            newest=max((row["resource_version"] for row in (*ours, *others)), default=0),
        )


def write(url: str, rows: Rows) -> None:
    """Put the rows into the copy, versions, generations and deletions as they are."""
    with psycopg.connect(url) as connection:
        # The triggers would begin every row anew, and log it.
        connection.execute("ALTER TABLE objects DISABLE TRIGGER USER")
        _insert(connection, "objects", [*rows.ours, *rows.others])
        connection.execute("ALTER TABLE objects ENABLE TRIGGER USER")
        _insert(connection, "heartbeats", rows.heartbeats)
        _insert(connection, "secrets", rows.secrets)
        _insert(connection, "gateway_observations", rows.reports)
        connection.execute("SELECT setval('resource_versions', %s)", (max(1, rows.newest),))


def _accounts(connection: psycopg.Connection[DictRow], wishes: Iterable[Wish]) -> list[str]:
    found: set[str] = set()
    for wish in wishes:
        match wish.kind.KIND:
            case "Platform":
                found.update(_names_of_accounts(connection))
            case "Account":
                found.add(wish.name)
            case "Route":
                found.update(_owners(connection, wish))
            case _:
                found.add(wish.namespace)
    return sorted(found)


def _names_of_accounts(connection: psycopg.Connection[DictRow]) -> list[str]:
    rows = connection.execute("SELECT name FROM objects WHERE kind = 'Account'").fetchall()
    return [row["name"] for row in rows]


def _owners(connection: psycopg.Connection[DictRow], wish: Wish) -> list[str]:
    """Whose a route is, and whose it would be."""
    rows = connection.execute(
        "SELECT spec->>'account' AS account FROM objects WHERE kind = 'Route' AND name = %s",
        (wish.name,),
    ).fetchall()
    owners = [row["account"] for row in rows] + [wish.spec.get("account")]
    return [owner for owner in owners if isinstance(owner, str)]


def _names(wishes: Iterable[Wish]) -> list[str]:
    """The subdomains that are wished for."""
    names = [wish.spec.get("subdomain") for wish in wishes]
    return [name for name in names if isinstance(name, str)]


def _objects(
    connection: psycopg.Connection[DictRow], condition: str, wanted: Mapping[str, Any]
) -> list[dict[str, Any]]:
    rows = connection.execute(
        f"SELECT to_jsonb(objects) AS row FROM objects WHERE {condition}",  # noqa: S608 - from constants
        wanted,
    ).fetchall()
    return [row["row"] for row in rows]


def _paused(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "annotations": {**row["annotations"], PAUSED: "true"}}


def _heartbeats(
    connection: psycopg.Connection[DictRow], machines: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT to_jsonb(heartbeats) AS row FROM heartbeats WHERE machine = ANY(%s::uuid[])",
        ([row["uid"] for row in machines],),
    ).fetchall()
    return [row["row"] for row in rows]


def _secrets(
    connection: psycopg.Connection[DictRow], accounts: Sequence[str]
) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT to_jsonb(secrets) AS row FROM secrets WHERE namespace = ANY(%s)", (accounts,)
    ).fetchall()
    return [row["row"] for row in rows]


def _reports(
    connection: psycopg.Connection[DictRow], vpses: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT to_jsonb(seen) AS row FROM gateway_observations AS seen "
        "WHERE gateway = ANY(%s::uuid[])",
        ([row["uid"] for row in vpses],),
    ).fetchall()
    return [row["row"] for row in rows]


def _taken(connection: psycopg.Connection[DictRow], accounts: Sequence[str]) -> dict[str, str]:
    rows = connection.execute(
        "SELECT spec->'service'->>'app' AS app, spec->'service'->>'network' AS network "
        "FROM objects WHERE kind = 'Machine' AND namespace <> ALL(%s) "
        "AND jsonb_typeof(status->'app'->'createdAt') = 'string'",
        (accounts,),
    ).fetchall()
    return {row["app"]: row["network"] for row in rows if row["app"] and row["network"]}


def _carried_out(
    connection: psycopg.Connection[DictRow], machines: Iterable[Mapping[str, Any]]
) -> Iterable[tuple[UUID, Mapping[str, Any]]]:
    """The spec of the generation that was last carried out, as long as the log has it."""
    for row in machines:
        observed = row["status"].get("observedGeneration") or 0
        if observed == row["generation"]:
            continue
        found = connection.execute(
            "SELECT object->'spec' AS spec FROM object_log "
            "WHERE uid = %s AND (object->>'generation')::bigint = %s "
            "ORDER BY resource_version DESC LIMIT 1",
            (row["uid"], observed),
        ).fetchone()
        if found is not None:
            yield UUID(row["uid"]), found["spec"]


def _insert(connection: psycopg.Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    connection.execute(
        f"INSERT INTO {table} SELECT (jsonb_populate_record(NULL::{table}, row)).* "  # noqa: S608 - our own names
        "FROM jsonb_array_elements(%s) AS row",
        (Jsonb(list(rows)),),
    )
