"""The agent's HTTP side: open health, the control plane's heartbeat, and the owner's machine."""

import contextlib
import hmac
from collections.abc import AsyncIterator
from typing import Any, Final

import anyio
import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from deploy.agent import page
from deploy.agent.identity import IdentityError, KeySet, User, Verifier, usable_keys
from deploy.agent.registration import Registration
from deploy.agent.settings import Settings
from deploy.agent.state import Activity, Machine, Volume

OPEN: Final = frozenset({"/health", "/api/health", "/heartbeat"})
"""What is not the owner's; the heartbeat asks for the machine token itself."""

_NOTES_BYTES: Final = 64 * 1024
_PROBLEM: Final = "application/problem+json"


class Notes(BaseModel):
    """The body of `PUT /api/notes`."""

    model_config = ConfigDict(extra="forbid")

    notes: str = Field(max_length=_NOTES_BYTES)


class Ticks(BaseModel):
    """The query of `GET /api/stream`: how many events, how many seconds apart."""

    model_config = ConfigDict(extra="forbid")

    count: int = Field(default=5, ge=1, le=10_000)
    interval: float = Field(default=1.0, ge=0, le=60)


def problem(status: int, title: str, detail: str) -> Response:
    """An RFC 9457 answer."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}.get(status)
    return JSONResponse(body, status, headers, media_type=_PROBLEM)


class OwnerOnly:
    """Middleware: everything that is not open is the owner's, and counts as activity."""

    def __init__(self, app: ASGIApp, *, verifier: Verifier, activity: Activity) -> None:
        self._app = app
        self._verifier = verifier
        self._activity = activity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Verify the caller, then pass the request or the WebSocket on."""
        if scope["type"] not in {"http", "websocket"} or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        headers = HTTPConnection(scope).headers
        try:
            user = await self._verifier.owner(
                headers.get("authorization"), headers.get("x-invoker-identity")
            )
        except IdentityError as error:
            response = problem(error.status, error.title, str(error))
            if scope["type"] == "http":
                await response(scope, receive, send)
            else:
                await WebSocket(scope, receive, send).send_denial_response(response)
            return
        self._activity.touch()
        scope.setdefault("state", {})["user"] = user
        await self._app(scope, receive, send)


class Echo(Response):
    """A request's body as it comes in; the stock streaming answer would read beside it."""

    def __init__(self, request: Request) -> None:
        kind = request.headers.get("content-type", "application/octet-stream")
        super().__init__(media_type=kind)
        del self.headers["content-length"]
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send every piece as soon as it is there."""
        del scope, receive  # the request has them
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async for chunk in self._request.stream():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class Agent:
    """The endpoints.

    Args:
        machine: What they tell of.
        token: The machine token, which the control plane shows to ask for a heartbeat.
    """

    def __init__(self, machine: Machine, token: str) -> None:
        self._machine = machine
        self._token = token.encode()

    def routes(self) -> list[Route | WebSocketRoute]:
        """The routing table."""
        return [
            Route("/health", self.health),
            Route("/api/health", self.health),
            Route("/heartbeat", self.heartbeat, methods=["POST"]),
            Route("/", self.home),
            Route("/api/identity", self.identity),
            Route("/api/notes", self.read_notes),
            Route("/api/notes", self.keep_notes, methods=["PUT"]),
            Route("/api/stream", self.stream),
            Route("/api/echo", self.echo, methods=["POST"]),
            WebSocketRoute("/api/echo", self.echo_messages),
        ]

    async def health(self, _: Request) -> Response:
        """Say that the process answers; the control plane and the proxy ask."""
        return JSONResponse(
            {
                "status": "ok",
                "version": self._machine.version,
                "uptime": self._machine.activity.uptime,
            }
        )

    async def heartbeat(self, request: Request) -> Response:
        """Tell the control plane, and only it, how the machine is."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(token.strip().encode(), self._token)
        if scheme.lower() != "bearer" or not same:
            return problem(401, "Unauthorized", "this asks for the machine token")
        return JSONResponse(
            {
                "status": self._machine.state,
                "version": self._machine.version,
                "uptime": self._machine.activity.uptime,
                "last_activity_at": self._machine.activity.last_activity_at,
            }
        )

    async def home(self, request: Request) -> Response:
        """Greet the owner."""
        return HTMLResponse(page.render(_user(request), self._machine), headers=page.HEADERS)

    async def identity(self, request: Request) -> Response:
        """Tell the owner who they are here."""
        user = _user(request)
        return JSONResponse(
            {
                "user": user.id,
                "email": user.email,
                "machine": self._machine.uid,
                "subdomain": self._machine.subdomain,
            }
        )

    async def read_notes(self, _: Request) -> Response:
        """What the volume holds."""
        return self._notes()

    async def keep_notes(self, request: Request) -> Response:
        """Keep notes on the volume."""
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > 2 * _NOTES_BYTES:
                return problem(
                    413, "Content Too Large", f"notes: at most {_NOTES_BYTES} characters"
                )
        try:
            notes = Notes.model_validate_json(body)
        except ValidationError as error:
            return _invalid(error)
        self._machine.volume.keep_notes(notes.notes)
        return self._notes()

    async def stream(self, request: Request) -> Response:
        """Send server-sent events, one by one."""
        try:
            ticks = Ticks.model_validate(dict(request.query_params))
        except ValidationError as error:
            return _invalid(error)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(
            self._events(ticks), headers=headers, media_type="text/event-stream"
        )

    async def echo(self, request: Request) -> Response:
        """Send the body back as it comes in."""
        return Echo(request)

    async def echo_messages(self, socket: WebSocket) -> None:
        """Send every message back as it is; each counts as activity."""
        offered = socket.scope.get("subprotocols") or [None]
        await socket.accept(subprotocol=offered[0])
        while (message := await socket.receive())["type"] == "websocket.receive":
            self._machine.activity.touch()
            if message.get("bytes") is not None:
                await socket.send_bytes(message["bytes"])
            else:
                await socket.send_text(message["text"])

    async def _events(self, ticks: Ticks) -> AsyncIterator[str]:
        for number in range(1, ticks.count + 1):
            if number > 1:
                await anyio.sleep(ticks.interval)
            self._machine.activity.touch()
            yield f"id: {number}\ndata: {number}\n\n"

    def _notes(self) -> Response:
        volume = self._machine.volume
        return JSONResponse({"notes": volume.notes(), "starts": volume.starts()})


