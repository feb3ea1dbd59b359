"""One request and one answer, however they came: sockets, ASGI or a direct call."""

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

_ANY = "{}"


@dataclass(slots=True)
class Call:
    """A request as the simulators see it; `path` is still percent-encoded."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = b""
    client: str = "127.0.0.1"
    params: dict[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """Return the decoded body, an empty object for an empty body.

        Raises:
            ValueError: the body is not JSON.
        """
        return json.loads(self.body) if self.body else {}

    def first(self, name: str, default: str = "") -> str:
        """Return a query parameter's first value."""
        values = self.query.get(name)
        return values[0] if values else default

    def flag(self, name: str) -> bool:
        """Return whether a query parameter says true."""
        return self.first(name).lower() in {"1", "t", "true"}


@dataclass(slots=True)
class Answer:
    """A response."""

    status: int = 200
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable[Answer]]
Endpoint = Callable[[Call], Any]


def json_answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """Return a JSON answer."""
    head = {"content-type": "application/json", **(headers or {})}
    return Answer(status, json.dumps(body, separators=(",", ":")).encode(), head)


@dataclass(frozen=True, slots=True)
class Endpointed:
    """A path template with what answers it."""

    method: str
    template: str
    operation: str
    endpoint: Endpoint
    names: tuple[str, ...]

    @property
    def mutates(self) -> bool:
        """Whether a success changes something outside."""
        return self.method != "GET" and not self.operation.endswith((".wait", ".bulk_get"))


class Router:
    """Finds the endpoint of a method and a path by its segments."""

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}

    def add(self, method: str, template: str, operation: str, endpoint: Endpoint) -> None:
        """Register an endpoint; `{name}` in the template matches one segment."""
        node, names = self._root, []
        for segment in template.strip("/").split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
            node = node.setdefault("/" + (_ANY if segment.startswith("{") else segment), {})
        node[method] = Endpointed(method, template, operation, endpoint, tuple(names))

    def match(self, method: str, path: str) -> tuple[Endpointed, dict[str, str]] | None:
        """Return the endpoint and the decoded path parameters, None if there is none."""
        values: list[str] = []
        node = self._root
        for segment in path.strip("/").split("/"):
            below = node.get("/" + segment)
            if below is None:
                below = node.get("/" + _ANY)
                values.append(unquote(segment))
            if below is None:
                return None
            node = below
        found = node.get(method)
        return (found, dict(zip(found.names, values, strict=True))) if found else None


async def settle(result: Any) -> Any:
    """Return an endpoint's result, awaited if it must be."""
    return await result if inspect.isawaitable(result) else result


def asgi(handler: Handler) -> Starlette:
    """Return a Starlette application that answers everything with the handler."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        call = Call(
            method=request.method,
            path=scope.get("raw_path", scope["path"].encode()).decode("latin-1"),
            query=parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True),
            headers=Headers(scope=scope),
            body=await request.body(),
            client=request.client.host if request.client else "127.0.0.1",
        )
        answer = await handler(call)
        await Response(answer.content, answer.status, answer.headers)(scope, receive, send)

    whole: ASGIApp = app
    return Starlette(routes=[Mount("/", app=whole)])
