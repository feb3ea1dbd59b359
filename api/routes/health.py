"""Whether the API lives and can serve, and its metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from api.answers import answer
from api.context import Api, api_of
from api.metrics import metrics_of
from api.models import Health, Ready
from api.problems import unauthenticated
from crds.credentials import bears
from crds.store.migrate import migrations

CHECK_SECONDS = 2.0


async def health(_: Request) -> Response:
    """The process is up."""
    return answer(Health())


async def ready(request: Request) -> Response:
    """Whether the database answers, is up to date, and tokens can be verified."""
    api = api_of(request)
    outcomes = await asyncio.gather(*(_outcome(check(api)) for check in CHECKS.values()))
    checks = dict(zip(CHECKS, outcomes, strict=True))
    if all(outcome == "ok" for outcome in outcomes):
        return answer(Ready(status="ready", checks=checks))
    return answer(Ready(status="unready", checks=checks), 503)


async def metrics(request: Request) -> Response:
    """The process's metrics, for Prometheus; where a token is set, only who shows it.

    Raises:
        Problem: The token was not shown.
    """
    token = api_of(request).settings.metrics_token
    if token is not None and not bears(request.headers.get("authorization"), token):
        raise unauthenticated("The metrics need their bearer token.", "no-credentials")
    text = generate_latest(metrics_of(request).registry)
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _outcome(check: Awaitable[str]) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check
    except Exception as error:  # noqa: BLE001 - a failed check is an answer
        return type(error).__name__


async def _database(api: Api) -> str:
    await api.store.database.fetch("SELECT 1")
    return "ok"


async def _migrated(api: Api) -> str:
    rows = await api.store.database.fetch("SELECT version FROM schema_migrations")
    wanted = {step.version for step in migrations()}
    return "ok" if wanted == {row["version"] for row in rows} else "other version"


async def _keys(api: Api) -> str:
    await api.verifier.keys.ensure()
    return "ok"


CHECKS: Final[dict[str, Callable[[Api], Awaitable[str]]]] = {
    "database": _database,
    "migrations": _migrated,
    "signing_keys": _keys,
}
