"""Health, readiness, metrics, the description."""

from typing import Any

import psycopg
import pytest
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families

from api.operations import OPERATIONS
from crds.store import migrate
from tests.api.service import Service, serving

pytestmark = pytest.mark.anyio


async def test_health_needs_nothing(service: Service) -> None:
    """A process that runs is healthy, whatever else is down."""
    service.supabase.down = True
    answer = await service.client.get("/health")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_ready(service: Service) -> None:
    """With database, migrations and keys the API is ready."""
    answer = await service.client.get("/ready")

    assert answer.status_code == 200
    assert answer.json()["checks"] == {
        "database": "ok",
        "migrations": "ok",
        "signing_keys": "ok",
    }


async def test_not_ready_without_keys(service: Service) -> None:
    """Keys that were never had make the API unready; keys once had keep it ready."""
    service.supabase.down = True
    before = await service.client.get("/ready")
    service.supabase.down = False
    await service.client.get("/ready")
    service.supabase.down = True
    after = await service.client.get("/ready")

    assert before.status_code == 503
    assert before.json()["status"] == "unready"
    assert before.json()["checks"]["signing_keys"] == "KeysUnavailableError"
    assert after.status_code == 200


async def test_not_ready_with_another_schema(service: Service) -> None:
    """A database of another version is told apart."""
    await service.store.database.execute("INSERT INTO schema_migrations VALUES ('9999')")
    answer = await service.client.get("/ready")

    assert answer.status_code == 503
    assert answer.json()["checks"]["migrations"] == "other version"


async def test_metrics_by_route_template(service: Service) -> None:
    """Requests are counted by template, so that ids and made-up paths and methods add no series."""
    user = await service.user()
    for path in ("/api/machines/1", "/api/machines/2", "/made-up/1", "/made-up/2"):
        await service.call(user, "GET", path)
    await service.client.request("BREW", "/made-up")
    text = (await service.client.get("/metrics")).text

    samples = {
        (s.labels["method"], s.labels["route"], s.labels["status"]): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
        if s.name == "invoker_api_requests_total"
    }
    assert samples == {
        ("POST", "/api/auth/register", "201"): 1,
        ("GET", "/api/machines/{id}", "404"): 2,
        ("GET", "unmatched", "404"): 2,
        ("OTHER", "unmatched", "404"): 1,
    }


async def test_answers_carry_a_request_id(service: Service) -> None:
    """Every answer can be found in the log."""
    answers = [await service.client.get(path) for path in ("/health", "/nope")]

    assert len({answer.headers["x-request-id"] for answer in answers}) == 2


async def test_description(service: Service) -> None:
    """The OpenAPI document describes every operation, and its schemas are schemas."""
    document: dict[str, Any] = (await service.client.get("/openapi.json")).json()

    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    assert document["openapi"] == "3.1.0"
    assert described == {(operation.method, operation.path) for operation in OPERATIONS}
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


async def test_database_that_is_just_starting(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that does not answer at once is waited for."""
    tries: list[str] = []

    async def late(url: str) -> list[str]:
        tries.append(url)
        if len(tries) < 3:
            raise psycopg.OperationalError("the database system is starting up")
        return await migrate(url)

    monkeypatch.setattr("api.context.migrate", late)
    monkeypatch.setattr("api.context.RETRY_SECONDS", 0)
    async with serving(database_url) as service:
        answer = await service.client.get("/ready")

    assert answer.status_code == 200
    assert len(tries) == 3
