"""Instant queries of the simulated Prometheus."""

from collections.abc import Iterator, Mapping

import httpx
import pytest

from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.promql import QueryError, evaluate
from deploy.local.simulators.fly.runtime import InlineRuntime
from tests.simulators.helpers import Fly, config

URL = "https://api.fly.io/prometheus"


class Known:
    """Two machines' worth of series."""

    def select(self, name: str) -> Iterator[tuple[Mapping[str, str], float]]:
        """Yield what `up` is, and half of it for `half`."""
        for instance, region, value in (("a", "iad", 4.0), ("b", "ams", 6.0), ("c", "ams", 0.0)):
            labels = {"instance": instance, "region": region}
            if name == "up":
                yield labels, value
            elif name == "half" and instance != "b":
                yield labels, value / 2

    def increase(self, name: str, seconds: float) -> Iterator[tuple[Mapping[str, str], float]]:
        """Yield as much more as there were seconds."""
        return ((labels, value + seconds) for labels, value in self.select(name))


def _by_instance(query: str) -> dict[str, float]:
    found = evaluate(query, Known())
    return {dict(labels).get("instance", ""): value for labels, value in found.items()}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("1 + 2 * (3 - 1) / 4", {"": 2.0}),
        ("up", {"a": 4.0, "b": 6.0, "c": 0.0}),
        ('up{region="ams"}', {"b": 6.0, "c": 0.0}),
        ('up{region="ams", instance!="c"}', {"b": 6.0}),
        ('up{none=""}', {"a": 4.0, "b": 6.0, "c": 0.0}),
        ("up - half", {"a": 2.0, "c": 0.0}),
        ("100 * up / 4", {"a": 100.0, "b": 150.0, "c": 0.0}),
        ("increase(up[2m])", {"a": 124.0, "b": 126.0, "c": 120.0}),
        ("sum by (none) (up)", {"": 10.0}),
        ("max by (instance, region) (half)", {"a": 2.0, "c": 0.0}),
        ("absent", {}),
    ],
)
def test_what_is_understood(query: str, expected: dict[str, float]) -> None:
    """Arithmetic, selectors, growth and aggregation, as Prometheus has them."""
    assert expected == _by_instance(query)


def test_groups_are_what_was_asked_for() -> None:
    """Only the labels of the grouping remain."""
    found = evaluate("sum by (region) (up)", Known())

    assert {frozenset({("region", "ams")}): 6.0, frozenset({("region", "iad")}): 4.0} == found


@pytest.mark.parametrize(
    "query",
    [
        "",
        "up{",
        'up{region=~"a"}',
        "up[5m]",
        "increase(up)",
        "increase(up[5])",
        "rate(up[5m])",
        "sum(up)",
        "sum by (a) (1)",
        "up up",
        "5m",
        "up ? 1",
        "(up",
        '"text"',
    ],
)
def test_what_is_not_understood(query: str) -> None:
    """Everything else is refused and nothing is guessed."""
    with pytest.raises(QueryError):
        evaluate(query, Known())


@pytest.mark.anyio
async def test_errors_have_prometheus_shape(fly: Fly, cloud: FlyCloud) -> None:
    """400 for the query, 403 for another organisation, 401 without a token."""
    bad = await fly.client.get(f"{URL}/invoker/api/v1/query", params={"query": "rate(up[5m])"})
    other = await fly.client.get(f"{URL}/acme/api/v1/query", params={"query": "up"})
    nobody = await fly.client.get(
        f"{URL}/invoker/api/v1/query", headers={"authorization": "Bearer none"}
    )

    assert 400 == bad.status_code
    assert ("error", "bad_data") == (bad.json()["status"], bad.json()["errorType"])
    assert [403, 401] == [other.status_code, nobody.status_code]
    assert [] == list(cloud.effects)


@pytest.mark.anyio
async def test_series_carry_the_platform_s_labels(fly: Fly, cloud: FlyCloud) -> None:
    """A machine's own labels of these names are overwritten, what cannot be read is dropped."""
    await fly.app()
    told = config(metrics={"port": 1, "path": "/metrics"})
    machine_id = await fly.started(config=told)
    broken = await fly.started("broken", config=told)
    assert isinstance(cloud.runtime, InlineRuntime)
    cloud.runtime.machine(machine_id).metrics = 'x{app="other",a="1"} 2\n'
    cloud.runtime.machine(broken).metrics = "x{ 2\n"
    answer: httpx.Response = await fly.client.get(
        f"{URL}/invoker/api/v1/query", params={"query": "x"}
    )
    found = answer.json()["data"]["result"]
    labels = {"a": "1", "app": "alpha", "instance": machine_id, "region": "iad"}

    assert [labels] == [series["metric"] for series in found]
    assert ["2"] == [series["value"][1] for series in found]
