"""Heartbeats to the control plane."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import httpx
import pytest

from deploy.agent.registration import Registration
from deploy.agent.state import Activity, Machine, Volume
from tests.agent.conftest import MACHINE, MACHINE_TOKEN, Outside

pytestmark = pytest.mark.anyio

URL = f"http://api.test/hub/api/machines/{MACHINE}/heartbeat"


@pytest.fixture
async def machine(tmp_path: Path) -> Machine:
    """A machine that has just started."""
    return Machine(MACHINE, "1.2.3", Volume(tmp_path), Activity())


def _registration(
    outside: Outside, machine: Machine, sleep: Callable[[float], Awaitable[None]] = anyio.sleep
) -> Registration:
    client = httpx.AsyncClient(transport=httpx.MockTransport(outside))
    return Registration(client, url=URL, token=MACHINE_TOKEN, machine=machine, sleep=sleep)


async def test_heartbeat(outside: Outside, machine: Machine) -> None:
    """A heartbeat proves the machine, tells its state, and the answer gives it its name."""
    pause = await _registration(outside, machine).beat()

    assert pause == 60
    assert (machine.subdomain, machine.url) == ("alice", "http://alice.test")
    request = outside.heartbeats[0]
    assert (str(request.url), request.method) == (URL, "POST")
    assert request.headers["authorization"] == f"Bearer {MACHINE_TOKEN}"
    body = json.loads(request.content)
    assert set(body) == {"state", "version", "uptime_seconds", "last_activity_at"}
    assert (body["state"], body["version"]) == ("running", "1.2.3")


async def test_failed_heartbeat_is_sent_again(
    outside: Outside,
    machine: Machine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Errors and nonsense are tried again with growing pauses, and no secret is logged."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    outside.answers = [httpx.Response(503), httpx.Response(401), httpx.Response(200, text="hm")]
    await _registration(outside, machine, sleep).beat()

    assert len(outside.heartbeats) == 4
    assert len(pauses) == 3
    assert all(pause <= 0.5 * 2**number for number, pause in enumerate(pauses))
    assert "HTTP 503" in caplog.text
    assert MACHINE_TOKEN not in caplog.text


async def test_registers_at_start_and_goes_on(outside: Outside, machine: Machine) -> None:
    """The first heartbeat is sent at once, the next when the answer says."""
    pauses: list[float] = []
    enough = anyio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            enough.set()
            await anyio.sleep_forever()

    body = {"subdomain": "alice", "url": "http://alice.test", "next_heartbeat_seconds": 7}
    outside.answers = [httpx.Response(200, json=body)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_registration(outside, machine, sleep).run)
        await enough.wait()
        tasks.cancel_scope.cancel()

    assert pauses == [7, 60]
    assert len(outside.heartbeats) == 2
