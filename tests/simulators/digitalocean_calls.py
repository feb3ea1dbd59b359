"""A few calls on the simulated DigitalOcean that most of its tests make."""

from typing import Any

import httpx

from deploy.local.simulators.digitalocean import (
    API_HOST,
    OAUTH_HOST,
    DigitalOceanAPI,
    DigitalOceanCloud,
)
from deploy.local.simulators.transport import SimulatorTransport

REDIRECT = "http://127.0.0.1:8080/auth/do/callback"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG1hZGUgdXAgZm9yIHRlc3RzIG9ubHkgISEh ada"


def transport_of(cloud: DigitalOceanCloud) -> SimulatorTransport:
    """Return the way to a cloud."""
    api = DigitalOceanAPI(cloud)
    return SimulatorTransport(hosts={API_HOST: api, OAUTH_HOST: api})


class Panel:
    """The API as one team's token sees it, a call a line."""

    def __init__(
        self,
        cloud: DigitalOceanCloud,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        email: str = "ada@example.com",
        scope: str = "read write",
    ) -> None:
        self.cloud = cloud
        self.grant = cloud.grant(email, scope)
        self.client = httpx.AsyncClient(
            transport=transport or transport_of(cloud),
            base_url=f"https://{API_HOST}/v2",
            headers={"authorization": f"Bearer {self.grant.access}"},
        )

    async def create(self, **more: Any) -> httpx.Response:
        """Order a droplet."""
        body = {
            "name": "vps",
            "region": "ams3",
            "size": "s-1vcpu-1gb",
            "image": "debian-12-x64",
            "tags": ["invoker:u1"],
            **more,
        }
        return await self.client.post("/droplets", json=body)

    async def made(self, **more: Any) -> int:
        """Order a droplet; return its id."""
        number: int = (await self.create(**more)).raise_for_status().json()["droplet"]["id"]
        return number

    async def get(self, number: int) -> dict[str, Any]:
        """Return a droplet."""
        answer = await self.client.get(f"/droplets/{number}")
        droplet: dict[str, Any] = answer.raise_for_status().json()["droplet"]
        return droplet

    async def act(self, number: int, kind: str) -> httpx.Response:
        """Order an action."""
        return await self.client.post(f"/droplets/{number}/actions", json={"type": kind})

    async def listed(self, **query: str) -> list[int]:
        """Return the ids of the listed droplets."""
        answer = await self.client.get("/droplets", params=query)
        return [droplet["id"] for droplet in answer.raise_for_status().json()["droplets"]]
