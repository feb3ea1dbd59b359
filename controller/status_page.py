"""What a replica tells of itself: health, readiness, metrics."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from controller.engine import Manager
from crds.credentials import bears

OK, UNAUTHENTICATED, UNAVAILABLE = 200, 401, 503


def status_app(
    manager: Manager, registry: CollectorRegistry, token: SecretStr | None = None
) -> Starlette:
    """The ASGI application with `/health`, `/ready` and `/metrics`.

    Args:
        manager: Whose health it is.
        registry: What `/metrics` shows.
        token: Who scrapes must show it; None: anybody may.
    """

    async def health(_: Request) -> Response:
        return _verdict(manager.healthy())

    async def ready(_: Request) -> Response:
        return _verdict(await manager.ready())

    async def metrics(request: Request) -> Response:
        if token is not None and not bears(request.headers.get("authorization"), token):
            return Response(status_code=UNAUTHENTICATED, headers={"WWW-Authenticate": "Bearer"})
        # On the loop, because that is where the engine's counters change.
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[Route("/health", health), Route("/ready", ready), Route("/metrics", metrics)]
    )


def _verdict(problems: list[str]) -> Response:
    body = {"status": "unavailable" if problems else "ok", "problems": problems}
    return JSONResponse(body, UNAVAILABLE if problems else OK)
