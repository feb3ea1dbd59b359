"""Terminal sessions: what is wished for, told, and shown."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest

from crds.session import Session, SessionProblem, SessionSpec
from crds.vps import Vps
from tests.api.service import Service, code_of, problem_of, refusal
from tests.api.vpses import OTHER, OWN, Coast, fields_of

pytestmark = pytest.mark.anyio

WRONG: Final[list[tuple[str, Any]]] = [
    ("name", "A"),
    ("title", "a\nb"),
    ("title", "a" * 201),
    ("agent_type", "Claude Code"),
    ("workdir", "relative"),
    ("workdir", "/a\x00"),
    ("columns", 0),
    ("columns", "80"),
    ("rows", 1001),
    ("vps", "other"),
]


@pytest.fixture
async def coast(service: Service) -> Coast:
    """An account with a VPS, and another one."""
    coast = Coast(service)
    await coast.account(OWN)
    await coast.account(OTHER)
    return coast


@pytest.fixture
async def vps(coast: Coast) -> Vps:
    """The account's VPS."""
    return await coast.vps()


def answers(message: dict[str, Any]) -> Any:
    """A hub whose gateway answers so."""
    return lambda command: httpx.Response(200, json={"id": command["id"], **message})


async def test_what_is_made_is_as_wished(coast: Coast, vps: Vps) -> None:
    """Every field is written; the session belongs to its VPS and goes with it."""
    wish = {
        "name": "main",
        "title": "Work 👋",
        "agent_type": "claude-code",
        "workdir": "/srv/my work",
        "columns": 132,
        "rows": 43,
    }
    view = await coast.good("POST", "/vps/vps-1/sessions", wish)
    row = await coast.store.get(Session, "main", OWN)
    told = await coast.good("GET", f"/vps/{vps.uid}/sessions")

    assert wish | {"vps": "vps-1"} == row.spec.model_dump() | {"name": row.metadata.name}
    assert [vps.owner_reference()] == row.metadata.owner_references
    assert {"sessions": [view]} == told
    assert (str(row.uid), str(vps.uid), "starting") == (
        view["session_id"],
        view["vps_id"],
        view["status"],
    )


async def test_a_usual_one(coast: Coast, vps: Vps) -> None:
    """Who says nothing gets a shell with the next free name, also at the same time."""
    path = f"/vps/{vps.uid}/sessions"
    bodies: list[dict[str, Any] | None] = [None, {}, {}, {"title": None}]
    made = await asyncio.gather(*(coast.good("POST", path, body) for body in bodies))

    assert {f"session-{number}" for number in range(1, 5)} == {each["name"] for each in made}
    assert {("shell", "/root", "")} == {
        (each["agent_type"], each["workdir"], each["title"]) for each in made
    }


async def test_a_repeated_wish(coast: Coast, vps: Vps) -> None:
    """The same wish finds the same session; another one of its name is told what differs."""
    path = f"/vps/{vps.uid}/sessions"
    await coast.vps("vps-2")
    first = await coast.good("POST", path, {"title": "a"}, key="k")
    same = [
        await coast.good("POST", path, {"title": "a"}, key="k"),
        await coast.good("POST", path, {"name": "session-1"}),
    ]
    other = [
        await coast.ask("POST", path, {"title": "b"}, key="k"),
        await coast.ask("POST", path, {"name": "session-1", "columns": 100}),
        await coast.ask("POST", "/vps/vps-2/sessions", {"name": "session-1"}),
    ]

    assert [first] * 2 == same
    assert [(409, "session-differs")] * 3 == [(each.status_code, code_of(each)) for each in other]
    assert [["title"], ["columns"], ["vps"]] == [fields_of(each) for each in other]


async def test_wrong_fields(coast: Coast, vps: Vps) -> None:
    """Each is refused by name, and nothing is made."""
    path = f"/vps/{vps.uid}/sessions"
    got = {f"{n} {v!r}": await coast.ask("POST", path, {n: v}) for n, v in WRONG}

    expected = {f"{name} {value!r}": (422, [name]) for name, value in WRONG}
    assert expected == {case: (a.status_code, fields_of(a)) for case, a in got.items()}
    assert [] == (await coast.store.list(Session)).items


async def test_no_more_than_32(coast: Coast, vps: Vps) -> None:
    """The number is told, and another VPS has its own."""
    await coast.vps("vps-2")
    for number in range(30):
        await coast.session(vps, f"s-{number}")
    path = f"/vps/{vps.uid}/sessions"
    got = await asyncio.gather(*(coast.ask("POST", path, {}) for _ in range(4)))
    elsewhere = await coast.ask("POST", "/vps/vps-2/sessions", {})

    refused = [each for each in got if each.status_code == 409]
    assert [202, 202, 409, 409] == sorted(each.status_code for each in got)
    assert [("too-many-sessions", 32)] * 2 == [
        (code_of(each), problem_of(each)["limit"]) for each in refused
    ]
    assert 202 == elsewhere.status_code


async def test_the_end_of_one(coast: Coast, vps: Vps) -> None:
    """It is asked for once, by uid or by name, and only on the VPS that it is on."""
    await coast.vps("vps-2")
    held, free = await coast.session(vps), await coast.session(vps, "session-2")
    await coast.hold(held)
    elsewhere = await coast.ask("DELETE", f"/vps/vps-2/sessions/{free.uid}")
    going = await coast.good("DELETE", f"/vps/vps-1/sessions/{held.uid}")
    await coast.good("DELETE", "/vps/vps-1/sessions/session-2")
    gone = await coast.ask("DELETE", f"/vps/vps-1/sessions/{free.uid}")

    assert "It is being ended." == going["message"]
    assert [(404, "no-such-session")] * 2 == [
        (each.status_code, code_of(each)) for each in (elsewhere, gone)
    ]
    assert [held.uid] == [each.uid for each in (await coast.store.list(Session)).items]


