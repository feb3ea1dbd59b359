"""SSH keys: which are taken, until when, and what is told of them."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from crds.authorized_key import AuthorizedKey, fingerprint_of
from crds.vps import Vps
from tests.api.service import Service, code_of, problem_of
from tests.api.vpses import OTHER, OWN, Coast, fields_of, retry, ssh_key

pytestmark = pytest.mark.anyio

NO_KEYS: Final[list[Any]] = [
    None,
    5,
    "",
    "ssh-ed25519",
    "ssh-dss AAAA",
    "ssh-ed25519 !!!!",
    "ssh-rsa " + ssh_key(1).split()[1],
    ssh_key(1) + "\n" + ssh_key(2),
    "-----BEGIN OPENSSH PRIVATE KEY-----",
    'command="sh" ' + ssh_key(1),
    ssh_key(1) + " é",
]


@pytest.fixture
async def coast(service: Service) -> Coast:
    """Two accounts."""
    coast = Coast(service)
    await coast.account(OWN)
    await coast.account(OTHER)
    return coast


@pytest.fixture
async def vps(coast: Coast) -> Vps:
    """The account's VPS."""
    return await coast.vps()


def at(moment: datetime) -> str:
    """A moment as in JSON."""
    return moment.isoformat()


async def test_what_is_let_in_is_as_wished(coast: Coast, vps: Vps) -> None:
    """Every field is written, the fingerprint told, and the key itself not repeated."""
    end = coast.now + timedelta(hours=23)
    wish = {"public_key": ssh_key(1), "label": "Laptop", "type": "support", "expires_at": at(end)}
    answer = await coast.ask("POST", "/vps/vps-1/keys", wish)
    row = await coast.store.get(AuthorizedKey, "key-1", OWN)

    view = answer.json()
    assert (202, "waiting") == (answer.status_code, view["status"])
    assert ("vps-1", "Laptop", "support", end) == (
        row.spec.vps,
        row.spec.label,
        row.spec.type,
        row.spec.expires_at,
    )
    assert [vps.owner_reference()] == row.metadata.owner_references
    assert fingerprint_of(ssh_key(1)) == view["fingerprint"]
    assert ssh_key(1).split()[1] not in answer.text
    assert {"keys": [view]} == await coast.good("GET", f"/vps/{vps.uid}/keys")


async def test_no_public_key(coast: Coast, vps: Vps) -> None:
    """What is no public key is refused by name, and never repeated."""
    path = f"/vps/{vps.uid}/keys"
    got = [await coast.ask("POST", path, {"public_key": value}) for value in NO_KEYS]
    got.append(await coast.ask("POST", path, {}))

    assert [(422, ["public_key"])] * len(got) == [(a.status_code, fields_of(a)) for a in got]
    assert not [a for a in got if "PRIVATE" in a.text]
    assert [] == (await coast.store.list(AuthorizedKey)).items


async def test_when_a_key_ends(coast: Coast, vps: Vps) -> None:
    """One of support ends within a day; none ends in the past."""
    now = coast.now
    ends: list[tuple[str | None, str | None, int]] = [
        ("support", None, 422),
        ("support", at(now + timedelta(hours=24, minutes=1)), 422),
        ("support", at(now - timedelta(seconds=1)), 422),
        ("user", at(now - timedelta(days=1)), 422),
        ("user", "2099-01-01T00:00:00", 422),
        ("user", "9999-12-31T23:59:59-23:00", 422),
        ("user", "soon", 422),
        ("support", at(now + timedelta(hours=23)), 202),
        ("user", "2099-01-01T00:00:00+02:00", 202),
        (None, None, 202),
    ]
    got = [
        await coast.ask(
            "POST",
            f"/vps/{vps.uid}/keys",
            {"public_key": ssh_key(number), "type": kind, "expires_at": end},
        )
        for number, (kind, end, _) in enumerate(ends)
    ]

    assert [status for *_, status in ends] == [answer.status_code for answer in got]
    refused = [answer for answer in got if answer.status_code == 422]
    assert [["expires_at"]] * 7 == [fields_of(answer) for answer in refused]
    assert "24 hours" in problem_of(refused[0])["detail"]


