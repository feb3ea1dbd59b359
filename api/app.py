"""The application: the table of operations, put behind the middleware."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
import psycopg
from opentelemetry.sdk.trace import TracerProvider
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import context, openapi
from api.console import app as console
from api.console.desk import Desk
from api.keys import KeysUnavailableError
from api.metrics import Metrics
from api.observe import TEMPLATE, Observed
from api.operation import Handler, Operation
from api.operations import OPERATIONS
from api.problems import Problem, answer_http, answer_problem, answer_store
from api.routes.auth import auth_unavailable
from api.settings import Settings
from api.supabase import AuthUnavailableError
from crds.clock import Clock
from crds.errors import StoreError


def build(
    settings: Settings,
    *,
    tracing: TracerProvider | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    worker: httpx.AsyncBaseTransport | None = None,
    clock: Clock | None = None,
) -> Starlette:
    """Build the application; its lifespan opens and closes everything that it needs.

    Args:
        settings: The settings.
        tracing: Where spans go; nowhere when left out, but requests have trace ids all the same.
        transport: How Supabase is reached; sockets when left out.
        worker: How the Worker is reached; sockets when left out.
        clock: The wall time; the machine's when left out.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with context.opened(settings, transport=transport, worker=worker, clock=clock) as api:
            app.state.api = api
            app.state.desk = Desk.of(
                api.store,
                api.authenticator,
                api.feed,
                metrics_urls=settings.controller_metrics_urls,
                metrics_token=settings.metrics_token,
            )
            yield

    metrics = Metrics()
    tracer = (tracing or TracerProvider(shutdown_on_exit=False)).get_tracer("invoker.api")
    app = Starlette(
        routes=[*_routes(OPERATIONS), _openapi_route(), *console.routes(_desk_of)],
        middleware=[Middleware(Observed, metrics=metrics, tracer=tracer)],
        exception_handlers={
            Problem: answer_problem,
            HTTPException: answer_http,
            StoreError: answer_store,
            psycopg.OperationalError: answer_store,
            AuthUnavailableError: _answer_auth_unavailable,
            KeysUnavailableError: _answer_auth_unavailable,
        },
        lifespan=lifespan,
    )
    # A path is one path: with a slash behind it, it is another, unknown one.
    app.router.redirect_slashes = False
    app.state.metrics = metrics
    return app


def _routes(operations: Sequence[Operation]) -> list[Route]:
    # One route a path, so that a wrong method is told all the right ones.
    by_path: defaultdict[str, dict[str, Handler]] = defaultdict(dict)
    for operation in operations:
        by_path[operation.path][operation.method] = operation.handler
    return [_route(path, handlers) for path, handlers in by_path.items()]


def _route(path: str, handlers: dict[str, Handler]) -> Route:
    async def endpoint(request: Request) -> Response:
        request.scope[TEMPLATE] = path
        method = "GET" if request.method == "HEAD" else request.method
        return await handlers[method](request)

    return Route(path, endpoint, methods=list(handlers))


def _desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def _openapi_route() -> Route:
    text = json.dumps(openapi.document(OPERATIONS))

    async def describe(_: Request) -> Response:
        return Response(text, media_type="application/json")

    return _route("/openapi.json", {"GET": describe})


async def _answer_auth_unavailable(request: Request, _: Exception) -> Response:
    return auth_unavailable().response(request.url.path)
