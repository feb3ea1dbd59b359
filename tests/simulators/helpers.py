"""A few calls that most tests make."""

from typing import Any

import anyio
import anyio.lowlevel
import httpx

from deploy.local.simulators.fly.cloud import FlyCloud

APP = "/v1/apps/alpha"


def fly_client(cloud: FlyCloud, transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    """Return a client with our token."""
    return httpx.AsyncClient(
        transport=transport,
        base_url="https://api.machines.dev",
        headers={"authorization": f"Bearer {cloud.token}"},
    )


def config(**more: Any) -> dict[str, Any]:
    """Return a machine's configuration that is allowed."""
    ports = [{"port": 443, "handlers": ["tls", "http"]}, {"port": 80, "handlers": ["http"]}]
    service = {
        "protocol": "tcp",
        "internal_port": 8080,
        "autostop": "off",
        "autostart": True,
        "min_machines_running": 0,
        "ports": ports,
    }
    return {
        "image": "registry.fly.io/agent@sha256:" + "0" * 64,
        "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 512},
        "env": {"INVOKER_MACHINE_TOKEN": "machine-token"},
        "services": [service],
        **more,
    }


async def turns(count: int = 30) -> None:
    """Let the loop finish what takes no time."""
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


class Fly:
    """The Machines API, a call a line."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def app(self, name: str = "alpha", **more: Any) -> httpx.Response:
        """Create an app."""
        body = {"name": name, "org_slug": "invoker", **more}
        return await self.client.post("/v1/apps", json=body)

    async def address(self, kind: str = "shared_v4") -> httpx.Response:
        """Give the app an address."""
        return await self.client.post(f"{APP}/ip_assignments", json={"type": kind})

    async def volume(self, **more: Any) -> str:
        """Create a volume; return its ID."""
        body = {"name": "v_alpha", "region": "iad", "size_gb": 1, **more}
        answer = await self.client.post(f"{APP}/volumes", json=body)
        volume_id: str = answer.raise_for_status().json()["id"]
        return volume_id

    async def machine(self, name: str = "main", **more: Any) -> httpx.Response:
        """Create a machine."""
        body = {"name": name, "region": "iad", "config": config(), **more}
        return await self.client.post(f"{APP}/machines", json=body)

    async def started(self, name: str = "main", **more: Any) -> str:
        """Create a machine and wait until it runs; return its ID."""
        answer = await self.machine(name, **more)
        machine_id: str = answer.raise_for_status().json()["id"]
        await self.wait(machine_id, "started", 10)
        return machine_id

    async def stopped(self, **more: Any) -> str:
        """Create a machine and stop it; return its ID."""
        machine_id = await self.started(**more)
        await self.do(machine_id, "stop")
        await self.wait(machine_id, "stopped")
        return machine_id

    async def get(self, machine_id: str) -> dict[str, Any]:
        """Return a machine."""
        answer = await self.client.get(f"{APP}/machines/{machine_id}")
        body: dict[str, Any] = answer.raise_for_status().json()
        return body

    async def do(self, machine_id: str, action: str, **options: Any) -> httpx.Response:
        """Order a machine about."""
        return await self.client.post(f"{APP}/machines/{machine_id}/{action}", **options)

    async def exec(self, machine_id: str, *command: str, **more: Any) -> httpx.Response:
        """Run a command in a machine."""
        path = f"{APP}/machines/{machine_id}/exec"
        return await self.client.post(path, json={"command": list(command), **more})

    async def update(self, machine_id: str, **body: Any) -> httpx.Response:
        """Update a machine."""
        nonce = body.pop("nonce", None)
        headers = {"fly-machine-lease-nonce": nonce} if nonce else {}
        path = f"{APP}/machines/{machine_id}"
        return await self.client.post(path, json={"config": config()} | body, headers=headers)

    async def destroy(self, machine_id: str, *, force: bool = False) -> httpx.Response:
        """Destroy a machine."""
        query = {"force": "true"} if force else {}
        return await self.client.delete(f"{APP}/machines/{machine_id}", params=query)

    async def wait(self, machine_id: str, state: str, timeout_s: int = 2) -> httpx.Response:
        """Wait for a state."""
        query = {"state": state, "timeout": str(timeout_s)}
        return await self.client.get(f"{APP}/machines/{machine_id}/wait", params=query)

    async def names(self) -> list[str]:
        """Return the names of the app's machines."""
        answer = await self.client.get(f"{APP}/machines")
        return [machine["name"] for machine in answer.json()]
