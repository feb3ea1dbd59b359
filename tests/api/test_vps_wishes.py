"""Making, switching and deleting VPSs: what is written, once, and within which limits."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest

from api.context import Api
from api.vps.admission import check_connected
from crds.account import Account
from crds.cloud_connection import DIGITALOCEAN, CloudConnection
from crds.store import Store
from crds.vps import Vps
from tests.api.service import Service, code_of, problem_of, serving
from tests.api.vpses import OTHER, OWN, Coast, fields_of

pytestmark = pytest.mark.anyio

WRONG: Final[list[tuple[str, Any]]] = [
    ("name", "Upper"),
    ("name", ""),
    ("name", "a" * 64),
    ("name", "a.b"),
    ("name", "0b9d3a52-6a7e-4c51-9a55-2f0c6d1f7a10"),
    ("name", "a\x00"),
    ("region", "amsterdam"),
    ("size", "a b"),
    ("image", "-x"),
    ("agents", ["a", "a"]),
    ("agents.0", ["A"]),
    ("agents", [f"a{n}" for n in range(17)]),
    ("agents", "claude-code"),
    ("size", 5),
    ("power", "on"),
]


@pytest.fixture
async def coast(service: Service) -> Coast:
    """Two connected accounts."""
    coast = Coast(service)
    await coast.account(OWN)
    await coast.account(OTHER)
    return coast


async def rows(coast: Coast) -> list[Vps]:
    """The rows of the account."""
    return (await coast.store.list(Vps, namespace=OWN)).items


async def test_what_is_made_is_as_wished(coast: Coast) -> None:
    """Every field is written, the answer says where it is, and the audit names who wished."""
    wish: dict[str, Any] = {
        "name": "sandbox",
        "region": "nyc3",
        "size": "s-2vcpu-4gb",
        "image": "debian-12-x64",
        "agents": ["claude-code"],
    }
    answer = await coast.ask("POST", "/vps", wish)
    [row] = await rows(coast)
    [record] = await coast.store.audit.list(uid=row.uid)

    spec = row.spec.model_dump()
    assert wish == {
        "name": row.metadata.name,
        **{name: spec[name] for name in wish.keys() - {"name"}},
    }
    assert (202, f"/vps/{row.uid}") == (answer.status_code, answer.headers["location"])
    assert ("account-owner", "api") == (record.role, record.via)
    view = answer.json()
    told = {name: view[name] for name in ("vps_id", "name", "status", "power", "region", "ipv4")}
    assert {
        "vps_id": str(row.uid),
        "name": "sandbox",
        "status": "provisioning",
        "power": "on",
        "region": "nyc3",
        "ipv4": None,
    } == told
    agent = {"name": "claude-code", "state": "wished", "version": None, "message": ""}
    assert [agent] == view["agents"]


async def test_who_says_nothing_gets_a_usual_one(coast: Coast) -> None:
    """No body, an empty one, and nulls make VPSs with the next free names."""
    answers = [await coast.good("POST", "/vps", body) for body in (None, {}, {"size": None})]

    assert ["vps-1", "vps-2", "vps-3"] == [answer["name"] for answer in answers]
    assert {("ams3", "s-1vcpu-1gb")} == {(each["region"], each["size"]) for each in answers}


async def test_many_at_once(coast: Coast) -> None:
    """Names and numbers are right whoever asks at the same time."""
    answers = await asyncio.gather(*(coast.ask("POST", "/vps", {}) for _ in range(8)))
    made = [answer.json()["name"] for answer in answers if answer.status_code == 202]
    refused = [answer for answer in answers if answer.status_code != 202]

    assert [f"vps-{number}" for number in range(1, 6)] == sorted(made)
    assert [(409, "too-many-vps", 5)] * 3 == [
        (each.status_code, code_of(each), problem_of(each)["limit"]) for each in refused
    ]
    assert all("5 VPSs" in problem_of(each)["detail"] for each in refused)


async def test_many_at_once_in_two_processes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes of the API do not give the last place away twice, nor a name."""

    async def slowly(store: Store, account: str) -> None:
        # Between counting and making, the other process has time for both.
        for _ in range(20):
            await check_connected(store, account)

    monkeypatch.setattr("api.vps.wishes.check_connected", slowly)
    async with serving(database_url) as one, serving(database_url) as two:
        coast, beside = Coast(one), Coast(two)
        await coast.account()
        answers = await asyncio.gather(
            *(each.ask("POST", "/vps", {}) for each in (coast, beside) * 4)
        )
        found = await rows(coast)

    assert [202] * 5 + [409] * 3 == sorted(answer.status_code for answer in answers)
    assert [f"vps-{number}" for number in range(1, 6)] == [row.metadata.name for row in found]


