"""Log lines: each says where it belongs, and none tells a secret."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider

from api import supabase
from controller.engine import Controller, Request
from controller.providers import Call, Gear, ProviderError, http
from crds.logs import LogLevel, configure
from crds.meta import Key
from tests.engine.fakes import ScriptedReconciler, queue
from tests.providers.fakes import TOKEN, Script, ample, fly, reply
from tests.support.virtual_time import clock, run

ALICE = Key("Machine", "alice", "main")
WISH = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CALL = Call()


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the log's configuration as it was found.

    A logger keeps the configuration of its first line, so each test has the clients log with one
    of its own.
    """
    monkeypatch.setattr(http, "log", structlog.get_logger("invoker.providers"))
    root = logging.getLogger()
    handlers, level, disabled = root.handlers[:], root.level, root.manager.disable
    logging.disable(logging.NOTSET)
    yield
    root.handlers[:], root.level = handlers, level
    logging.disable(disabled)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was logged."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def reconciled(*keys: Key, level: LogLevel = "info") -> None:
    """Reconcile keys, one after the other, in a worker that logs one line for each."""
    configure("json", level)

    async def main() -> None:
        def log(request: Request) -> None:
            if request.key == ALICE:
                request.link(WISH)
            structlog.get_logger("invoker.test").info("step")

        subject = Controller(
            "Machine",
            ScriptedReconciler([log] * len(keys)),
            queue=queue(),
            clock=clock(),
            workers=1,
            tracer=TracerProvider(shutdown_on_exit=False).get_tracer("test"),
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(subject.run())
            for key in keys:
                subject.push(key)
            await asyncio.sleep(1)
            subject.stop()

    run(main, limit_seconds=60)


def test_a_reconciles_lines_name_object_account_and_trace(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever a step logs can be found by object, by account, by span and by the wish."""
    reconciled(ALICE)

    (line,) = lines(capsys)
    told = {name: line[name] for name in ("kind", "namespace", "name", "account", "controller")}
    assert told == {
        "kind": "Machine",
        "namespace": "alice",
        "name": "main",
        "account": "alice",
        "controller": "Machine",
    }
    assert line["reconcile"] == 1
    assert line["wish_trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (len(line["trace_id"]), len(line["span_id"])) == (32, 16)


def test_one_reconcile_leaves_nothing_to_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    """A worker's next key does not inherit the wish, the namespace or the trace of the last."""
    reconciled(ALICE, Key("Account", "", "bob"))

    first, second = lines(capsys)
    assert {"wish_trace_id", "namespace"} & second.keys() == set()
    assert (second["account"], second["name"]) == ("bob", "bob")
    assert second["trace_id"] != first["trace_id"]


def test_a_request_of_a_user_names_the_account(capsys: pytest.CaptureFixture[str]) -> None:
    """Who is signed in is the account of every line of the request."""
    configure("json")
    with structlog.contextvars.bound_contextvars(user_id="alice"):
        structlog.get_logger("api.test").info("request")

    assert lines(capsys)[0]["account"] == "alice"


def called(script: Script, *, level: LogLevel, write: bool) -> None:
    """Call the provider, and let it fail if it does."""
    configure("json", level)

    async def main() -> None:
        client = fly(script, Gear(budget=ample()))
        try:
            if write:
                await client.stop_machine("app", "m1", timeout=1, call=CALL)
            else:
                await client.get_machine("app", "m1", call=CALL)
        except ProviderError:
            return

    run(main, limit_seconds=60)


MACHINE = {"id": "m1", "state": "started"}


def test_an_effect_is_told_with_the_providers_request_id(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What changes something outside is a line at info, whatever came of it."""
    called(Script(reply(200, {"ok": True}, fly_request_id="01ID")), level="info", write=True)

    (line,) = lines(capsys)
    assert line["event"] == "provider call"
    assert {
        "level": "info",
        "provider": "fly",
        "operation": "machines.stop",
        "status": 200,
        "attempt": 1,
        "provider_request_id": "01ID",
    }.items() <= line.items()
    assert line["seconds"] >= 0


@pytest.mark.parametrize(("level", "told"), [("info", []), ("debug", [("debug", "machines.get")])])
def test_a_read_is_told_only_to_who_wants_to_know(
    level: LogLevel, told: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Reads are many: they are lines at debug."""
    called(Script(reply(200, MACHINE)), level=level, write=False)

    assert told == [(line["level"], line["operation"]) for line in lines(capsys)]


def test_every_try_of_a_read_has_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    """The tries of one read are told apart, the failed ones at info."""
    called(Script(reply(503), reply(502), reply(200, MACHINE)), level="debug", write=False)

    told = [line for line in lines(capsys) if line["event"] == "provider call"]
    assert [(1, 503, "info"), (2, 502, "info"), (3, 200, "debug")] == [
        (line["attempt"], line["status"], line["level"]) for line in told
    ]


def test_no_line_of_a_call_holds_the_token(capsys: pytest.CaptureFixture[str]) -> None:
    """Not even when the provider repeats it, at any level."""
    called(Script(reply(400, {"error": f"bad {TOKEN}"})), level="debug", write=True)

    told = capsys.readouterr().err
    assert "provider call" in told
    assert TOKEN not in told


def test_debugging_ours_leaves_the_libraries_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """Libraries at debug show headers: only our own loggers follow the level down."""
    configure("json", "debug")
    logging.getLogger("asyncio").debug("theirs")
    logging.getLogger("invoker.x").debug("ours")

    assert ["ours"] == [line["event"] for line in lines(capsys)]


def test_calls_of_supabase_are_told_without_passwords(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API's own provider has its lines, whether it answers, refuses or is away."""
    configure("json")
    monkeypatch.setattr(supabase, "log", structlog.get_logger("api.supabase"))
    refusal = httpx.Response(400, json={"error_code": "x"})
    replies: Iterator[httpx.Response | Exception] = iter([refusal, httpx.ConnectError("hunter2")])

    def answer(_: httpx.Request) -> httpx.Response:
        reply = next(replies)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def main() -> None:
        client = supabase.Supabase.at("http://s", "anon-key-of-it", httpx.MockTransport(answer))
        for _ in range(2):
            with contextlib.suppress(supabase.AuthError, supabase.AuthUnavailableError):
                await client.sign_in("alice@example.com", "hunter2")
        await client.aclose()

    run(main, limit_seconds=60)

    text = capsys.readouterr().err
    told = [json.loads(line) for line in text.splitlines()]
    assert [("auth.token", 400, None), ("auth.token", None, "ConnectError")] == [
        (line["operation"], line.get("status"), line.get("error")) for line in told
    ]
    assert [word for word in ("hunter2", "alice@", "anon-key") if word in text] == []
