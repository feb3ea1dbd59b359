"""What the Worker asks and reports: gateways' tokens, browsers' terminals, observations."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, get_args
from uuid import UUID, uuid4

import pytest

from api.gateways.models import Kind, Message
from api.gateways.operations import GATEWAY_OPERATIONS
from api.operation import Operation
from api.sessions import COOKIE
from crds.account import Account
from crds.session import Session
from crds.vps import Vps
from tests.api.service import EDGE_TOKEN, Service, User, code_of, later
from tests.api.vpses import HEALTH, OTHER, OWN, TOKEN, Coast, fields_of

pytestmark = pytest.mark.anyio

PROTOCOL: Final = Path(__file__).parents[2] / "worker" / "protocol"
TERMINALS: Final = "/hub/terminals/authorization"
SESSION: Final = "0b9d3a52-6a7e-4c51-9a55-2f0c6d1f7a10"
MESSAGES: Final = [kind for kind in get_args(Kind) if "." in kind]


@pytest.fixture
async def coast(service: Service) -> Coast:
    """Two accounts."""
    coast = Coast(service)
    await coast.account(OWN)
    await coast.account(OTHER)
    return coast


@pytest.mark.parametrize("operation", GATEWAY_OPERATIONS, ids=lambda each: each.path)
async def test_for_the_edge_alone(coast: Coast, operation: Operation) -> None:
    """Nobody else is told anything, by whatever token, and not with 401: that is a gateway's."""
    vps = await coast.vps()
    await coast.credential(vps, TOKEN)
    path = operation.path.format(gateway=vps.uid)
    body = {"token": TOKEN, "observations": [], "vps": "", "session": "", "cookie": ""}
    tokens = ["", "x", EDGE_TOKEN[:-1], f"{EDGE_TOKEN}é", TOKEN, await coast.token()]
    answers = [
        await coast.service.client.post(
            path, json=body, headers=[(b"Authorization", f"Bearer {token}".encode())]
        )
        for token in tokens
    ]
    answers.append(await coast.send("POST", path, body, {}))
    right = await coast.hub(path, body)

    assert {(403, "not-the-edge")} == {(each.status_code, code_of(each)) for each in answers}
    assert 403 != right.status_code


async def authenticate(coast: Coast, gateway: object, token: str = TOKEN) -> int:
    """What the Worker is told of a gateway's token."""
    path = f"/hub/gateways/{gateway}/authentication"
    return (await coast.hub(path, {"token": token})).status_code


async def test_a_gateways_token(coast: Coast) -> None:
    """Each of those that its droplet may have been given is good, and nothing else is."""
    vps, other = await coast.vps(), await coast.vps(namespace=OTHER)
    await coast.credential(vps, TOKEN, TOKEN + "-2")
    await coast.credential(other, TOKEN + "-3")
    tokens = [TOKEN, TOKEN + "-2", TOKEN + "-3", "", "x" * 10_000, "\u2028é"]

    assert [204, 204, 401, 401, 401, 401] == [await authenticate(coast, vps.uid, t) for t in tokens]
    assert [401, 204] == [await authenticate(coast, other.uid, t) for t in (TOKEN, TOKEN + "-3")]


async def test_gateways_that_are_not_there(coast: Coast) -> None:
    """Unknown ones, other things' ids, and what is being deleted are no gateways."""
    vps, bare = await coast.vps(), await coast.vps("vps-2")
    session = await coast.session(vps)
    await coast.credential(vps, TOKEN)
    before = await authenticate(coast, vps.uid)
    await coast.hold(vps)

    assert 204 == before
    gateways = [vps.uid, uuid4(), session.uid, "vps-1", "%00"]
    assert [404] * 5 == [await authenticate(coast, each) for each in gateways]
    # It is there, and nobody has given it a token yet.
    assert 401 == await authenticate(coast, bare.uid)


async def test_a_broken_wish_does_not_lock_a_gateway_out(coast: Coast) -> None:
    """What an operator breaks by SQL lets those who are there work on."""
    vps = await coast.vps()
    await coast.credential(vps, TOKEN)
    await coast.store.database.execute(
        "UPDATE objects SET spec = spec || '{\"region\": 5}' WHERE uid = %s", vps.uid
    )

    assert 204 == await authenticate(coast, vps.uid)