async def test_the_quota_is_the_accounts(coast: Coast) -> None:
    """What an operator allows one account counts, and another account's VPSs do not."""
    await coast.account("carol", quota={"vps": 1})
    await coast.vps(namespace=OTHER)
    answers = [await coast.ask("POST", "/vps", {}, of="carol") for _ in range(2)]

    assert [202, 409] == [answer.status_code for answer in answers]
    assert 1 == problem_of(answers[1])["limit"]


async def test_a_repeated_wish_makes_nothing_more(coast: Coast) -> None:
    """The same name, or the same Idempotency-Key, finds what the first wish made."""
    first = await coast.good("POST", "/vps", {"size": "s-2vcpu-4gb"}, key="k1")
    again = await asyncio.gather(
        *(coast.good("POST", "/vps", {"size": "s-2vcpu-4gb"}, key="k1") for _ in range(3)),
        coast.good("POST", "/vps", {"name": first["name"]}),
        coast.good("POST", "/vps", {"name": first["name"], "size": "s-2vcpu-4gb"}, key="k2"),
    )
    other = await coast.good("POST", "/vps", {}, key="k3")
    elsewhere = await coast.good("POST", "/vps", {}, key="k1", of=OTHER)

    assert {first["vps_id"]} == {each["vps_id"] for each in again}
    assert 3 == len({first["vps_id"], other["vps_id"], elsewhere["vps_id"]})
    assert 2 == len(await rows(coast))


@pytest.mark.parametrize(
    ("body", "key", "fields"),
    [
        ({"name": "vps-1", "size": "s-4vcpu-8gb"}, None, ["size"]),
        ({"size": "s-4vcpu-8gb", "region": "nyc1"}, "k1", ["size", "region"]),
        ({"name": "vps-2"}, "k1", ["name"]),
        ({"name": "vps-1", "agents": ["codex"]}, None, ["agents"]),
    ],
)
async def test_another_wish_of_the_same_name(
    coast: Coast, body: dict[str, Any], key: str | None, fields: list[str]
) -> None:
    """What is there is not changed by a wish to make it, which is told what differs."""
    await coast.good("POST", "/vps", {}, key="k1")
    before = await rows(coast)
    answer = await coast.ask("POST", "/vps", body, key=key)

    assert (409, "vps-differs") == (answer.status_code, code_of(answer))
    assert sorted(fields) == sorted(fields_of(answer))
    assert before == await rows(coast)


async def test_wrong_fields(coast: Coast) -> None:
    """Each is refused by name, and nothing is made."""
    answers = {
        f"{name} {value!r}": await coast.ask("POST", "/vps", {name.partition(".")[0]: value})
        for name, value in WRONG
    }

    expected = {f"{name} {value!r}": (422, [name]) for name, value in WRONG}
    assert expected == {case: (a.status_code, fields_of(a)) for case, a in answers.items()}
    assert [] == await rows(coast)


@pytest.mark.parametrize("state", ["none", "Connected", "Disconnected", "Revoked"])
async def test_without_a_grant(coast: Coast, state: str) -> None:
    """Nothing is made without one, and the refusal says where to give it."""
    row = await coast.store.get(CloudConnection, DIGITALOCEAN, OWN)
    if state == "none":
        await coast.store.delete(CloudConnection, DIGITALOCEAN, OWN)
    else:
        await coast.tell(
            row,
            phase="Pending" if state == "Connected" else state,
            observed_generation=int(state != "Connected"),
        )
    answer = await coast.ask("POST", "/vps", {})

    problem = problem_of(answer)
    assert (409, "not-connected", "/auth/do") == (
        answer.status_code,
        code_of(answer),
        problem["connect"],
    )
    assert ("retry-after" in answer.headers) == (state == "Connected")
    assert [] == await rows(coast)


async def test_a_grant_that_is_being_renewed_will_do(coast: Coast) -> None:
    """While tokens are renewed, there is a grant."""
    row = await coast.store.get(CloudConnection, DIGITALOCEAN, OWN)
    await coast.tell(row, phase="Refreshing", observed_generation=1)

    assert 202 == (await coast.ask("POST", "/vps", {})).status_code


