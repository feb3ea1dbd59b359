"""From a commit to the reconciler that hears of it, beside bare NOTIFY; and whether all do."""

from __future__ import annotations

import asyncio
import json
import random
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import psycopg

from controller.engine import (
    DONE,
    Controller,
    Failure,
    Manager,
    Request,
    Result,
    Router,
    WatchSource,
    WorkQueue,
)
from crds.store import Store
from tests.bench import floors
from tests.bench.harness import (
    Measurement,
    Reference,
    at_most,
    median,
    percentile,
    ratio_at_most,
    until,
)
from tests.bench.stage import Stage, child, run, said, tell

WRITERS = 16
RATE = 500.0
"""Writes a second when the latency is taken: two cores carry writer, server and us at ease."""
IDLE_RATE = 40.0
"""So few that each finds the doorbell at rest, as one user's wish does."""
IDLE_WRITES = 40
SETTLE_SECONDS = 3.0
ROWS = 6000


@dataclass
class Heard:
    """A reconciler that notes when it was first called for each key."""

    at: dict[str, float] = field(default_factory=dict)

    async def reconcile(self, request: Request) -> Result:
        """Note the time."""
        self.at.setdefault(request.key.name, time.monotonic())
        return DONE

    async def report(self, request: Request, failure: Failure) -> None:
        """Nothing fails here."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds from a write's being sent to its being heard of."""

    p50: float
    p99: float


def measure(stage: Stage) -> list[Measurement]:
    """Run the bench."""
    with stage.database() as url:
        fill(url, ROWS)
        floors.make(url, floors.NOTIFYING)
        return run(_measure(stage, url))


def fill(url: str, rows: int) -> None:
    """Insert workspaces that nothing acts on."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO objects (kind, namespace, name, spec) SELECT 'Workspace', 'acc', "
            """'w' || to_char(n, 'FM00000'), '{"subdomain": "alice"}' """
            "FROM generate_series(0, %s) n",
            [rows - 1],
        )


async def _measure(stage: Stage, url: str) -> list[Measurement]:
    heard, bare = Heard(), dict[str, float]()
    async with _engine(url, heard), floors.listening(url, bare), child("writer", url) as writer:
        busy = await _latencies(stage, writer, heard, bare, rate=RATE, count=stage.size(500, 60))
        idle = await _latencies(stage, writer, heard, bare, rate=IDLE_RATE, count=IDLE_WRITES)
        flood = stage.size(ROWS, 400)
        heard.at.clear()
        sent = await _order(writer, f"store {WRITERS} 2000 0 {flood}")
        seconds = sent.pop("seconds")
        await _all_heard(heard.at, flood)
    return [
        *_judged(f"commit → reconcile at {RATE:g}/s", busy),
        *_judged(f"commit → reconcile at {IDLE_RATE:g}/s", idle),
        Measurement(
            f"missed of {flood}, {WRITERS} writers",
            float(flood - len(heard.at)),
            "changes",
            goal=at_most(0),
        ),
        Measurement("  those writers' rate", flood / seconds, "writes/s"),
    ]


async def _latencies(
    stage: Stage,
    writer: Process,
    heard: Heard,
    bare: dict[str, float],
    *,
    rate: float,
    count: int,
) -> list[tuple[Latency, Latency]]:
    """Ours and the floor's, in turn; the first turn warms caches and plans and does not count."""
    pairs = [
        (
            await _once(writer, "store", heard.at, rate, count),
            await _once(writer, "bare", bare, rate, count),
        )
        for _ in range(stage.runs + 1)
    ]
    return pairs[1:]


def _judged(name: str, pairs: list[tuple[Latency, Latency]]) -> Iterator[Measurement]:
    for part, limit in (("p50", 1.6), ("p99", 3.0)):
        ours, floor = (median(getattr(pair[side], part) for pair in pairs) for side in (0, 1))
        reference = Reference("bare commit → LISTEN", floor)
        yield Measurement(f"{name}, {part}", ours, "ms", reference, ratio_at_most(limit))


async def _once(
    writer: Process, how: str, heard: dict[str, float], rate: float, count: int
) -> Latency:
    heard.clear()
    sent = await _order(writer, f"{how} {WRITERS} {rate} 0 {count}")
    del sent["seconds"]
    await _all_heard(heard, count)
    seconds = [heard[_name(how, number)] - at for number, at in sent.items()]
    return Latency(percentile(seconds, 50) * 1e3, percentile(seconds, 99) * 1e3)


def _name(how: str, number: str) -> str:
    return f"w{int(number):05}" if how == "store" else number


async def _order(writer: Process, order: str) -> dict[str, float]:
    await tell(writer, order)
    sent: dict[str, float] = json.loads(await said(writer))
    return sent


async def _all_heard(heard: dict[str, float], count: int) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_SECONDS):
            await until(lambda: len(heard) >= count, every=0.01)


@asynccontextmanager
async def _engine(url: str, heard: Heard) -> AsyncIterator[None]:
    """Watch, queue and workers as a replica has them, around a reconciler that only listens."""
    rng = random.Random(0)  # noqa: S311 - jitter
    async with Store.opened(url) as store:
        controller = Controller(
            "Workspace", heard, queue=WorkQueue(rng=rng), clock=store.clock, workers=32
        )
        watch = WatchSource(store, Router([controller]), rng=rng)
        watch.feed("Workspace", "Workspace")
        manager = Manager(controllers=[controller], watch=watch)
        task = asyncio.create_task(manager.run())
        await _all_heard(heard.at, ROWS)
        yield
        manager.stop()
        await task
