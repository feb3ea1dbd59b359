"""One of each simulator, reached through one transport."""

from collections.abc import AsyncIterator

import httpx
import pytest

from deploy.local.simulators.auth import SupabaseAuth
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.state import FlyTimings
from deploy.local.simulators.kv import KV
from deploy.local.simulators.transport import SimulatorTransport
from tests.simulators.helpers import Fly, fly_client


@pytest.fixture
async def cloud(anyio_backend: str) -> AsyncIterator[FlyCloud]:
    """A cloud whose transitions end at the loop's next turns."""
    del anyio_backend
    cloud = FlyCloud(timings=FlyTimings.instant())
    yield cloud
    await cloud.aclose()


@pytest.fixture
def kv() -> KV:
    """An empty store."""
    return KV()


@pytest.fixture
def auth() -> SupabaseAuth:
    """A project without users."""
    return SupabaseAuth()


@pytest.fixture
def transport(cloud: FlyCloud, kv: KV, auth: SupabaseAuth) -> SimulatorTransport:
    """All of them behind one transport."""
    return SimulatorTransport(fly=cloud, kv=kv, auth=auth)


@pytest.fixture
async def fly(cloud: FlyCloud, transport: SimulatorTransport) -> AsyncIterator[Fly]:
    """The Machines API of the cloud."""
    async with fly_client(cloud, transport) as client:
        yield Fly(client)


@pytest.fixture
async def cloudflare(kv: KV, transport: SimulatorTransport) -> AsyncIterator[httpx.AsyncClient]:
    """The REST API of the store's namespace."""
    path = f"client/v4/accounts/{kv.account}/storage/kv/namespaces/{kv.default}"
    async with httpx.AsyncClient(
        transport=transport,
        base_url=f"https://api.cloudflare.com/{path}",
        headers={"authorization": f"Bearer {kv.token}"},
    ) as client:
        yield client


@pytest.fixture
async def supabase(
    auth: SupabaseAuth, transport: SimulatorTransport
) -> AsyncIterator[httpx.AsyncClient]:
    """The project's Auth API with the public key."""
    async with httpx.AsyncClient(
        transport=transport,
        base_url="https://invoker.supabase.co/auth/v1",
        headers={"apikey": auth.anon_key},
    ) as client:
        yield client
