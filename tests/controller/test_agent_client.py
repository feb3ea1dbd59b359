"""What a machine says of itself is its user's word, and is checked as such."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from controller.machine.agent import AgentClient
from crds.store import Heartbeat

pytestmark = pytest.mark.anyio

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


async def ask(answer: Any) -> Heartbeat | None:
    """The heartbeat of a machine that answers so."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=answer))
    async with AgentClient(transport) as client:
        return await client.heartbeat(uuid4(), "https://a.fly.dev", "m1", "1.t", NOON)


async def test_a_clock_that_runs_ahead_is_held_back() -> None:
    """Nobody is active in the future."""
    beat = await ask({"status": "idle", "last_activity_at": "9999-12-31T23:59:59-12:00"})

    assert beat is not None
    assert beat.last_activity_at == NOON


@pytest.mark.parametrize(
    "answer",
    [
        {"version": "\u0000"},
        {"version": "x" * 101},
        {"status": "é"},
        {"last_activity_at": "2030-01-01T12:00:00"},
        {"last_activity_at": "soon"},
        [],
        "ok",
    ],
    ids=str,
)
async def test_what_an_agent_would_not_say_is_no_answer(answer: Any) -> None:
    """One machine's odd words spoil nobody else's heartbeat."""
    assert await ask(answer) is None


async def test_only_the_machine_hears_its_token() -> None:
    """The token goes to the address of the machine, in the header that agents read."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    async with AgentClient(httpx.MockTransport(answer), gateway="http://127.0.0.1:9") as client:
        await client.heartbeat(uuid4(), "https://a.fly.dev", "m1", "1.t", NOON)

    assert seen[0].headers["host"] == "a.fly.dev"
    assert seen[0].headers["fly-force-instance-id"] == "m1"
    assert seen[0].headers["authorization"] == "Bearer 1.t"


async def test_a_flood_is_no_answer() -> None:
    """What sends more than an agent would say is not read to its end."""
    read = [0]

    async def flood() -> AsyncIterator[bytes]:
        for _ in range(1000):
            read[0] += 1
            yield b" " * 4096

    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=flood()))
    async with AgentClient(transport) as client:
        beat = await client.heartbeat(uuid4(), "https://a.fly.dev", "m1", "1.t", NOON)

    assert beat is None
    assert read[0] < 10


async def test_a_packed_answer_is_not_unpacked() -> None:
    """A few kilobytes must not become a few hundred megabytes."""
    packed = gzip.compress(b" " * 10_000_000 + b"{}")
    headers = {"content-encoding": "gzip"}
    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, headers=headers, stream=httpx.ByteStream(packed))
    )
    async with AgentClient(transport) as client:
        assert await client.heartbeat(uuid4(), "https://a.fly.dev", "m1", "1.t", NOON) is None
