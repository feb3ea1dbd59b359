"""The operators' door under test: real PostgreSQL, no sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx

from api.kubernetes.app import build_kubernetes
from crds.access import AccessTokens, Role
from crds.store import Store
from tests.api.service import Service, serving

WORKSPACES = "/apis/invoker.dev/v1/namespaces/{}/workspaces"
ACCOUNTS = "/apis/invoker.dev/v1/accounts"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Door:
    """The running door, and an administrator's way in."""

    service: Service
    client: httpx.AsyncClient
    admin: str

    @property
    def store(self) -> Store:
        """The rows."""
        return self.service.store

    async def token(self, role: Role, account: str = "") -> str:
        """A token of a role."""
        token, _ = await AccessTokens(self.store).issue(
            role, role, account=account, lifetime=timedelta(hours=1), created_by="test"
        )
        return token

    async def ask(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **more: Any
    ) -> httpx.Response:
        """Ask, as the administrator unless with another token."""
        headers = {"Authorization": f"Bearer {self.admin if token is None else token}"}
        headers |= more.pop("headers", {})
        return await self.client.request(method, path, json=body, headers=headers, **more)

    async def patch(
        self, path: str, patch: Any, type_: str = "merge-patch+json", **more: Any
    ) -> httpx.Response:
        """Send a patch of a type."""
        headers = {"Content-Type": f"application/{type_}"}
        return await self.ask("PATCH", path, patch, headers=headers, **more)

    async def workspace(self, namespace: str = "alice", **spec: Any) -> Json:
        """Make a workspace, with its account."""
        await self.ask("POST", ACCOUNTS, account(namespace))
        made = await self.ask(
            "POST", WORKSPACES.format(namespace), workspace(namespace=namespace, **spec)
        )
        assert made.status_code == 201, made.text
        body: Json = made.json()
        return body


def workspace(name: str = "main", namespace: str = "alice", **spec: Any) -> Json:
    """A workspace's manifest."""
    return {
        "apiVersion": "invoker.dev/v1",
        "kind": "Workspace",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"subdomain": namespace, **spec},
    }


def account(name: str, **spec: Any) -> Json:
    """An account's manifest."""
    return {
        "apiVersion": "invoker.dev/v1",
        "kind": "Account",
        "metadata": {"name": name},
        "spec": {"email": f"{name}@example.com", **spec},
    }


@asynccontextmanager
async def opened(database_url: str, **changes: Any) -> AsyncIterator[Door]:
    """The door on a database, with these settings changed."""
    async with serving(database_url, **changes) as service:
        tracer = service.tracing.get_tracer("test")
        app = build_kubernetes(service.app, tracer)
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        admin, _ = await AccessTokens(service.store).issue(
            "admin",
            "platform-admin",
            lifetime=timedelta(hours=1),
            created_by="test",
        )
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="https://door") as client,
        ):
            yield Door(service, client, admin)