@pytest.mark.parametrize("state", ["Suspended", "Quarantined", "deleted", "none"])
async def test_accounts_that_may_not(coast: Coast, state: str) -> None:
    """They start nothing, but may look, switch off and delete."""
    of = "nobody" if state == "none" else OWN
    vps = await coast.vps(namespace=of)
    if state in ("Suspended", "Quarantined"):
        await coast.state(state)
    key = await coast.ask("POST", f"/vps/{vps.uid}/keys", {"public_key": "x"}, of=of)
    if state == "deleted":
        await coast.hold(await coast.store.get(Account, OWN))
    started = [
        await coast.ask("POST", "/vps", {}, of=of),
        await coast.ask("POST", f"/vps/{vps.uid}/power-on", of=of),
        await coast.ask("POST", f"/vps/{vps.uid}/sessions", {}, of=of),
    ]
    ended = [
        await coast.ask("GET", "/vps", of=of),
        await coast.ask("POST", f"/vps/{vps.uid}/power-off", of=of),
        await coast.ask("DELETE", f"/vps/{vps.uid}", of=of),
    ]

    code = {"deleted": "account-deleted", "none": "no-account"}.get(
        state, f"account-{state.lower()}"
    )
    assert 422 == key.status_code
    assert [(403, code)] * 3 == [(each.status_code, code_of(each)) for each in started]
    assert [200, 202, 202] == [answer.status_code for answer in ended]


async def test_power(coast: Coast) -> None:
    """Each wish is written once; repeating it changes nothing."""
    vps = await coast.vps()
    seen = []
    for path in ("power-off", "power-off", "power-on", "power-on"):
        view = await coast.good("POST", f"/vps/{vps.metadata.name}/{path}")
        row = await coast.store.get(Vps, vps.metadata.name, OWN)
        seen.append((view["status"], view["power"], row.metadata.generation))

    off, on = ("powering_off", "off", 2), ("running", "on", 3)
    assert [off, off, on, on] == seen


async def test_deletion(coast: Coast) -> None:
    """It is asked for once, says so, and what is on its way out takes no more wishes."""
    held, free = await coast.vps(), await coast.vps("vps-2")
    await coast.hold(held)
    gone = await coast.good("DELETE", "/vps/vps-2")
    going = await coast.good("DELETE", f"/vps/{held.uid}")
    wishes = [
        await coast.ask("POST", f"/vps/{held.uid}/power-off"),
        await coast.ask("POST", "/vps", {"name": "vps-1"}),
        await coast.ask("POST", f"/vps/{held.uid}/sessions", {}),
    ]
    after = await coast.ask("DELETE", f"/vps/{free.uid}")

    assert ["deleting", "deleting"] == [gone["status"], going["status"]]
    assert ["vps-1"] == [row.metadata.name for row in await rows(coast)]
    assert [(409, "being-deleted")] * 3 == [(w.status_code, code_of(w)) for w in wishes]
    assert (404, "no-such-vps") == (after.status_code, code_of(after))


async def test_the_connection_is_in_use(coast: Coast) -> None:
    """Nobody disconnects what droplets are kept by, and is told which."""
    await coast.vps("a")
    await coast.vps("b", namespace=OTHER)
    refused = await coast.ask("POST", "/auth/do/disconnect")
    await coast.good("DELETE", "/vps/a")
    answer = await coast.ask("POST", "/auth/do/disconnect")

    assert (409, "in-use", ["a"]) == (
        refused.status_code,
        code_of(refused),
        problem_of(refused)["vps"],
    )
    assert 202 == answer.status_code


async def test_a_wish_while_somebody_else_makes(
    coast: Coast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that holds an account for long makes others come back, and hang nowhere."""
    api: Api = coast.service.api
    store: Store = api.store
    async with store.database.pool.connection() as connection, connection.transaction():
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"making:{OWN}",)
        )
        monkeypatch.setattr("api.vps.admission.PATIENCE", "50ms")
        answer = await coast.ask("POST", "/vps", {})
        elsewhere = await coast.ask("POST", "/vps", {}, of=OTHER)

    assert (409, "busy") == (answer.status_code, code_of(answer))
    assert 202 == elsewhere.status_code
