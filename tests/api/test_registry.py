"""The machine registry and heartbeats."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from crds.machine import Machine
from crds.workspace import WORKSPACE
from tests.api.service import Service, User, code_of

pytestmark = pytest.mark.anyio
BEAT = {"state": "running", "version": "1.2", "uptime_seconds": 3.5, "last_activity_at": None}


async def running(service: Service, first: str = "Alice") -> tuple[User, Machine]:
    """A user with a running machine."""
    user = await service.user(first)
    await service.call(user, "POST", "/api/vm/start")
    machine = await service.machine(user, phase="Running", url=f"https://{first.lower()}.fly.dev")
    return user, machine


async def beat(service: Service, machine: Machine, token: str = "", **body: Any) -> httpx.Response:
    """Send a heartbeat, with the machine's own token unless told otherwise."""
    token = token or service.api.hub.tokens.issue(machine.uid)
    return await service.client.post(
        f"/hub/api/machines/{machine.uid}/heartbeat",
        headers=[(b"Authorization", f"Bearer {token}".encode())],
        json=BEAT | body,
    )


async def test_registry_shows_the_users_machines(service: Service) -> None:
    """The registry has the requirements' fields."""
    user, machine = await running(service)
    answer = await service.call(user, "GET", "/api/machines")

    (line,) = answer.json()["machines"]
    one = await service.call(user, "GET", f"/api/machines/{machine.uid}")
    created = machine.metadata.creation_timestamp
    assert created is not None
    assert {k: v for k, v in line.items() if not k.endswith("_at")} == {
        "id": str(machine.uid),
        "user_id": user.id,
        "fly_machine_id": "148e",
        "status": "running",
        "subdomain": "alice",
        "public_url": "https://alice.fly.dev",
        "region": "iad",
    }
    assert datetime.fromisoformat(line["created_at"]) == created
    assert line["last_heartbeat_at"] is None
    assert one.json() == line


async def test_registry_of_others_is_closed(service: Service) -> None:
    """Another user's machine does not exist, and is in no list."""
    _, machine = await running(service)
    bob = await service.user("Bob")
    one = await service.call(bob, "GET", f"/api/machines/{machine.uid}")
    every = await service.call(bob, "GET", "/api/machines")

    assert one.status_code == 404
    assert every.json() == {"machines": []}


@pytest.mark.parametrize("machine", ["main", "0", "11111111-2222-3333-4444-555555555555"])
async def test_unknown_machine(service: Service, machine: str) -> None:
    """An id that is none is not found."""
    user = await service.user()
    answer = await service.call(user, "GET", f"/api/machines/{machine}")

    assert code_of(answer) == "no-such-machine"


async def test_heartbeat_is_recorded_and_answered(service: Service) -> None:
    """A heartbeat tells the machine its name and shows in the registry."""
    user, machine = await running(service)
    answer = await beat(service, machine)
    line = (await service.call(user, "GET", f"/api/machines/{machine.uid}")).json()

    assert answer.json() == {
        "subdomain": "alice",
        "url": "https://alice.invoker.test",
        "next_heartbeat_seconds": 60,
    }
    assert line["last_heartbeat_at"] == line["last_seen_at"]


async def test_heartbeats_at_once_share_writes(service: Service) -> None:
    """Many machines that report together cost few statements, and each gets its own answer."""
    users = [await running(service, f"User{number}") for number in range(5)]
    flushes = 0
    record = service.store.heartbeats.record

    async def counted(beats: Any) -> None:
        nonlocal flushes
        flushes += 1
        await record(beats)

    service.store.heartbeats.record = counted  # type: ignore[method-assign]
    answers = await asyncio.gather(*(beat(service, machine) for _, machine in users * 4))

    expected = [user.subdomain for user, _ in users * 4]
    known = await service.store.heartbeats.get([machine.uid for _, machine in users])
    assert [answer.json()["subdomain"] for answer in answers] == expected
    assert len(known) == 5
    assert flushes < 20


async def test_future_activity_is_cut(service: Service) -> None:
    """A machine with a fast clock cannot look busy for ever."""
    _, machine = await running(service)
    ahead = service.store.clock.now() + timedelta(days=365)
    await beat(service, machine, last_activity_at=ahead.isoformat())

    known = (await service.store.heartbeats.get([machine.uid]))[machine.uid]
    assert known.last_activity_at is not None
    assert known.last_activity_at <= service.store.clock.now()


async def test_heartbeat_with_anothers_token(service: Service) -> None:
    """A machine's token opens nothing but its own door, and neither does its owner's."""
    user, alice = await running(service, "Alice")
    _, bob = await running(service, "Bob")
    tokens = [service.api.hub.tokens.issue(bob.uid), user.token, "1.", ".", "1.é", "9.x"]
    answers = [await beat(service, alice, token) for token in tokens]

    assert {answer.status_code for answer in answers} == {401}
    assert await service.store.heartbeats.get([alice.uid]) == {}


async def test_heartbeat_of_a_deleted_machine(service: Service) -> None:
    """A machine that is gone gets 404 and leaves no line behind."""
    user, machine = await running(service)
    await service.store.delete(Machine, WORKSPACE, user.id)
    answer = await beat(service, machine)

    assert code_of(answer) == "no-such-machine"
    assert await service.store.heartbeats.get([machine.uid]) == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("state", "sleepy"),
        ("state", None),
        ("version", "v" * 101),
        ("version", "1\x00"),
        ("uptime_seconds", -1),
        ("uptime_seconds", "3"),
        ("last_activity_at", "yesterday"),
        ("last_activity_at", "2030-01-01T00:00:00"),
        ("last_activity_at", 0),
    ],
)
async def test_wrong_heartbeat(service: Service, field: str, value: Any) -> None:
    """Every wrong field is refused by name."""
    _, machine = await running(service)
    answer = await beat(service, machine, **{field: value})

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
