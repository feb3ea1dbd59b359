"""Who may read the metrics: anybody, unless a token is set."""

from __future__ import annotations

import httpx
import pytest
from prometheus_client import CollectorRegistry, Gauge
from pydantic import SecretStr

from controller.engine import Manager
from controller.status_page import status_app
from crds.credentials import bears
from tests.api.service import serving

TOKEN = "metrics-token-of-the-tests"
GOOD = f"Bearer {TOKEN}"
WRONG = [None, "", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN, "Bearer ü"]


@pytest.mark.parametrize("header", WRONG)
def test_only_the_token_counts(header: str | None) -> None:
    """Anything but the token behind `Bearer` is refused."""
    assert not bears(header, SecretStr(TOKEN))


@pytest.mark.parametrize("header", [GOOD, f"bearer {TOKEN}", f"Bearer  {TOKEN} "])
def test_the_token_counts(header: str) -> None:
    """The scheme's case and white space do not matter (RFC 9110, 11.1)."""
    assert bears(header, SecretStr(TOKEN))


async def controllers_answer(token: str | None, **headers: str) -> httpx.Response:
    """What the controller's status page answers to a scrape."""
    registry = CollectorRegistry()
    Gauge("something", "x", registry=registry)
    manager = Manager(controllers=[])
    app = status_app(manager, registry, SecretStr(token) if token else None)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://c") as client:
        return await client.get("/metrics", headers=headers)


@pytest.mark.anyio
async def test_the_controllers_metrics() -> None:
    """Open without a token set, closed with one, and health stays open for probes."""
    opened = await controllers_answer(None)
    refused = await controllers_answer(TOKEN)
    shown = await controllers_answer(TOKEN, authorization=GOOD)

    assert [200, 401, 200] == [answer.status_code for answer in (opened, refused, shown)]
    assert refused.headers["www-authenticate"] == "Bearer"
    assert "something" not in refused.text
    assert "something 0.0" in shown.text


@pytest.mark.anyio
async def test_the_apis_metrics(database_url: str) -> None:
    """The same of the API; its other paths do not want the token."""
    async with serving(database_url, metrics_token=TOKEN) as service:
        refused = await service.client.get("/metrics")
        shown = await service.client.get("/metrics", headers={"authorization": GOOD})
        health = await service.client.get("/health")

    assert [401, 200, 200] == [answer.status_code for answer in (refused, shown, health)]
    assert refused.headers["content-type"] == "application/problem+json"
    assert "invoker_api" not in refused.text
