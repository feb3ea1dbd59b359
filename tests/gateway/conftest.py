"""A hub and a machine's root for each test."""

import asyncio
import functools
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.gateway.gateway import Gateway
from deploy.gateway.waits import Waits
from deploy.gateway.websocket import dial
from tests.gateway.gateway_hub import Hub


@pytest.fixture
async def hub(anyio_backend: str) -> AsyncIterator[Hub]:
    """A hub that nobody is connected to."""
    del anyio_backend
    async with Hub().serving() as hub:
        yield hub


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder that stands for the machine's `/`."""
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture(params=["pty", "tmux"])
def multiplexer(request: pytest.FixtureRequest) -> str:
    """Each of the two ways to keep sessions."""
    if request.param == "tmux" and shutil.which("tmux") is None:
        pytest.skip("THERE IS NO TMUX: half of the sessions' tests do not run")
    return str(request.param)


class Run:
    """Starts gateways on one machine."""

    def __init__(self, hub: Hub, root: Path) -> None:
        self._hub = hub
        self._root = root
        self._running: dict[Gateway, asyncio.Task[bool]] = {}

    async def __call__(self, multiplexer: str = "pty") -> Gateway:
        """Start one, and wait for its hello."""
        settings = self._hub.settings(self._root, "tmux" if multiplexer == "tmux" else "pty")
        # It comes back nearly at once.
        waits = Waits(lambda: 1.99)
        gateway = Gateway(settings, functools.partial(dial, settings), waits=waits)
        count = len(self._hub.of("gateway.hello"))
        self._running[gateway] = asyncio.create_task(gateway.run())
        await self._hub.get("gateway.hello", count + 1)
        return gateway

    async def stop(self, gateway: Gateway) -> bool:
        """Stop one, as a signal does."""
        gateway.stop.set()
        return await self._running.pop(gateway)

    async def ended(self, gateway: Gateway) -> bool:
        """Wait until one has ended by itself; whether it is no more."""
        return await self._running.pop(gateway)

    async def aclose(self) -> None:
        """Stop all, with everything in them."""
        for gateway in list(self._running):
            for uid in list(gateway.sessions._sessions):
                await gateway.sessions.end(uid)
            await self.stop(gateway)


@pytest.fixture
async def run(hub: Hub, root: Path) -> AsyncIterator[Run]:
    """Starts gateways of this test; those that still run at its end are stopped."""
    run = Run(hub, root)
    yield run
    await run.aclose()
