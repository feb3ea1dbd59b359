"""Commands to gateways: what is sent, and what each answer means for sending it again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr

from crds.gateway_hub import (
    CommandError,
    CommandRefusedError,
    CommandUnknownError,
    GatewayHub,
    GatewayOfflineError,
    TokenRefusedError,
)

pytestmark = pytest.mark.anyio

GATEWAY = UUID(int=7)
TOKEN = "an-edge-token-of-some-length"
COMMAND = {"type": "session.end", "id": "end.1", "session_id": str(UUID(int=8))}
DONE = {"type": "ack", "id": "end.1", "ok": True}


def _problem(status: int, code: str) -> httpx.Response:
    """A refusal as the hub words it (docs/protocols.md)."""
    body = {"type": f"urn:invoker:problem:{code}", "title": "…", "detail": "because"}
    return httpx.Response(status, json=body)


async def _sent(answer: Callable[[httpx.Request], httpx.Response]) -> dict[str, Any]:
    hub = GatewayHub(
        httpx.MockTransport(answer), base_url="http://hub.invalid", token=SecretStr(TOKEN)
    )
    try:
        return await hub.send(GATEWAY, COMMAND)
    finally:
        await hub.aclose()


async def _refused(answer: httpx.Response | Exception) -> CommandError:
    def respond(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(CommandError) as caught:
        await _sent(respond)
    return caught.value


async def test_a_command_goes_to_its_gateways_hub() -> None:
    """The whole message, at the gateway's path, with the edge token; its answer comes back."""
    asked: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json=DONE)

    answer = await _sent(respond)

    assert DONE == answer
    (request,) = asked
    assert ("POST", f"/hub/{GATEWAY}/commands") == (request.method, request.url.path)
    assert f"Bearer {TOKEN}" == request.headers["authorization"]
    assert COMMAND == json.loads(request.content)


async def test_an_answer_may_be_another_message() -> None:
    """What flows.json names as a command's answer is given back as it is."""
    keys = {"type": "ssh.keys", "id": "end.1", "keys": []}

    assert keys == await _sent(lambda _: httpx.Response(200, json=keys))


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (_problem(503, "gateway-offline"), GatewayOfflineError, "gateway-offline"),
        (httpx.ConnectError("refused"), GatewayOfflineError, "hub-unreachable"),
        (_problem(503, "gateway-lost"), CommandUnknownError, "gateway-lost"),
        (_problem(503, "hub-unavailable"), CommandUnknownError, "hub-unavailable"),
        (_problem(504, "gateway-timeout"), CommandUnknownError, "gateway-timeout"),
        (_problem(409, "conflict"), CommandUnknownError, "conflict"),
        (_problem(429, "busy"), CommandUnknownError, "busy"),
        (httpx.ReadTimeout("late"), CommandUnknownError, "hub-unavailable"),
        (httpx.RemoteProtocolError("cut"), CommandUnknownError, "hub-unavailable"),
        (httpx.Response(502, text="<html>"), CommandUnknownError, "status-502"),
        (_problem(400, "malformed"), CommandRefusedError, "malformed"),
        (_problem(413, "too-large"), CommandRefusedError, "too-large"),
        (_problem(401, "unauthenticated"), TokenRefusedError, "unauthenticated"),
        (httpx.Response(403), TokenRefusedError, "status-403"),
        (httpx.Response(404, json=[]), CommandUnknownError, "status-404"),
    ],
)
async def test_each_answer_tells_whether_it_may_have_been_done(
    answer: httpx.Response | Exception, kind: type[CommandError], code: str
) -> None:
    """Offline: nothing was sent; unknown: it may have been done; refused: not, and not later."""
    error = await _refused(answer)

    assert (kind, code) == (type(error), error.code)


async def test_a_gateway_that_does_not_do_it_says_why() -> None:
    """An `ack` that is not ok carries the gateway's own words."""
    problem = {"code": "no-such-session", "message": "it is gone"}
    error = await _refused(httpx.Response(200, json={**DONE, "ok": False, "error": problem}))
    silent = await _refused(httpx.Response(200, json={**DONE, "ok": False}))

    assert (CommandRefusedError, "no-such-session", "it is gone") == (
        type(error),
        error.code,
        error.detail,
    )
    assert "no-such-session: it is gone" == str(error)
    assert ("refused", "refused") == (silent.code, str(silent))


async def test_a_gateways_words_can_be_kept_and_shown() -> None:
    """They hold nothing that PostgreSQL refuses or that a terminal takes for an order."""
    problem = '{"code": "bad", "message": "a\\u0000b\\ud800c\\u001b[2Jd\\r\\ne"}'
    body = f'{{"type": "ack", "id": "end.1", "ok": false, "error": {problem}}}'

    error = await _refused(httpx.Response(200, text=body))

    assert "a b c [2Jd  e" == error.detail


async def test_no_gateway_speaks_for_the_worker() -> None:
    """A gateway that answers as if our token were refused refuses nothing but its own command."""
    problem = {"code": "unauthenticated", "message": "?"}
    error = await _refused(httpx.Response(200, json={**DONE, "ok": False, "error": problem}))

    assert CommandRefusedError is type(error)


async def test_no_refusal_repeats_the_token() -> None:
    """Whatever fails, its words can be shown."""
    errors = [await _refused(answer) for answer in (_problem(401, "x"), httpx.ConnectError(TOKEN))]

    assert [] == [error for error in errors if TOKEN in str(error)]
