"""The console under test: its routes in an application of their own, on a real database."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from html import unescape
from typing import Any, Final

import httpx
from opentelemetry.sdk.trace import TracerProvider
from starlette.applications import Starlette
from starlette.middleware import Middleware

from api.console.app import routes
from api.console.desk import Desk
from api.metrics import Metrics
from api.observe import Observed
from crds.access import AccessToken, Role
from crds.store import Store
from tests.api.service import Service, serving

ORIGIN: Final = "http://console"
LIFETIME: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class House:
    """The running console.

    Attributes:
        app: The application.
        desk: What the console works with.
        service: The API beside it, with the simulator of Supabase.
    """

    app: Starlette
    desk: Desk
    service: Service

    @property
    def store(self) -> Store:
        """Its store."""
        return self.desk.store

    async def token(self, role: Role = "platform-admin", account: str = "") -> str:
        """A token of a role."""
        token, _ = await self.issue(role, account)
        return token

    async def issue(
        self, role: Role = "platform-admin", account: str = ""
    ) -> tuple[str, AccessToken]:
        """A token of a role, and what is kept of it."""
        tokens = self.desk.sessions.authenticator.tokens
        return await tokens.issue(
            f"{role} laptop", role, lifetime=LIFETIME, account=account, created_by="test"
        )

    @asynccontextmanager
    async def browser(self, role: Role | None = None) -> AsyncIterator[Browser]:
        """A browser, signed in if a role is given."""
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            browser = Browser(client)
            if role is not None:
                answer = await browser.sign_in(await self.token(role))
                assert answer.status_code == 303, answer.text
            yield browser


@dataclass(slots=True)
class Browser:
    """Just enough of a browser: cookies, forms with their hidden fields, no redirects followed."""

    client: httpx.AsyncClient
    page: httpx.Response | None = None
    headers: dict[str, str] = field(default_factory=lambda: {"Origin": ORIGIN})

    async def open(self, path: str, **headers: str) -> httpx.Response:
        """Open a page."""
        self.page = await self.client.get(path, headers=headers)
        return self.page

    async def send(
        self, path: str, fields: dict[str, str], *, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Send a form."""
        return await self.client.post(
            path, data=fields, headers=self.headers if headers is None else headers
        )

    async def submit(self, path: str, action: str | None = None, **fields: str) -> httpx.Response:
        """Open a page, fill its form in and send it."""
        answer = await self.open(path)
        assert answer.status_code == 200, answer.text
        return await self.send(action or path, {**form_of(answer, action or path), **fields})

    async def sign_in(self, token: str, back: str = "/console") -> httpx.Response:
        """Sign in."""
        answer = await self.open(f"/console/sign-in?next={back}")
        fields = {**form_of(answer, "/console/sign-in"), "token": token}
        return await self.send("/console/sign-in", fields)

    async def proof(self) -> str:
        """The proof that this session's forms carry."""
        return form_of(await self.open("/console"), "/console/sign-out")["proof"]


def form_of(answer: httpx.Response, action: str) -> dict[str, str]:
    """The fields of a page's form, as a browser would send them untouched."""
    forms = re.findall(r"<form\b([^>]*)>(.*?)</form>", answer.text, re.DOTALL)
    found = [
        body
        for attributes, body in forms
        if f'action="{action}"' in attributes
        or ("action=" not in attributes and answer.request.url.path == action)
    ]
    assert found, f"no form for {action}"
    hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', found[0])
    texts = re.findall(
        r'<textarea\b[^>]*name="(\w+)"[^>]*>\n?(.*?)</textarea>', found[0], re.DOTALL
    )
    return {name: unescape(value) for name, value in [*hidden, *texts]}


@asynccontextmanager
async def opened(
    database_url: str,
    *,
    metrics_urls: Sequence[str] = (),
    metrics: httpx.AsyncBaseTransport | None = None,
    **changes: Any,
) -> AsyncIterator[House]:
    """Run the console on a database."""
    async with serving(database_url, **changes) as service:
        api = service.api
        desk = Desk.of(
            api.store, api.authenticator, api.feed, metrics_urls=metrics_urls, metrics=metrics
        )
        app = Starlette(
            routes=routes(lambda _: desk),
            middleware=[
                Middleware(
                    Observed,
                    metrics=Metrics(),
                    tracer=TracerProvider(shutdown_on_exit=False).get_tracer("test"),
                )
            ],
        )
        yield House(app, desk, service)


def text_of(answer: httpx.Response, id_: str = "main") -> str:
    """The words of an element, without tags."""
    found = re.search(rf'<(\w+)\b[^>]*\bid="{id_}".*?</\1>', answer.text, re.DOTALL)
    assert found, f"no element {id_}"
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", found[0])).split())


def names_of(answer: httpx.Response) -> list[str]:
    """The names in a table's rows."""
    rows = re.findall(r'<a data-open href="[^"]*">(.*?)</a>', answer.text)
    return [unescape(row).partition("@")[0] for row in rows]
