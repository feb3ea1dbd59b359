"""What a controller tells of its providers: calls left, and whether its breakers are open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families

BUDGET = "invoker_provider_budget_left"
BREAKER = "invoker_provider_breaker_state"
TIMEOUT_SECONDS = 2.0
DEFAULT_PORT = "8081"


class Provider(NamedTuple):
    """A provider as one controller sees it.

    Attributes:
        name: Such as `fly`.
        calls_left: Calls that could be sent at once.
        breaker: `closed`, `open` or `half-open`; None when it was not told.
    """

    name: str
    calls_left: float
    breaker: str | None


class Gauges(NamedTuple):
    """What was learnt, or why nothing was."""

    providers: list[Provider]
    problem: str | None


def controller_url(environ: Mapping[str, str]) -> str:
    """Where a controller's metrics are, unless it is said."""
    return f"http://127.0.0.1:{environ.get('INVOKER_CONTROLLER_PORT') or DEFAULT_PORT}"


async def read(url: str, environ: Mapping[str, str]) -> Gauges:
    """Ask a controller.

    Args:
        url: Its address.
        environ: Where the token for metrics is, if one is needed.
    """
    token = environ.get("INVOKER_METRICS_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            answer = await client.get(f"{url.rstrip('/')}/metrics", headers=headers)
            answer.raise_for_status()
            return Gauges(parse(answer.text), None)
    except httpx.HTTPStatusError as error:
        return Gauges([], f"the controller at {url} answers {error.response.status_code}")
    except (httpx.HTTPError, httpx.InvalidURL):
        return Gauges([], f"no controller answers at {url}")
    except ValueError:
        return Gauges([], f"what answers at {url} is no controller")


def parse(text: str) -> list[Provider]:
    """The providers in a controller's metrics, by name.

    Raises:
        ValueError: It is not in Prometheus's format.
    """
    left: dict[str, float] = {}
    breakers: dict[str, str] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == BUDGET:
                left[sample.labels["provider"]] = sample.value
            elif sample.name == BREAKER and sample.value:
                breakers[sample.labels["provider"]] = sample.labels["state"]
    return [Provider(name, left[name], breakers.get(name)) for name in sorted(left)]