async def test_a_key_is_there_once(coast: Coast, vps: Vps) -> None:
    """A second one with the same fingerprint is refused, whatever its comment, also at once."""
    await coast.vps("vps-2")
    path, same = f"/vps/{vps.uid}/keys", ssh_key(1).rsplit(" ", 1)[0]
    got = await asyncio.gather(*(coast.ask("POST", path, {"public_key": same}) for _ in range(3)))
    again = await coast.ask("POST", path, {"public_key": f"{same} another comment"})
    elsewhere = await coast.ask("POST", "/vps/vps-2/keys", {"public_key": same})
    [row] = (await coast.store.list(AuthorizedKey, spec={"vps": "vps-1"})).items

    assert [202, 409, 409] == sorted(answer.status_code for answer in got)
    assert (409, "key-exists", str(row.uid)) == (
        again.status_code,
        code_of(again),
        problem_of(again)["key_id"],
    )
    assert 202 == elsewhere.status_code


async def test_a_key_on_its_way_out_is_not_there(coast: Coast, vps: Vps) -> None:
    """Who takes a key away can let it in again at once."""
    await coast.hold(await coast.key(vps, number=1))
    answer = await coast.ask("POST", f"/vps/{vps.uid}/keys", {"public_key": ssh_key(1)})

    assert (202, "key-2") == (answer.status_code, answer.json()["name"])


async def test_a_repeated_request(coast: Coast, vps: Vps) -> None:
    """With its Idempotency-Key it finds what it made; another wish with that key is refused."""
    path = f"/vps/{vps.uid}/keys"
    first = await coast.good("POST", path, {"public_key": ssh_key(1)}, key="k")
    same = await coast.good("POST", path, {"public_key": ssh_key(1)}, key="k")
    other = await coast.ask("POST", path, {"public_key": ssh_key(2)}, key="k")

    assert first == same
    assert (409, "key-differs", ["public_key"]) == (
        other.status_code,
        code_of(other),
        fields_of(other),
    )


async def test_no_more_than_64(coast: Coast, vps: Vps) -> None:
    """The number is told."""
    for number in range(63):
        await coast.key(vps, f"k-{number}", number)
    got = [
        await coast.ask("POST", "/vps/vps-1/keys", {"public_key": ssh_key(number)})
        for number in (100, 101)
    ]

    assert [202, 409] == [answer.status_code for answer in got]
    assert ("too-many-keys", 64) == (code_of(got[1]), problem_of(got[1])["limit"])


async def test_how_they_are(coast: Coast, vps: Vps) -> None:
    """Each phase has its word; what is over is over, whoever has noticed it."""
    phases = {"a": "Pending", "b": "Waiting", "c": "Authorized", "d": "Failed", "e": "Expired"}
    for number, (name, phase) in enumerate(phases.items()):
        row = await coast.key(vps, name, number)
        await coast.tell(row, phase=phase, retry=retry("X", "disk full") if name == "d" else None)
    await coast.key(vps, "f", 9, expires_at=coast.now - timedelta(seconds=1))
    told = await coast.good("GET", "/vps/vps-1/keys")

    assert {
        "a": "waiting",
        "b": "waiting",
        "c": "authorized",
        "d": "failed",
        "e": "expired",
        "f": "expired",
    } == {each["name"]: each["status"] for each in told["keys"]}
    assert "It could not be let in. Disk full." in {each["message"] for each in told["keys"]}


async def test_taking_one_away(coast: Coast, vps: Vps) -> None:
    """By uid or by name, once, and only on its VPS."""
    await coast.vps("vps-2")
    held, free = await coast.key(vps), await coast.key(vps, "key-2", 2)
    await coast.hold(held)
    elsewhere = await coast.ask("DELETE", f"/vps/vps-2/keys/{free.uid}")
    going = await coast.good("DELETE", f"/vps/vps-1/keys/{held.uid}")
    await coast.good("DELETE", "/vps/vps-1/keys/key-2")
    gone = await coast.ask("DELETE", f"/vps/vps-1/keys/{free.uid}")

    assert "It is being taken away." == going["message"]
    assert [(404, "no-such-key")] * 2 == [(a.status_code, code_of(a)) for a in (elsewhere, gone)]
    assert [held.uid] == [row.uid for row in (await coast.store.list(AuthorizedKey)).items]
