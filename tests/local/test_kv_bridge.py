"""The bridge from workerd's binding to a real namespace, before the simulator's REST API."""

import asyncio

import httpx
import pytest

from deploy.local.kv_bridge import bridge
from deploy.local.simulators.kv import KV
from deploy.local.simulators.kv.rest import kv_api
from deploy.local.simulators.kv.store import Entry

pytestmark = pytest.mark.anyio


def _client(kv: KV, token: str) -> httpx.AsyncClient:
    environ = {
        "CLOUDFLARE_API_TOKEN": token,
        "CLOUDFLARE_ACCOUNT_ID": kv.account,
        "CLOUDFLARE_KV_NAMESPACE_ID": kv.default,
    }
    app = bridge(environ, httpx.ASGITransport(kv_api(kv)))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kv")


@pytest.fixture
async def kv() -> KV:
    """A namespace with one key."""
    kv = KV(now=asyncio.get_running_loop().time)
    kv.put("route:alice", Entry(b'{"version": 1}'))
    return kv


@pytest.mark.parametrize(
    ("key", "expected"),
    [("route%3Aalice", (200, b'{"version": 1}')), ("route%3Abob", (404, None))],
)
async def test_reads(kv: KV, key: str, expected: tuple[int, bytes | None]) -> None:
    """A key's value is handed on as it is; a missing one is missing."""
    async with _client(kv, kv.token) as client:
        answer = await client.get(f"/{key}?urlencoded=true&cache_ttl=30")

    assert expected[0] == answer.status_code
    assert expected[1] in {None, answer.content}


async def test_refusal_is_an_outage(kv: KV) -> None:
    """What Cloudflare refuses is no answer about the key: the edge then asks the API."""
    async with _client(kv, "wrong") as client:
        answer = await client.get("/route%3Aalice")

    assert 502 == answer.status_code
