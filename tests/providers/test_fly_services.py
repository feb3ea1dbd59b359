"""What is asked of Fly for services: secrets, commands in machines, copies of volumes, checks."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from controller.providers import Call, InvalidRequest, Priority
from controller.providers.exchange import Ask
from controller.providers.fly import FlyMachine
from tests.providers.fakes import Script, fly, reply

pytestmark = pytest.mark.anyio

CALL = Call(Priority.USER)


def body(request: httpx.Request) -> Any:
    """Return a request's JSON."""
    return json.loads(request.content)


async def test_secrets_are_set_and_unset_at_once() -> None:
    """One request sets what is named, and unsets what is named without a value."""
    script = Script(reply(200))

    await fly(script).set_secrets("app", {"A": "1", "B": None}, call=CALL)

    assert ["POST /v1/apps/app/secrets"] == script.lines
    assert {"values": {"A": "1", "B": None}} == body(script.asked[0])


async def test_names_of_secrets_are_listed() -> None:
    """Only names are read, and never the values."""
    script = Script(reply(200, {"secrets": [{"name": "A", "digest": "x"}, {"name": "B"}]}))

    names = await fly(script).list_secrets("app", call=CALL)

    assert ["A", "B"] == names
    assert ["GET /v1/apps/app/secrets"] == script.lines


async def test_refused_secrets_are_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    """Words that repeat a value are told without it, also quoted, and where one holds another."""
    values = {"A": "hunter", "B": "hunter-2", "C": 'a"b\nc'}
    script = Script(reply(400, {"error": f"no: {json.dumps(values)}"}))

    with pytest.raises(InvalidRequest) as refused:
        await fly(script).set_secrets("app", values, call=CALL)

    assert 'no: {"A": "…", "B": "…", "C": "…"}' == refused.value.message
    assert "hunter" not in caplog.text


def test_a_request_does_not_show_what_it_carries() -> None:
    """What is sent is in no trace of a request."""
    ask = Ask("secrets.update", "POST", "/", "app", json={"A": "hunter"}, secrets=["hunter"])

    assert "hunter" not in repr(ask)


async def test_a_command_is_run_with_its_input() -> None:
    """The input goes by itself; how the command ended is an answer and no error."""
    script = Script(reply(200, {"exit_code": 3, "stdout": "out", "stderr": "err"}))

    ran = await fly(script).run("app", "m1", ["psql", "-f", "-"], stdin="SELECT 1", call=CALL)

    assert ["POST /v1/apps/app/machines/m1/exec"] == script.lines
    assert {"command": ["psql", "-f", "-"], "stdin": "SELECT 1", "timeout": 30} == body(
        script.asked[0]
    )
    assert (3, "out", "err") == (ran.exit_code, ran.stdout, ran.stderr)
    assert "out" not in repr(ran)


async def test_a_volume_begins_as_a_copy() -> None:
    """The source is named only where there is one."""
    script = Script(reply(200, {"id": "vol_2", "state": "hydrating"}))

    copy = await fly(script).create_volume(
        "app", name="v_a", region="yyz", size_gb=1, source="vol_1", call=CALL
    )
    await fly(script).create_volume("app", name="v_a", region="yyz", size_gb=1, call=CALL)

    assert "hydrating" == copy.state
    assert ["vol_1", None] == [body(asked).get("source_volume_id") for asked in script.asked]


async def test_a_private_address_names_its_network() -> None:
    """Who may reach a private address is the network it is on."""
    script = Script(reply(200, {"ip": "fdaa::1"}))

    address = await fly(script).assign_address("app", "private_v6", network="net", call=CALL)

    assert {"type": "private_v6", "network": "net"} == body(script.asked[0])
    assert "private_v6" == address.kind


@pytest.mark.parametrize(
    ("checks", "passing"),
    [
        ([], False),
        (None, False),
        ([{"name": "a", "status": "passing"}], True),
        ([{"name": "a", "status": "passing"}, {"name": "b", "status": "critical"}], False),
        ([{"name": "a", "status": "warning"}], False),
    ],
)
def test_all_checks_have_to_pass(checks: list[dict[str, str]] | None, passing: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """A machine without checks, or with one that has not run yet, is not known to be well."""
    machine = FlyMachine.model_validate({"id": "m", "checks": checks})

    assert passing == machine.passing
