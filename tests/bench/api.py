"""The API's writes over a socket, beside Starlette with a TypeAdapter and the bare insert."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import uuid4

import aiohttp
import psycopg

from tests.bench.api_server import ACCEPTED, POOL, SUPABASE_URL
from tests.bench.harness import Measurement, Reference, Stopwatch, median, ratio_at_least
from tests.bench.stage import Stage, child, run, said
from tests.bench.tokens import Issuer

USERS = 250
AT_ONCE = 16
METHODS = {"start": "POST", "stop": "DELETE"}
BARE_TABLE = "CREATE TABLE wishes (id uuid PRIMARY KEY, wish jsonb NOT NULL)"
NO_CAPS = (
    "UPDATE objects SET spec = spec || "
    """'{"caps": {"machines": 1000000, "monthlySpendUsd": 1e9}}' WHERE kind = 'Platform'"""
)


def measure(stage: Stage) -> list[Measurement]:
    """Run the bench."""
    with stage.database() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(BARE_TABLE)
        return run(_measure(stage, url))


async def _measure(stage: Stage, url: str) -> list[Measurement]:
    issuer = Issuer(f"{SUPABASE_URL}/auth/v1")
    keys = issuer.key_set()
    async with (
        child("api_server", "ours", url, keys) as ours,
        child("api_server", "bare", url, keys) as bare,
        _client(await said(ours)) as api,
        _client(await said(bare)) as floor,
    ):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(NO_CAPS)
        count = stage.size(USERS, 20)
        first, writes, inserts = list[float](), list[float](), list[float]()
        for turn in range(stage.runs + 1):
            tokens = [issuer.token(str(uuid4())) for _ in range(count)]
            measured = (
                await _rate(api, ["start"], tokens),
                await _rate(api, ["stop", "start"], tokens),
                await _rate(floor, ["start"], tokens * 4),
            )
            if turn:  # the first is cold
                for rates, rate in zip((first, writes, inserts), measured, strict=True):
                    rates.append(rate)
    reference = Reference(f"Starlette + TypeAdapter + insert, pool of {POOL}", median(inserts))
    return [
        Measurement(
            "/api/vm/stop, /api/vm/start: one row each",
            median(writes),
            "requests/s",
            reference,
            ratio_at_least(0.7),
        ),
        Measurement(
            "POST /api/vm/start, new user: three rows", median(first), "requests/s", reference
        ),
    ]


@asynccontextmanager
async def _client(port: str) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    base = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession(base, connector=connector) as session:
        yield session


async def _rate(session: aiohttp.ClientSession, verbs: list[str], tokens: list[str]) -> float:
    """Requests a second, each verb once for each token; every answer must be 202."""
    with Stopwatch() as watch:
        for verb in verbs:
            left = iter(tokens)
            await asyncio.gather(*(_post_each(session, verb, left) for _ in range(AT_ONCE)))
    return len(verbs) * len(tokens) / watch.spent.wall


async def _post_each(session: aiohttp.ClientSession, verb: str, tokens: Iterator[str]) -> None:
    for token in tokens:
        headers = {"authorization": f"Bearer {token}"}
        method = METHODS[verb]
        async with session.request(method, f"/api/vm/{verb}", json={}, headers=headers) as answer:
            text = await answer.text()
            if answer.status != ACCEPTED:
                raise RuntimeError(f"{verb} answered {answer.status}: {text[:200]}")
