"""`kong`: the gateway, by its declarative configuration, without a database.

The listener for `/metrics` and `/status` (`KONG_STATUS_LISTEN`) is the main port here:
a machine has one port only, so these two paths are answered
where the request's Host is an address and not a name that people use.
"""

import ipaddress
import json
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Counter, disable_created_metrics
from prometheus_client.exposition import generate_latest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from deploy.local.services.kong_config import Gateway, Match, normalised, read, upstream_path
from deploy.local.services.kong_plugins import Passage, Plugins, message
from deploy.local.services.serving import serve
from deploy.local.services.settings import Variables

if TYPE_CHECKING:
    import httpx

VIA: Final = "kong/3.4.2"
_BAD_ANSWER: Final = "An invalid response was received from the upstream server"
# RFC 9110, section 7.6.1, and what each side makes for itself.
_HOP: Final = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer"),
        *("transfer-encoding", "upgrade", "proxy-connection", "host"),
    }
)
_LOGGER = logging.getLogger("kong")


@dataclass(frozen=True, slots=True)
class Settings:
    """Kong's own settings, as far as they are heeded."""

    port: int
    gateway: Gateway = field(repr=False)
    has_status: bool
    address_header: str

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and check the settings.

        Raises:
            SettingsError: Something is missing or wrong.
        """
        variables = Variables(environ, "kong")
        if variables.text("KONG_DATABASE") not in {"off", ""}:
            variables.refuse("KONG_DATABASE", "must be off")
        settings = cls(
            port=variables.port(),
            gateway=_declared(variables),
            has_status=variables.text("KONG_STATUS_LISTEN", default="off") != "off",
            address_header=variables.text("KONG_REAL_IP_HEADER", default="X-Real-IP"),
        )
        variables.check()
        return settings


def run(environ: Mapping[str, str]) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        SettingsError: Variables are missing or wrong.
    """
    settings = Settings.read(environ)
    proxy = Proxy(settings)
    serve(proxy, settings.port, close=proxy.close)


def _declared(variables: Variables) -> Gateway:
    name = "KONG_DECLARATIVE_CONFIG_STRING"
    path = variables.text("KONG_DECLARATIVE_CONFIG", default=" ").strip()
    if path:
        name = "KONG_DECLARATIVE_CONFIG"
        root = variables.optional_directory("FLY_SIM_ROOT") or Path("/")
        try:
            text = (root / path.lstrip("/")).read_text()
        except OSError:
            variables.refuse(name, "cannot be read")
            return Gateway((), {})
    else:
        text = variables.text(name)
    return read(_document(text, name, variables), lambda rule: variables.refuse(name, rule))


def _document(text: str, name: str, variables: Variables) -> Any:
    """What a text in YAML, or in JSON, which is read faster, holds."""
    try:
        return json.loads(text)
    except ValueError:
        # Not at the start of those that are told JSON.
        import yaml  # noqa: PLC0415 - see above

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            variables.refuse(name, "is neither YAML nor JSON")
            return {"_format_version": "3.0"}


