"""The hub in memory by itself: what it is asked, and what it reports."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final
from uuid import UUID

import httpx

from crds.authorized_key import fingerprint_of
from crds.store.observations import Observation
from deploy.local.simulators.gateways import (
    EDGE_TOKEN,
    HUB_HOST,
    Hub,
    SimulatedGateway,
    UnknownGatewayError,
)
from deploy.local.simulators.transport import SimulatorTransport
from tests.gateways.protocol_schemas import check
from tests.support.virtual_time import clock, run

GATEWAY: Final = UUID("0b9d3a52-6a7e-4c51-9a55-2f0c6d1f7a00")
SESSION: Final = UUID("0b9d3a52-6a7e-4c51-9a55-2f0c6d1f7a10")
TOKEN: Final = "a gateway's token"
PUBLIC_KEY: Final = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'A' * 43} a@example"
FINGERPRINT: Final = fingerprint_of(PUBLIC_KEY)


class Scene:
    """A hub, one gateway, and whoever asks and is told.

    Attributes:
        reports: Every report that was taken.
        away: How many reports more fail.
        unknown: Whether the gateway is no more.
    """

    def __init__(self) -> None:
        wall = clock()
        self.reports: list[Sequence[Observation]] = []
        self.away = 0
        self.unknown = False
        self.hub = Hub(
            self._take, self._authenticate, now=lambda: wall.now().timestamp(), check=check
        )
        transport = SimulatorTransport(hosts={HUB_HOST: self.hub})
        self.client = httpx.AsyncClient(transport=transport, base_url=f"https://{HUB_HOST}")
        self.gateway = SimulatedGateway(self.hub, GATEWAY, TOKEN)

    @property
    def seen(self) -> list[Observation]:
        """All that was reported, in the order in which it came."""
        return [each for report in self.reports for each in report]

    @property
    def kinds(self) -> list[str]:
        """What was reported, without healths."""
        return [each.kind for each in self.seen if each.kind != "gateway.health"]

    def newest(self, subject: str) -> dict[str, Any] | None:
        """The newest message about a subject."""
        return [each.message for each in self.seen if each.subject == subject][-1]

    async def post(
        self, body: Any, *, gateway: UUID = GATEWAY, token: str = EDGE_TOKEN
    ) -> httpx.Response:
        """Send a command as the control plane does."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {token}"}
        return await self.client.post(
            f"/hub/{gateway}/commands", content=content, headers=headers, timeout=None
        )

    async def _take(self, gateway: UUID, seen: Sequence[Observation]) -> None:
        assert gateway == GATEWAY
        if self.unknown:
            raise UnknownGatewayError
        if self.away:
            self.away -= 1
            raise OSError("the API is away")
        self.reports.append(seen)

    async def _authenticate(self, gateway: UUID, token: str) -> int:
        if self.unknown or gateway != GATEWAY:
            return 404
        return 204 if token == TOKEN else 401


def play(scene: Callable[[Scene], Awaitable[None]]) -> None:
    """Run a scene on virtual time, and look that all that was said is of the protocol."""

    async def main() -> None:
        here = Scene()
        try:
            await scene(here)
            assert [] == here.hub.complaints
        finally:
            await here.gateway.stop()
            await here.hub.aclose()
            await here.client.aclose()

    run(main, limit_seconds=100_000)


def creation(id_: str = "c-1", **changes: Any) -> dict[str, Any]:
    """A command that begins a session."""
    return {
        "type": "session.create",
        "id": id_,
        "session_id": str(SESSION),
        "title": "Fix the build",
        "agent_type": "shell",
        "workdir": "/root",
        **changes,
    }


def letting_in(id_: str = "k-1", **changes: Any) -> dict[str, Any]:
    """A command that lets a key in."""
    return {
        "type": "ssh.authorize",
        "id": id_,
        "fingerprint": FINGERPRINT,
        "public_key": PUBLIC_KEY,
        "label": "laptop",
        "expires_at": None,
        **changes,
    }
