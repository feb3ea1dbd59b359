"""Around every request: a span, a line in the log, metrics, and an answer whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from uuid import uuid4

import structlog
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span, SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Metrics
from api.problems import Problem, unavailable
from crds.clock import Clock

log = structlog.get_logger(__name__)

# Longer than any provider's time limit: what still runs then waits for something that hangs.
DEADLINE_SECONDS = 25.0
UNMATCHED = "unmatched"
TEMPLATE = "invoker.template"


def request_id() -> str:
    """The id of the request that is being served; empty outside of one."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))


class _Headers(Getter[Headers]):
    def get(self, carrier: Headers, key: str) -> list[str] | None:
        return carrier.getlist(key) or None

    def keys(self, carrier: Headers) -> list[str]:
        return carrier.keys()


class Observed:
    """ASGI middleware that watches over requests.

    Args:
        app: What serves them.
        metrics: Where they are counted.
        tracer: Makes their spans.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, tracer: Tracer) -> None:
        self._app = app
        self._metrics = metrics
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, send)
        begun = Clock.monotonic()
        with self._metrics.in_flight.track_inprogress(), self._span(exchange) as span:
            await self._serve(exchange, receive)
            self._tell(exchange, span, Clock.monotonic() - begun)

    async def _serve(self, exchange: Exchange, receive: Receive) -> None:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS) as deadline:
                # An answer that has begun may go on: a watch does for an hour.
                exchange.on_start = partial(deadline.reschedule, None)
                await self._app(exchange.scope, receive, exchange.send)
        except TimeoutError:
            log.error("request timed out", path=exchange.scope["path"])  # noqa: TRY400
            detail = "This took too long. It may have been done all the same: ask before repeating."
            await exchange.answer(receive, unavailable("timeout", detail))
        except Exception:
            log.exception("request failed", path=exchange.scope["path"])
            detail = "Something went wrong on our side. It has been noted."
            await exchange.answer(receive, Problem(500, "internal-error", detail))

    @contextmanager
    def _span(self, exchange: Exchange) -> Iterator[Span]:
        parent = TraceContextTextMapPropagator().extract(
            Headers(scope=exchange.scope), getter=_Headers()
        )
        structlog.contextvars.clear_contextvars()
        with self._tracer.start_as_current_span(
            exchange.scope["method"], context=parent, kind=SpanKind.SERVER
        ) as span:
            structlog.contextvars.bind_contextvars(request_id=exchange.id)
            yield span

    def _tell(self, exchange: Exchange, span: Span, seconds: float) -> None:
        method, route = exchange.scope["method"], exchange.scope.get(TEMPLATE, UNMATCHED)
        self._metrics.observe(method, route, exchange.status, seconds)
        span.update_name(f"{method} {route}")
        span.set_attribute("http.request.method", method)
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", exchange.status)
        log.info(
            "request",
            method=method,
            route=route,
            status=exchange.status,
            milliseconds=round(seconds * 1000, 1),
        )


class Exchange:
    """One request and its answer.

    Attributes:
        scope: The request.
        id: What the answer's X-Request-Id says and the log repeats.
        status: The answer's status; 499 for a client that went away before there was one.
        on_start: Called when the answer begins.
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self.id = uuid4().hex
        self.status = 499
        self.on_start: Callable[[], None] | None = None
        self._started = False
        self._send = send

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on, noting its status."""
        if message["type"] == "http.response.start":
            self._started = True
            if self.on_start is not None:
                self.on_start()
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self.id.encode())]
        await self._send(message)

    async def answer(self, receive: Receive, problem: Problem) -> None:
        """Answer with a problem, unless an answer has begun."""
        self.on_start = None
        if not self._started:
            await problem.response(self.scope["path"])(self.scope, receive, self.send)
