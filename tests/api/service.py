"""The API under test: a database, the simulator of Supabase Auth, no sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import httpx
from cryptography.fernet import Fernet
from opentelemetry.sdk.trace import TracerProvider
from starlette.applications import Starlette

from api.app import build
from api.context import Api
from api.settings import Settings
from crds.clock import Clock
from crds.machine import InstanceStatus, Machine, MachineSpec
from crds.meta import ObjectMeta
from crds.store import Store
from crds.workspace import WORKSPACE, Workspace
from deploy.local.simulators.auth import SupabaseAuth, auth_api
from deploy.local.simulators.digitalocean import OAuthApp

SUPABASE_URL = "https://invoker.supabase.co"
EDGE_TOKEN = "edge-token-of-the-tests"
PASSWORD = "correct horse"
ENCRYPTION_KEY = Fernet.generate_key().decode()


def settings(database_url: str, **changes: Any) -> Settings:
    """Settings for a database."""
    return Settings(
        **{
            "database_url": database_url,
            "domain": "invoker.test",
            "supabase_url": SUPABASE_URL,
            "supabase_anon_key": "sim-anon-key",
            "edge_token": EDGE_TOKEN,
            "encryption_keys": ENCRYPTION_KEY,
            "digitalocean_client_id": OAuthApp().client_id,
            "digitalocean_redirect_url": "http://api/auth/do/callback",
            **changes,
        }
    )


class Outage(httpx.AsyncBaseTransport):
    """A transport that can be cut."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner
        self.down = False
        self.calls: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on, unless cut."""
        self.calls.append(request.url.path)
        if self.down:
            raise httpx.ConnectError("connection refused", request=request)
        return await self.inner.handle_async_request(request)


@dataclass
class Worker(httpx.AsyncBaseTransport):
    """The Worker, as far as the API asks it: its hub knows no gateway until told an answer.

    Attributes:
        answer: What the hub answers to a command.
        commands: The commands that came, with the path that they came to.
    """

    answer: Callable[[dict[str, Any]], httpx.Response] | None = None
    commands: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Take a command."""
        assert request.headers["authorization"] == f"Bearer {EDGE_TOKEN}"
        command = json.loads(await request.aread())
        self.commands.append((request.url.path, command))
        if self.answer is None:
            return refusal(503, "gateway-offline")
        return self.answer(command)


def refusal(status: int, code: str) -> httpx.Response:
    """A refusal of the Worker's."""
    body = {"type": f"urn:invoker:problem:{code}", "status": status, "detail": "Not now."}
    return httpx.Response(status, json=body)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody signed in."""

    id: str
    subdomain: str
    token: str
    refresh_token: str

    @property
    def headers(self) -> dict[str, str]:
        """What proves them."""
        return {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True, slots=True)
class Service:
    """The running API."""

    app: Starlette
    client: httpx.AsyncClient
    auth: SupabaseAuth
    supabase: Outage
    worker: Worker
    tracing: TracerProvider

    @property
    def api(self) -> Api:
        """What its routes share."""
        api: Api = self.app.state.api
        return api

    @property
    def store(self) -> Store:
        """Its store."""
        return self.api.store

    async def register(self, first: str = "Alice", email: str = "") -> httpx.Response:
        """Sign up."""
        body = {
            "email": email or f"{first.lower()}@example.com",
            "password": PASSWORD,
            "first_name": first,
            "last_name": "Liddell",
        }
        return await self.client.post("/api/auth/register", json=body)

    async def user(self, first: str = "Alice", email: str = "") -> User:
        """Sign up, successfully."""
        answer = await self.register(first, email)
        assert answer.status_code == 201, answer.text
        body = answer.json()
        return User(
            body["user"]["id"], body["subdomain"], body["access_token"], body["refresh_token"]
        )

    async def call(self, user: User, method: str, path: str, json: Any = None) -> httpx.Response:
        """Call as a user."""
        return await self.client.request(method, path, headers=user.headers, json=json)

    async def workspace(self, user: User) -> Workspace:
        """The user's Workspace row."""
        return await self.store.get(Workspace, WORKSPACE, user.id)

    async def machine(self, user: User, **status: Any) -> Machine:
        """Make the user's Machine row, as the controller would, with a Fly machine in it."""
        spec = MachineSpec(account=user.id, image="img")
        machine = await self.store.create(
            Machine(metadata=ObjectMeta(name=WORKSPACE, namespace=user.id), spec=spec)
        )
        machine.status.instance = InstanceStatus(id="148e", since=self.store.clock.now())
        for name, value in status.items():
            setattr(machine.status, name, value)
        return await self.store.update_status(machine)


@asynccontextmanager
async def serving(
    database_url: str, auth: SupabaseAuth | None = None, **changes: Any
) -> AsyncIterator[Service]:
    """Run the API on a database."""
    clock = Clock.started()
    auth = auth or SupabaseAuth()
    auth.now = lambda: clock.now().timestamp()
    supabase, worker = Outage(httpx.ASGITransport(app=auth_api(auth))), Worker()
    tracing = TracerProvider(shutdown_on_exit=False)
    app = build(
        settings(database_url, **changes),
        tracing=tracing,
        transport=supabase,
        worker=worker,
        clock=clock,
    )
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://api") as client,
    ):
        yield Service(app, client, auth, supabase, worker, tracing)


def later(clock: Clock, span: timedelta) -> Clock:
    """A clock that is ahead of another."""
    return replace(clock, anchor=clock.anchor + span)


def problem_of(answer: httpx.Response) -> dict[str, Any]:
    """The problem body of an answer, checked for its form."""
    body: dict[str, Any] = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code == body["status"]
    assert {"type", "title", "status", "detail", "instance"} <= body.keys()
    return body


def code_of(answer: httpx.Response) -> str:
    """The problem's code."""
    return str(problem_of(answer)["type"]).removeprefix("urn:invoker:problem:")