class Proxy:
    """The ASGI app.

    Args:
        settings: The settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._plugins = Plugins(settings.gateway)
        self._client: httpx.AsyncClient | None = None
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "kong_http_requests_total",
            "HTTP status codes per consumer/service/route in Kong",
            ["service", "route", "code", "source", "workspace", "consumer"],
            registry=self._registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; one for a WebSocket is as any other, since no service has any."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
            await response(scope, receive, send)
        except ClientDisconnect:
            _LOGGER.info("a caller went away")

    async def close(self) -> None:
        """Close the connections to services."""
        if self._client is not None:
            await self._client.aclose()

    async def _answer(self, request: Request) -> Response:
        if self._settings.has_status and _is_direct(request):
            if request.url.path == "/metrics":
                return Response(generate_latest(self._registry), media_type="text/plain")
            if request.url.path == "/status":
                return JSONResponse({"database": {"reachable": True}})
        raw = request.scope.get("raw_path") or request.url.path.encode()
        path = normalised(raw.decode("latin-1"))
        match = self._settings.gateway.match(_method(request), path)
        if match is None:
            return message(404, "no Route matched with those values")
        return await self._pass(request, match, path)

    async def _pass(self, request: Request, match: Match, path: str) -> Response:
        passage = Passage(request, match, self._address(request))
        response = self._plugins.run(passage)
        source = "kong"
        if response is None:
            response, source = await self._ask(passage, path)
        for name, value in passage.answered.items():
            response.headers[name] = value
        if "prometheus" in match.route.plugins:
            self._count(passage, response.status_code, source)
        return response

    def _count(self, passage: Passage, status: int, source: str) -> None:
        route = passage.match.route
        by_consumer = route.plugins["prometheus"].get("per_consumer")
        consumer = passage.consumer.name if by_consumer and passage.consumer else ""
        labels = (route.service.name, route.name, str(status), source, "default", consumer)
        self._requests.labels(*labels).inc()

    async def _ask(self, passage: Passage, path: str) -> tuple[Response, str]:
        """Ask the service; whatever keeps it from answering is said as Kong says it."""
        import httpx  # noqa: PLC0415 - loaded with the first request, not at the start

        service, seen = passage.match.route.service, upstream_path(passage.match, path)
        client = self._client = self._client or httpx.AsyncClient(
            # An idle connection may be closed at the moment it is used, and a body is sent once.
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,
        )
        query = _query(passage)
        timeout = httpx.Timeout(
            connect=service.connect, read=service.read, write=service.write, pool=service.connect
        )
        asked = httpx.Request(
            passage.request.method,
            httpx.URL(service.origin).copy_with(raw_path=(seen + query).encode("latin-1")),
            headers=self._headers(passage, path),
            content=_body(passage.request),
            extensions={"timeout": timeout.as_dict()},
        )
        try:
            answer = await client.send(asked, stream=True)
        except httpx.TimeoutException:
            return message(504, "The upstream server is timing out"), "kong"
        except httpx.ConnectError as error:
            if _is_unknown_name(error):
                return message(503, "name resolution failed"), "kong"
            return message(502, _BAD_ANSWER), "kong"
        except httpx.TransportError:
            return message(502, _BAD_ANSWER), "kong"
        return _relayed(answer), "service"

    def _headers(self, passage: Passage, path: str) -> list[tuple[bytes, bytes]]:
        request, route = passage.request, passage.match.route
        dropped = {*_HOP, *passage.hidden, *(name.lower() for name in passage.sent)}
        # Nobody can say of himself who he is.
        dropped |= {"x-consumer-username", "x-consumer-groups", "x-consumer-id"}
        kept = [
            (n, v) for n, v in request.headers.raw if n.decode("latin-1").lower() not in dropped
        ]
        host = request.headers.get("host", "")
        added = {
            "X-Forwarded-Host": host.rpartition(":")[0] or host,
            "X-Forwarded-For": ", ".join(_ways(request)),
            "X-Forwarded-Path": path,
            "X-Forwarded-Prefix": passage.match.taken.rstrip("/"),
            "X-Real-IP": passage.address,
            **passage.sent,
        }
        if "x-forwarded-proto" not in request.headers:
            added["X-Forwarded-Proto"] = request.url.scheme
        if route.preserve_host:
            added["Host"] = host
        own = {name.lower() for name in added}
        return [
            *((name, value) for name, value in kept if name.decode("latin-1").lower() not in own),
            *((name.encode(), value.encode("latin-1")) for name, value in added.items()),
        ]

    def _address(self, request: Request) -> str:
        told = request.headers.get(self._settings.address_header)
        return told or (request.client.host if request.client else "")


def _ways(request: Request) -> list[str]:
    """The addresses that a request came by, the last one included."""
    before = request.headers.getlist("x-forwarded-for")
    return [*before, request.client.host] if request.client else before


def _is_direct(request: Request) -> bool:
    """Whether a request names the machine by its address: the provider's own do."""
    try:
        ipaddress.ip_address((request.url.hostname or "").strip("[]"))
    except ValueError:
        return False
    return True


def _method(request: Request) -> str:
    """The method that is matched: for a preflight, that of the request that it is for."""
    asked = request.headers.get("access-control-request-method")
    preflight = request.method == "OPTIONS" and "origin" in request.headers and asked is not None
    return asked if preflight and asked else request.method


def _query(passage: Passage) -> str:
    query: str = passage.request.url.query
    if passage.hidden and query:
        parts = [part for part in query.split("&") if part.partition("=")[0] not in passage.hidden]
        query = "&".join(parts)
    return f"?{query}" if query else ""


def _body(request: Request) -> AsyncIterator[bytes] | None:
    has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
    return request.stream() if has_body else None


def _relayed(answer: "httpx.Response") -> Response:
    """The service's answer, piece by piece as it comes, encoded as it is."""

    async def pieces() -> AsyncIterator[bytes]:
        try:
            async for piece in answer.aiter_raw():
                yield piece
        finally:
            await answer.aclose()

    response = StreamingResponse(pieces(), answer.status_code)
    response.raw_headers = [
        *(
            (name.lower(), value)
            for name, value in answer.headers.raw
            if name.decode("latin-1").lower() not in _HOP
        ),
        (b"via", f"1.1 {VIA}".encode()),
    ]
    return response


def _is_unknown_name(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, socket.gaierror):
            return True
        error = error.__cause__ or error.__context__
    return False