async def seated(coast: Coast) -> tuple[User, str, Vps, Session]:
    """Somebody with a session in a browser, a VPS and a terminal session."""
    user = await coast.service.user()
    answer = await coast.service.client.post("/auth/session", headers=user.headers)
    coast.service.client.cookies.clear()
    vps = await coast.vps(namespace=user.id)
    cookie = answer.cookies[COOKIE]
    coast.secret.add(cookie)
    return user, cookie, vps, await coast.session(vps)


async def test_a_terminal(coast: Coast) -> None:
    """By ids or names, and whichever name the cookie has among others."""
    user, cookie, vps, session = await seated(coast)
    answers = [
        await coast.hub(TERMINALS, {"vps": called, "session": of, "cookie": header})
        for called, of, header in (
            (str(vps.uid), str(session.uid), f"{COOKIE}={cookie}"),
            ("vps-1", "session-1", f'a=b; {COOKIE}="{cookie}"; c'),
            ("vps-1", str(session.uid), f"__Host-{COOKIE}={cookie}"),
            ("vps-1", "session-1", f"{COOKIE}=planted; __Host-{COOKIE}={cookie}"),
        )
    ]

    granted = {
        "gateway": str(vps.uid),
        "session": str(session.uid),
        "viewer": f"user:{user.id}",
        "account": user.id,
    }
    assert [granted] * 4 == [answer.json() for answer in answers]


async def test_no_terminal(coast: Coast) -> None:
    """Without a session of one's own there is none; what is another's is not there."""
    _, cookie, vps, session = await seated(coast)
    strange = await coast.vps("theirs", namespace=OTHER)
    theirs, beside = (
        await coast.session(strange, "s"),
        await coast.vps("vps-2", vps.metadata.namespace),
    )
    header, ids = f"{COOKIE}={cookie}", (str(vps.uid), str(session.uid))
    asked = [
        (*ids, "", 401),
        (*ids, f"{COOKIE}=", 401),
        (*ids, f"{COOKIE}={cookie[:-2]}", 401),
        (*ids, f"__Host-{COOKIE}=planted; {header}", 401),
        (*ids, cookie, 401),
        (str(strange.uid), str(theirs.uid), header, 404),
        ("theirs", "s", header, 404),
        (str(vps.uid), str(theirs.uid), header, 404),
        (str(beside.uid), str(session.uid), header, 404),
        ("", "", header, 404),
        ("\0", "../x", header, 404),
        (str(vps.uid), str(uuid4()), header, 404),
    ]
    got = [
        (await coast.hub(TERMINALS, {"vps": v, "session": s, "cookie": c})).status_code
        for v, s, c, _ in asked
    ]

    assert [status for *_, status in asked] == got


async def test_a_terminal_ends_with_what_it_needs(coast: Coast) -> None:
    """An account that may not, a session that is being ended, a browser that signed out."""
    user, cookie, vps, session = await seated(coast)
    wish = {"vps": str(vps.uid), "session": str(session.uid), "cookie": f"{COOKIE}={cookie}"}
    seen = [(await coast.hub(TERMINALS, wish)).status_code]
    await coast.state("Suspended", user.id)
    seen.append((await coast.hub(TERMINALS, wish)).status_code)
    await coast.state("Active", user.id)
    await coast.hold(session)
    seen.append((await coast.hub(TERMINALS, wish)).status_code)
    account = await coast.store.get(Account, user.id)
    account.spec.tokens_valid_after = coast.now + timedelta(hours=1)
    await coast.store.update(account)
    seen.append((await coast.hub(TERMINALS, wish)).status_code)

    assert [200, 403, 404, 401] == seen


async def test_a_browsers_session_that_is_over(coast: Coast) -> None:
    """Its time is judged by our clock."""
    _, cookie, vps, session = await seated(coast)
    sessions = coast.service.api.sessions
    clock = later(sessions.clock, timedelta(minutes=31))
    object.__setattr__(sessions, "clock", clock)
    wish = {"vps": str(vps.uid), "session": str(session.uid), "cookie": f"{COOKIE}={cookie}"}

    assert 401 == (await coast.hub(TERMINALS, wish)).status_code


def seen(kind: str, message: Any = None, sequence: int = 1, **more: Any) -> dict[str, Any]:
    """An observation."""
    moment = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
    return {
        "sequence": sequence,
        "observed_at": moment,
        "kind": kind,
        "message": message,
        **more,
    }


def example(kind: str, number: int = 0) -> dict[str, Any]:
    """An example of the protocol's."""
    schema = json.loads((PROTOCOL / f"{kind}.json").read_text())
    found: dict[str, Any] = schema["examples"][number]
    return found