STATES: Final[list[tuple[dict[str, Any], str, str]]] = [
    ({"phase": "Pending"}, "starting", "begun"),
    ({"phase": "Starting"}, "starting", "begun"),
    ({"phase": "Waiting"}, "waiting", "when its VPS is connected"),
    ({"phase": "Running"}, "running", "runs"),
    ({"phase": "Ended", "reason": "exited", "exit_code": 3}, "ended", "with code 3."),
    ({"phase": "Ended", "reason": "ended"}, "ended", "has ended."),
    (
        {
            "phase": "Failed",
            "problem": SessionProblem(code="no-such-agent", message="no codex"),
        },
        "failed",
        "could not be begun. No codex.",
    ),
    ({"phase": "Failed", "problem": SessionProblem(code="broken")}, "failed", "Broken."),
]


async def test_how_it_is(coast: Coast, vps: Vps) -> None:
    """Each phase has its word, and a sentence for people."""
    session = await coast.session(vps)
    for status, state, words in STATES:
        nothing = {"reason": None, "exit_code": None, "problem": None}
        session = await coast.tell(session, **nothing | status)
        [view] = (await coast.good("GET", f"/vps/{vps.uid}/sessions"))["sessions"]

        assert (state, status.get("exit_code")) == (view["status"], view["exit_code"])
        assert words in view["message"]


SHOWN: Final[dict[str, Any]] = {
    "type": "session.snapshot",
    "sequence": 5120,
    "columns": 80,
    "rows": 24,
    "data": "\x1b[1mdev\x1b[0m$ ",
}


async def test_a_snapshot(coast: Coast, vps: Vps) -> None:
    """The gateway is asked by the hub, each time anew, and its answer passed on."""
    session = await coast.session(vps)
    worker = coast.service.worker
    worker.answer = answers({**SHOWN, "session_id": str(session.uid)})
    path = f"/vps/vps-1/sessions/{session.metadata.name}/snapshot"
    shown = [await coast.good("GET", path) for _ in range(2)]

    expected = {name: value for name, value in SHOWN.items() if name != "type"}
    assert [expected | {"session_id": str(session.uid)}] * 2 == shown
    assert {f"/hub/{vps.uid}/commands"} == {to for to, _ in worker.commands}
    assert {("session.snapshot.request", str(session.uid))} == {
        (command["type"], command["session_id"]) for _, command in worker.commands
    }
    assert 2 == len({command["id"] for _, command in worker.commands})


REFUSED: Final[list[tuple[Any, int, str]]] = [
    (None, 503, "gateway-offline"),
    (lambda _: refusal(504, "gateway-timeout"), 504, "gateway-timeout"),
    (lambda _: refusal(503, "gateway-lost"), 503, "gateway-unavailable"),
    (lambda _: refusal(429, "busy"), 503, "gateway-unavailable"),
    (lambda _: httpx.Response(500, text="<html>"), 503, "gateway-unavailable"),
    (
        answers({"type": "ack", "ok": False, "error": {"code": "no-such-session"}}),
        409,
        "not-running",
    ),
    (answers(SHOWN), 503, "gateway-unreadable"),
    (answers({**SHOWN, "session_id": str(uuid4())}), 503, "gateway-unreadable"),
]


async def test_no_snapshot(coast: Coast, vps: Vps) -> None:
    """Whatever the hub answers, its user is told in our words whether to come back."""
    session = await coast.session(vps)
    for answer, status, code in REFUSED:
        coast.service.worker.answer = answer
        got = await coast.ask("GET", f"/vps/{vps.uid}/sessions/{session.uid}/snapshot")

        assert (status, code) == (got.status_code, code_of(got))
        assert ("retry-after" in got.headers) == (status != 409)


async def test_a_hub_that_is_away(coast: Coast, vps: Vps, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Worker that cannot be reached is no defect of ours."""
    session = await coast.session(vps)

    async def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    monkeypatch.setattr(coast.service.worker, "handle_async_request", fail)
    got = await coast.ask("GET", f"/vps/{vps.uid}/sessions/{session.uid}/snapshot")

    assert (503, "gateway-unavailable") == (got.status_code, code_of(got))


async def test_nothing_is_asked_of_what_does_not_run(coast: Coast, vps: Vps) -> None:
    """A session that waits, or of an account that may not, is not looked at."""
    session = await coast.session(vps, phase="Waiting")
    path = f"/vps/{vps.uid}/sessions/{session.uid}/snapshot"
    waiting = await coast.ask("GET", path)
    await coast.state("Suspended")
    suspended = await coast.ask("GET", path)

    assert [(409, "not-running"), (403, "account-suspended")] == [
        (each.status_code, code_of(each)) for each in (waiting, suspended)
    ]
    assert [] == coast.service.worker.commands


async def test_sessions_by_kubectl_are_told_as_well(coast: Coast, vps: Vps) -> None:
    """A row that somebody wrote without us needs nothing of ours."""
    row = await coast.session(vps, "byhand")
    row.spec = SessionSpec(vps="vps-1", title="x")
    await coast.store.update(row)
    told = await coast.good("GET", "/vps/vps-1/sessions")

    assert ["byhand"] == [each["name"] for each in told["sessions"]]
