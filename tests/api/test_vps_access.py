"""Who may ask about VPSs: a generated table of everybody against every operation."""

from __future__ import annotations

from typing import Final

import httpx
import pytest

from api.operation import Operation
from api.sessions import COOKIE
from api.vps.operations import VPS_OPERATIONS
from crds.access import ROLES
from tests.api.service import Service, User, code_of
from tests.api.vpses import OTHER, OWN, Coast, ssh_key

pytestmark = pytest.mark.anyio

READS: Final = frozenset({"GET"})
NOWHERE: Final = (
    "nope",
    "VPS-1",
    "%00",
    "a%2Fb",
    "..%2F",
    "x" * 300,
    "%F0%9F%98%80",
    "vps-1.",
    "-",
)
IDS: Final = [f"{each.method} {each.path}" for each in VPS_OPERATIONS]


@pytest.fixture
async def coast(service: Service) -> Coast:
    """Two accounts, one of which has everything."""
    coast = Coast(service)
    await coast.account(OWN)
    await coast.account(OTHER)
    return coast


def body_of(operation: Operation) -> dict[str, str] | None:
    """A body that the operation takes."""
    if operation.body is None:
        return None
    return {"public_key": ssh_key(5)} if operation.path.endswith("/keys") else {}


async def path_of(coast: Coast, operation: Operation, owner: str = OWN) -> str:
    """The operation's path to things that are an account's."""
    name = operation.handler.__name__.replace("_", "-")
    vps = await coast.vps(name, namespace=owner)
    session, key = await coast.session(vps, name), await coast.key(vps, name)
    return operation.path.format(vps=vps.uid, session=session.uid, key=key.uid)


@pytest.mark.parametrize("operation", VPS_OPERATIONS, ids=IDS)
async def test_who_may_what(coast: Coast, operation: Operation) -> None:
    """The owner may; agents, operators and strangers may not; another owner finds nothing."""
    body, path = body_of(operation), await path_of(coast, operation)
    coast.service.worker.answer = lambda _: httpx.Response(200, json={})
    refused = {
        role: await coast.ask(operation.method, path, body, by=role)
        for role in ROLES
        if role != "account-owner"
    }
    nobody = [
        await coast.send(operation.method, path, body, headers)
        for headers in ({}, {"Authorization": "Bearer x"}, {"Cookie": f"{COOKIE}=x"})
    ]
    other = await coast.ask(operation.method, path, body, of=OTHER)
    own = await coast.ask(operation.method, path, body)

    assert dict.fromkeys(refused, (403, "not-an-account")) == {
        role: (answer.status_code, code_of(answer)) for role, answer in refused.items()
    }
    assert [401] * 3 == [answer.status_code for answer in nobody]
    # What has no VPS in its path is the asker's own.
    assert ("{vps}" in operation.path) == (other.status_code == 404)
    assert own.is_success or code_of(own) == "gateway-unreadable"
    assert all("no-store" == a.headers["cache-control"] for a in (own,) if a.is_success)


async def browser(coast: Coast) -> tuple[User, dict[str, str]]:
    """Somebody with a session in a browser."""
    user = await coast.service.user()
    answer = await coast.service.client.post("/auth/session", headers=user.headers)
    coast.service.client.cookies.clear()
    coast.secret.add(answer.cookies[COOKIE])
    return user, {"Cookie": f"{COOKIE}={answer.cookies[COOKIE]}"}


async def test_by_cookie(coast: Coast) -> None:
    """Reading takes the cookie alone; what changes something has to come from our own pages."""
    user, cookie = await browser(coast)
    for operation in VPS_OPERATIONS:
        body, path = body_of(operation), await path_of(coast, operation, user.id)
        foreign, own = [
            await coast.send(operation.method, path, body, cookie | {"Origin": origin})
            for origin in ("http://evil.example", "http://api")
        ]

        refused = foreign.status_code == 403 and code_of(foreign) == "foreign-origin"
        assert refused == (operation.method not in READS)
        assert own.status_code not in (401, 403)


async def test_agents_of_supabase(coast: Coast) -> None:
    """A user whose issuer makes them an agent owns no VPS."""
    user = await coast.service.user()
    known = next(each for each in coast.service.auth.users.values() if each.id == user.id)
    known.app_metadata = {**known.app_metadata, "invoker_role": "dev-worker"}
    session = await coast.service.client.post(
        "/api/auth/login", json={"email": known.email, "password": "correct horse"}
    )
    headers = {"Authorization": f"Bearer {session.json()['access_token']}"}
    answer = await coast.send("GET", "/vps", None, headers)

    assert (403, "not-an-account") == (answer.status_code, code_of(answer))


async def test_what_cannot_be_there_is_not(coast: Coast) -> None:
    """Whatever stands in an address is looked for, or is not there."""
    vps = await coast.vps()
    headers = {"Authorization": f"Bearer {await coast.token()}"}
    statuses = [
        (await coast.service.client.request(method, path, headers=headers)).status_code
        for called in NOWHERE
        for method, path in (
            ("GET", f"/vps/{called}"),
            ("DELETE", f"/vps/{called}"),
            ("DELETE", f"/vps/{vps.uid}/sessions/{called}"),
            ("DELETE", f"/vps/{vps.uid}/keys/{called}"),
        )
    ]

    assert {404} == set(statuses)


async def test_another_kinds_uid(coast: Coast) -> None:
    """An id names one thing, and only where it belongs."""
    vps = await coast.vps()
    session, key = await coast.session(vps), await coast.key(vps)
    answers = [
        await coast.ask("GET", f"/vps/{session.uid}"),
        await coast.ask("DELETE", f"/vps/{vps.uid}/sessions/{key.uid}"),
        await coast.ask("DELETE", f"/vps/{vps.uid}/keys/{session.uid}"),
    ]

    assert ["no-such-vps", "no-such-session", "no-such-key"] == [code_of(a) for a in answers]
