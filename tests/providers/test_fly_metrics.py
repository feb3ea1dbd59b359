"""The client of Fly's Prometheus, by scripted answers."""

import pytest

from controller.providers import Call, Gear, InvalidRequest, Priority, Unauthorized, Unavailable
from controller.providers.fly.metrics import FlyMetrics, Usage
from tests.providers.fakes import TOKEN, Script, ample, reply

pytestmark = pytest.mark.anyio

CALL = Call(Priority.RESYNC)


def _metrics(script: Script) -> FlyMetrics:
    return FlyMetrics(script, token=TOKEN, org="ac/me", gear=Gear(budget=ample()))


def _vector(label: str, **values: str) -> dict[str, object]:
    result = [{"metric": {label: key}, "value": [1700000000.5, v]} for key, v in values.items()]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


async def test_usage_takes_two_queries_for_all_machines() -> None:
    """What is known of a machine in part, or is no number, is not told."""
    script = Script(
        reply(json=_vector("instance", a="12.5", b="1", c="NaN")),
        reply(json=_vector("instance", a="100", c="5", d="7")),
    )

    assert {"a": Usage(12.5, 100.0)} == await _metrics(script).usage(call=CALL)
    assert ["/prometheus/ac%2Fme/api/v1/query"] * 2 == [
        request.url.raw_path.decode().partition("?")[0] for request in script.asked
    ]
    assert f"Bearer {TOKEN}" == script.asked[0].headers["authorization"]


async def test_requests_leave_our_probes_out() -> None:
    """One query, with the window that was asked for."""
    script = Script(reply(json=_vector("app", one="3", two="0")))
    found = await _metrics(script).requests(window_seconds=120, call=CALL)

    assert {"one": 3.0, "two": 0.0} == found
    assert (
        'sum by (app) (increase(kong_http_requests_total{consumer!="invoker-probe"}[120s]))'
        == script.asked[0].url.params["query"]
    )


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"status": "error", "errorType": "bad_data", "error": "parse"}, InvalidRequest),
        (401, {}, Unauthorized),
        (503, {}, Unavailable),
        (200, {"status": "success", "data": {"result": [{"value": [1, "x"]}]}}, Unavailable),
    ],
)
async def test_what_is_no_answer_has_a_kind(
    status: int, body: dict[str, object], error: type[Exception]
) -> None:
    """An error of the provider's, and an answer that cannot be read, are typed."""
    metrics = _metrics(Script(reply(status, json=body)))
    with pytest.raises(error):
        await metrics.requests(window_seconds=60, call=CALL)
