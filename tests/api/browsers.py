"""A browser on its way from the API to the simulated DigitalOcean and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx

from deploy.local.simulators.digitalocean import DigitalOceanCloud, OAuthApp, digitalocean_api
from tests.api.service import Service, User
from tests.support.forms import Form

CALLBACK = "http://api/auth/do/callback"
PAGE = {"Accept": "text/html,application/xhtml+xml"}


def cloud_of_tests() -> DigitalOceanCloud:
    """A cloud whose application comes back to the API under test."""
    return DigitalOceanCloud(app=OAuthApp(redirect_uris=(CALLBACK,)))


@dataclass
class Browser:
    """Somebody's browser.

    Attributes:
        service: The API.
        cloud: DigitalOcean.
        cookies: What it keeps for the API.
    """

    service: Service
    cloud: DigitalOceanCloud
    cookies: dict[str, str] = field(default_factory=dict)

    async def sign_in(self, user: User) -> httpx.Response:
        """Have a session."""
        return await self.ask("POST", "/auth/session", headers=user.headers)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        form: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Ask the API, with the cookies that it has given."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = await self.service.client.request(
            method, path, headers={"Cookie": cookie, **(headers or {})}, data=form
        )
        self.service.client.cookies.clear()
        for name, value in answer.cookies.items():
            self.cookies[name] = value
        return answer

    async def look(self, path: str) -> httpx.Response:
        """Open a page."""
        return await self.ask("GET", path, headers=PAGE)

    async def consent(self, address: str, decision: str = "authorize") -> str:
        """Decide on DigitalOcean's page; returns where it sends the browser."""
        transport = httpx.ASGITransport(app=digitalocean_api(self.cloud))
        async with httpx.AsyncClient(transport=transport) as client:
            page = await client.get(address)
            form = Form(page.text)
            fields = form.fields | {"decision": decision}
            sent = await client.post(urljoin(address, form.action), data=fields)
        return sent.headers["location"]

    async def sent_out(self) -> str:
        """Begin; returns where the browser is sent."""
        answer = await self.look("/auth/do")
        assert 302 == answer.status_code, answer.text
        return answer.headers["location"]

    async def come_back(self, location: str) -> httpx.Response:
        """Follow where DigitalOcean sends the browser."""
        split = urlsplit(location)
        return await self.look(f"{split.path}?{split.query}")


def asked_of(address: str) -> dict[str, str]:
    """The parameters of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
