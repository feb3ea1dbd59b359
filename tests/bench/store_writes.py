"""The store's writes beside the bare transactions under them, on a durable database."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from uuid import UUID

from psycopg.types.json import Jsonb

from crds.store import StatusWish, Store
from crds.store.database import Database
from crds.workspace import Workspace
from tests.bench import floors
from tests.bench.events import fill
from tests.bench.harness import (
    Measurement,
    Reference,
    in_turn,
    pooled,
    ratio_at_least,
    ratio_at_most,
)
from tests.bench.stage import Stage, run

CONNECTIONS = 16
# The best pool for single rows has eight (PERFORMANCE.md).
SINGLE_ROW_CONNECTIONS = 8
STATUS_WRITERS = 500
SPEC_WRITES = 3000
STATUS_WRITES = 6000
ROWS = 2000
PADDING = "x" * 900
_numbers = itertools.count()


def measure(stage: Stage) -> list[Measurement]:
    """Run the bench."""
    with stage.database() as url:
        fill(url, ROWS)
        floors.make(url, floors.VERSIONING)
        return run(_measure(stage, url))


async def _measure(stage: Stage, url: str) -> list[Measurement]:
    async with (
        Store.opened(url, pool_size=CONNECTIONS) as store,
        floors.bare_database(url, CONNECTIONS) as versioning,
        floors.bare_database(url, SINGLE_ROW_CONNECTIONS) as single,
    ):
        await single.execute("INSERT INTO versioned SELECT uid, 0, spec FROM objects")
        rows = (await store.list(Workspace)).items
        uids = [row.uid for row in rows]
        return [
            *await _specs(stage, store, rows, versioning),
            *await _statuses(stage, store, rows, single),
            *await _no_ops(stage, store, rows, single, uids),
        ]


async def _specs(
    stage: Stage, store: Store, rows: list[Workspace], bare: Database
) -> list[Measurement]:
    async def ours(number: int) -> None:
        row = rows[number % ROWS]
        row.spec.image = _text()
        rows[number % ROWS] = await store.update(row)

    async def theirs(number: int) -> None:
        spec = rows[number % ROWS].spec.to_json() | {"image": _text()}
        await bare.fetch("SELECT write_versioned(%s, %s)", rows[number % ROWS].uid, Jsonb(spec))

    count = stage.size(SPEC_WRITES, 200)
    own, floor = await in_turn(
        stage.runs,
        lambda: pooled(ours, at_once=CONNECTIONS, count=count),
        lambda: pooled(theirs, at_once=CONNECTIONS, count=count),
    )
    name = "bare versioning transaction"
    return [
        Measurement(
            f"spec writes at {CONNECTIONS} connections",
            count / own.wall,
            "writes/s",
            Reference(name, count / floor.wall),
            ratio_at_least(0.9),
        ),
        Measurement(
            "  our CPU of one",
            own.cpu / count * 1e6,
            "µs",
            Reference(name, floor.cpu / count * 1e6),
        ),
    ]


async def _statuses(
    stage: Stage, store: Store, rows: Sequence[Workspace], bare: Database
) -> list[Measurement]:
    async def ours(number: int) -> None:
        row = rows[number % ROWS]
        await store.write_status(row.key, StatusWish(row.uid, {"url": _text()}, 0, None))

    async def theirs(number: int) -> None:
        await bare.execute(
            "INSERT INTO statuses VALUES (%s, %s) "
            "ON CONFLICT (uid) DO UPDATE SET status = excluded.status",
            rows[number % ROWS].uid,
            Jsonb({"url": _text()}),
        )

    count = stage.size(STATUS_WRITES, 500)
    own, floor = await in_turn(
        stage.runs,
        lambda: pooled(ours, at_once=STATUS_WRITERS, count=count),
        lambda: pooled(theirs, at_once=SINGLE_ROW_CONNECTIONS, count=count),
    )
    name = "bare single-row upserts, 8 connections"
    return [
        Measurement(
            "status rows, coalesced",
            count / own.wall,
            "rows/s",
            Reference(name, count / floor.wall),
            ratio_at_least(3.5),
        ),
        Measurement(
            "  our CPU of one",
            own.cpu / count * 1e6,
            "µs",
            Reference(name, floor.cpu / count * 1e6),
            ratio_at_most(0.15),
        ),
    ]


async def _no_ops(
    stage: Stage, store: Store, rows: Sequence[Workspace], bare: Database, uids: Sequence[UUID]
) -> list[Measurement]:
    status = {"url": PADDING}
    keys = {row.uid: row.key for row in rows}

    async def ours(number: int) -> None:
        uid = uids[number % ROWS]
        await store.write_status(keys[uid], StatusWish(uid, status, 0, None))

    async def theirs(first: int) -> None:
        part = uids[first * 500 % ROWS :][:500]
        batch = [{"uid": str(uid), "status": status} for uid in part]
        await bare.execute(
            "UPDATE statuses s SET status = w.status "
            "FROM jsonb_to_recordset(%s) AS w(uid uuid, status jsonb) "
            "WHERE s.uid = w.uid AND s.status IS DISTINCT FROM w.status",
            Jsonb(batch),
        )

    count = stage.size(STATUS_WRITES, 500)
    own, floor = await in_turn(
        stage.runs,
        lambda: pooled(ours, at_once=STATUS_WRITERS, count=count),
        lambda: pooled(theirs, at_once=1, count=count // 500),
    )
    reference = Reference("bare batch of 500, IS DISTINCT FROM", count / floor.wall)
    return [Measurement("status rows that change nothing", count / own.wall, "rows/s", reference)]


def _text() -> str:
    """About a kilobyte that no row holds yet; half of it where the model has a limit."""
    return f"{PADDING[:480]}:{next(_numbers)}"