async def report(coast: Coast, gateway: object, *observations: Any) -> Any:
    """Report, as the hub does."""
    body = {"observations": list(observations)}
    return await coast.hub(f"/hub/gateways/{gateway}/observations", body)


async def test_every_kind(coast: Coast) -> None:
    """Each is kept by what it is about, with the message as the protocol has it."""
    vps = await coast.vps(wished=["claude-code"])
    await coast.session(vps, uid=UUID(SESSION))
    messages = [
        example(kind, number)
        for kind in MESSAGES
        for number in range(len(json.loads((PROTOCOL / f"{kind}.json").read_text())["examples"]))
    ]
    answer = await report(
        coast,
        vps.uid,
        seen("connected"),
        *(seen(each["type"], each, number) for number, each in enumerate(messages, 2)),
    )
    kept = await coast.store.observations.of(vps.uid)

    newest = {each["type"]: each for each in messages}
    assert 204 == answer.status_code
    assert {
        "connection": ("connected", None),
        "hello": ("gateway.hello", newest["gateway.hello"]),
        "health": ("gateway.health", newest["gateway.health"]),
        "update": ("gateway.updated", newest["gateway.updated"]),
        "agent/claude-code": ("agent.installed", newest["agent.installed"]),
        f"session/{SESSION}": ("session.ended", newest["session.ended"]),
        f"session-error/{SESSION}": ("session.error", newest["session.error"]),
    } == {subject: (each.kind, each.message) for subject, each in kept.items()}


async def test_what_nobody_wishes_for(coast: Coast) -> None:
    """A gateway may tell of any session and agent; others' and made-up ones are not kept."""
    vps, other = await coast.vps(wished=["codex"]), await coast.vps(namespace=OTHER)
    foreign = await coast.session(other)
    started, installed = example("session.started"), example("agent.installed")
    answer = await report(
        coast,
        vps.uid,
        *(
            seen(started["type"], {**started, "session_id": str(session)}, 1)
            for session in (uuid4(), foreign.uid, vps.uid)
        ),
        seen(installed["type"], installed, 2),
    )

    assert 204 == answer.status_code
    assert {} == await coast.store.observations.of(vps.uid)


async def test_order(coast: Coast) -> None:
    """Of one thing the newest counts, in whatever order and however often it comes."""
    vps = await coast.vps()
    await coast.session(vps, uid=UUID(SESSION))
    session = example("session.started")
    await report(coast, vps.uid, seen("disconnected", None, 7), seen("connected", None, 9))
    await report(coast, vps.uid, seen("disconnected", None, 8), seen(session["type"], session, 5))
    await asyncio.gather(*(report(coast, vps.uid, seen("connected", None, 9)) for _ in range(4)))
    kept = await coast.store.observations.of(vps.uid)

    assert {"connection": 9, f"session/{SESSION}": 5} == {
        subject: each.sequence for subject, each in kept.items()
    }
    assert "connected" == kept["connection"].kind


async def test_news_ring(coast: Coast) -> None:
    """The controllers hear of a session at once; health, which comes all the time, wakes nobody."""
    vps = await coast.vps()
    await coast.session(vps, uid=UUID(SESSION))
    session = example("session.started")
    before = coast.store.doorbell.rings()
    await report(coast, vps.uid, seen("gateway.health", HEALTH))
    healthy = coast.store.doorbell.rings()
    await report(coast, vps.uid, seen(session["type"], session, 5))

    assert (before, before + 1) == (healthy, coast.store.doorbell.rings())


async def test_a_hub_whose_clock_is_ahead(coast: Coast) -> None:
    """What it saw in the future it saw by now; what it saw before, then."""
    vps = await coast.vps()
    ahead, behind = coast.now + timedelta(days=1), coast.now - timedelta(days=1)
    await report(
        coast,
        vps.uid,
        seen("connected", observed_at=ahead.isoformat()),
        seen("gateway.health", HEALTH, observed_at=behind.isoformat()),
    )
    kept = await coast.store.observations.of(vps.uid)

    assert kept["connection"].observed_at <= coast.now
    assert behind == kept["health"].observed_at