def create(settings: Settings, client: httpx.AsyncClient | None = None) -> Starlette:
    """Build the agent's application; it registers with the control plane while it serves.

    Must be called in the loop that serves it, whose time it takes.

    Args:
        settings: The machine's settings.
        client: For what it asks others; made, and closed at the end, when not given.
    """
    outside = client or httpx.AsyncClient(timeout=10)
    volume = Volume(settings.data_dir)
    machine = Machine(settings.machine, settings.version, volume, Activity())
    token = settings.machine_token.get_secret_value()
    verifier = Verifier(
        keys=KeySet(outside, settings.jwks_url),
        edge_keys=usable_keys(settings.edge_keys.keys),
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        owner=settings.owner,
        machine=settings.machine,
    )
    registration = Registration(
        outside,
        url=f"{settings.api_url}/hub/api/machines/{settings.machine}/heartbeat",
        token=token,
        machine=machine,
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        volume.count_start()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(registration.run)
            yield
            tasks.cancel_scope.cancel()
        await outside.aclose()

    guard = Middleware(OwnerOnly, verifier=verifier, activity=machine.activity)
    app = Starlette(routes=Agent(machine, token).routes(), middleware=[guard], lifespan=lifespan)
    app.state.machine = machine
    return app


def _user(request: Request) -> User:
    user: User = request.state.user
    return user


def _invalid(error: ValidationError) -> Response:
    problems: list[Any] = error.errors(include_input=False, include_context=False)
    details = [f"{'.'.join(map(str, p['loc'])) or 'body'}: {p['msg']}" for p in problems]
    return problem(422, "Unprocessable Content", "; ".join(details))