async def test_what_a_newer_hub_adds(coast: Coast) -> None:
    """What is not known is not kept, and stands in nobody's way; nor do control characters."""
    vps = await coast.vps()
    await coast.session(vps, uid=UUID(SESSION))
    error = example("session.error")
    error["error"]["message"] = "a\0b\x1b[2Jc\nd"
    answer = await report(
        coast,
        vps.uid,
        seen("gateway.health", {**HEALTH, "load": 3}, lag=1),
        seen("session.error", error),
    )
    kept = await coast.store.observations.of(vps.uid)

    assert 204 == answer.status_code
    assert HEALTH == kept["health"].message
    told = kept[f"session-error/{SESSION}"].message
    assert told is not None
    assert "a b [2Jc d" == told["error"]["message"]


BROKEN: Final[list[tuple[str, Any]]] = [
    ("observations.1.kind", seen("gateway.exploded")),
    ("observations.1.kind", seen("session.snapshot", {"type": "session.snapshot"})),
    ("observations.1", seen("connected", HEALTH)),
    ("observations.1", seen("gateway.health")),
    ("observations.1", seen("gateway.hello", HEALTH)),
    ("observations.1.message", seen("gateway.hello", {"type": "ping"})),
    ("observations.1.sequence", seen("connected", sequence=-1)),
    ("observations.1.sequence", seen("connected", sequence=2**53)),
    ("observations.1.observed_at", seen("connected", observed_at="yesterday")),
    ("observations.1.observed_at", seen("connected", observed_at="0001-01-01T00:00:00Z")),
    ("observations.1.observed_at", seen("connected", observed_at="2026-01-01T00:00:00")),
    ("observations.1", "connected"),
]


async def test_what_is_refused(coast: Coast) -> None:
    """The place is named, nothing of the report is kept, and 100 is the most."""
    vps = await coast.vps()
    got = [await report(coast, vps.uid, seen("connected"), each) for _, each in BROKEN]
    many = await report(coast, vps.uid, *[seen("connected")] * 101)
    absent = await coast.hub(f"/hub/gateways/{vps.uid}/observations", {})

    assert {422} == {answer.status_code for answer in (*got, many, absent)}
    for (place, _), answer in zip(BROKEN, got, strict=True):
        assert [name for name in fields_of(answer) if name.startswith(place)], answer.text
    assert {} == await coast.store.observations.of(vps.uid)
    assert 204 == (await report(coast, vps.uid, *[seen("connected")] * 100)).status_code
    assert 204 == (await report(coast, vps.uid)).status_code


async def test_messages_are_as_the_protocol_has_them(coast: Coast) -> None:
    """Each property that has to be there is missed, and each that breaks its rule is refused."""
    vps = await coast.vps()
    for kind in MESSAGES:
        schema, good = json.loads((PROTOCOL / f"{kind}.json").read_text()), example(kind, -1)
        broken = [
            {name: good[name] for name in good if name != missing} for missing in schema["required"]
        ]
        broken += [{**good, name: {"x": 1}} for name in good]
        broken += [{**good, name: "\n"} for name in good]
        got = [await report(coast, vps.uid, seen(kind, each)) for each in broken]

        assert {422} == {answer.status_code for answer in got}, kind
        assert set(schema["properties"]) == set(_model_of(kind).model_fields)
    assert {} == await coast.store.observations.of(vps.uid)


def _model_of(kind: str) -> Any:
    models = get_args(get_args(Message)[0])
    return next(
        each for each in models if get_args(each.model_fields["type"].annotation)[0] == kind
    )


async def test_observations_of_nobody(coast: Coast) -> None:
    """A gateway that is no more leaves nothing; one that is being deleted is heard to the end."""
    vps = await coast.vps()
    await coast.hold(vps)
    unknown = uuid4()
    statuses = [
        (await report(coast, each, seen("connected"))).status_code
        for each in (unknown, "x", (await coast.session(vps)).uid, vps.uid)
    ]

    assert [404, 404, 404, 204] == statuses
    assert {} == await coast.store.observations.of(unknown)


async def test_a_long_report(coast: Coast) -> None:
    """A report of the size that the hub makes is taken, a larger one is not read."""
    vps = await coast.vps()
    sessions = [{"session_id": str(uuid4()), "sequence": 2**53 - 1} for _ in range(256)]
    hello = {**example("gateway.hello"), "sessions": sessions}
    long = seen("gateway.hello", hello)
    taken = await report(coast, vps.uid, *[long] * 10)
    refused = await report(coast, vps.uid, *[long] * 60)

    assert 200_000 < len(json.dumps([long] * 10)) < 262_144
    assert (204, 413) == (taken.status_code, refused.status_code)
