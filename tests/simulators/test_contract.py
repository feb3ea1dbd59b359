"""Every call of a long tour, checked against the providers' specifications."""

from collections.abc import AsyncIterator

import httpx
import pytest

from deploy.local.simulators.auth import SupabaseAuth
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.kv import KV
from deploy.local.simulators.transport import SimulatorTransport
from tests.simulators.helpers import APP, Fly, config, fly_client
from tests.support.contract import ContractError, ContractTransport

pytestmark = [pytest.mark.anyio, pytest.mark.spec]


@pytest.fixture
def checked(transport: SimulatorTransport) -> ContractTransport:
    """The simulators under the eyes of the specifications."""
    return ContractTransport(transport)


@pytest.fixture
async def fly(cloud: FlyCloud, checked: ContractTransport) -> AsyncIterator[Fly]:
    """The Machines API, checked."""
    async with fly_client(cloud, checked) as client:
        yield Fly(client)


async def test_the_life_of_a_machine(fly: Fly, checked: ContractTransport) -> None:
    """Everything about apps, volumes and machines is as the specification says."""
    await fly.app(network="alpha", idempotency_key="k", enable_subdomains=False)
    await fly.app()
    await fly.address()
    volume = await fly.volume(compute={"cpu_kind": "shared", "cpus": 1, "memory_mb": 512})
    mounts = [{"volume": volume, "path": "/data"}]
    file = {"guest_path": "/etc/a", "raw_value": "YQ=="}
    check = {"type": "http", "port": 8080, "method": "GET", "path": "/", "grace_period": "0s"}
    settings = config(mounts=mounts, metadata={"a": "1"}, checks={"live": check}, files=[file])
    machine_id = await fly.started(config=settings)
    await fly.exec(machine_id, "true", stdin="", timeout=5)
    await fly.exec(machine_id)
    await fly.get(machine_id)
    await fly.machine()
    for action in ("cordon", "uncordon", "restart"):
        await fly.do(machine_id, action)
    await fly.wait(machine_id, "started")
    lease = (await fly.do(machine_id, "lease", json={"ttl": 5, "description": "d"})).json()
    await fly.do(machine_id, "stop", json={"timeout": "5s", "signal": "SIGTERM"})
    nonce = lease["data"]["nonce"]
    await fly.update(machine_id, config=config(mounts=mounts), nonce=nonce, skip_launch=True)
    paths = ["", "/lease", "/metadata", "/metadata/a", "/metadata/none", "/events", "/versions"]
    for path in paths:
        await fly.client.get(f"{APP}/machines/{machine_id}{path}")
    headers = {"fly-machine-lease-nonce": nonce}
    await fly.client.delete(f"{APP}/machines/{machine_id}/lease", headers=headers)
    await _volumes(fly, volume)
    await fly.destroy(machine_id, force=True)
    await fly.client.delete(APP)

    assert len(set(checked.checked)) >= 25


async def _volumes(fly: Fly, volume: str) -> None:
    path = f"{APP}/volumes/{volume}"
    await fly.client.put(path, json={"snapshot_retention": 7})
    await fly.client.put(f"{path}/extend", json={"size_gb": 2})
    await fly.client.post(f"{path}/snapshots")
    await fly.client.get(f"{path}/snapshots")
    await fly.volume(source_volume_id=volume, size_gb=2)
    await fly.client.delete(path)


async def test_listings_and_notes(fly: Fly, cloud: FlyCloud) -> None:
    """Lists, metadata, secrets and the platform's answers, an unreachable host included."""
    await fly.app()
    await fly.volume()
    machine_id = await fly.started()
    cloud.error_regions = {"ams"}
    cloud.set_host_status(machine_id)
    org = "/v1/orgs/invoker"
    since = {"updated_after": "2020-01-01T00:00:00Z", "limit": "10"}
    answers = [
        await fly.client.get("/v1/apps", params={"org_slug": "invoker"}),
        await fly.client.get(f"{APP}/machines", params={"metadata.a": "1"}),
        await fly.client.get(f"{APP}/machines", params={"include_deleted": "true"}),
        await fly.client.get(f"{APP}/volumes"),
        await fly.client.get(f"{APP}/ip_assignments"),
        await fly.client.get(f"{org}/machines", params=since),
        await fly.client.get(f"{org}/volumes", params=since),
        await fly.client.get("/v1/tokens/current"),
        await fly.client.get("/v1/platform/regions"),
        await fly.client.post(f"{APP}/secrets", json={"values": {"A": "1"}}),
        await fly.client.post(f"{APP}/secrets/B", json={"value": "2"}),
        await fly.client.get(f"{APP}/secrets/B"),
        await fly.client.delete(f"{APP}/secrets/B"),
    ]

    assert {answer.status_code for answer in answers} == {200, 201}


async def test_workers_kv(kv: KV, checked: ContractTransport) -> None:
    """Every operation of Workers KV is as the specification says."""
    base = f"https://api.cloudflare.com/client/v4/accounts/{kv.account}/storage/kv/namespaces"
    headers = {"authorization": f"Bearer {kv.token}"}
    async with httpx.AsyncClient(transport=checked, base_url=base, headers=headers) as client:
        one = f"/{kv.default}"
        pair = {"key": "a", "value": "1", "metadata": {"stamp": 1}, "expiration_ttl": 60}
        await client.put(f"{one}/bulk", json=[pair])
        await client.put(f"{one}/values/b", content=b"1")
        await client.post(f"{one}/bulk/get", json={"keys": ["a", "b"]})
        rich = {"keys": ["a", "none"], "withMetadata": True, "type": "json"}
        await client.post(f"{one}/bulk/get", json=rich)
        for path in ("/keys?prefix=a&limit=10", "/values/a", "/metadata/a", "/values/none", ""):
            await client.get(one + path)
        await client.post(f"{one}/bulk/delete", json=["a"])
        await client.delete(f"{one}/values/b")
        made = (await client.post(base, json={"title": "t"})).json()["result"]["id"]
        await client.put(f"/{made}", json={"title": "u"})
        await client.delete(f"/{made}")
        await client.get(base, headers={"authorization": "no"})

    assert len(set(checked.checked)) == 13


async def test_supabase_auth(auth: SupabaseAuth, checked: ContractTransport) -> None:
    """Sign-up to deletion is as the specification says."""
    base, headers = "https://invoker.supabase.co/auth/v1", {"apikey": auth.anon_key}
    pair = {"email": "a@example.com", "password": "correct horse"}
    async with httpx.AsyncClient(transport=checked, base_url=base, headers=headers) as client:
        session = (await client.post("/signup", json=pair)).json()
        await client.post("/signup", json=pair)
        await client.post("/token?grant_type=password", json=pair)
        refresh = {"refresh_token": session["refresh_token"]}
        await client.post("/token?grant_type=refresh_token", json=refresh)
        await client.post("/token?grant_type=refresh_token", json={"refresh_token": "no"})
        bearer = {"authorization": f"Bearer {session['access_token']}"}
        await client.get("/user", headers=bearer)
        await client.put("/user", json={"data": {"a": 1}}, headers=bearer)
        for path in ("/.well-known/jwks.json", "/health", "/settings"):
            await client.get(path)
        admin = {"authorization": f"Bearer {auth.service_key}"}
        user = f"/admin/users/{session['user']['id']}"
        await client.get("/admin/users", headers=admin)
        await client.put(user, json={"ban_duration": "24h"}, headers=admin)
        await client.post("/logout?scope=local", headers=bearer)
        await client.delete(user, headers=admin)

    assert len(set(checked.checked)) == 11


async def test_an_unknown_field_is_caught(fly: Fly) -> None:
    """The checker is awake: a field the specification does not name fails."""
    await fly.app()
    with pytest.raises(ContractError, match="unexpected"):
        await fly.machine(config=config(vm={"size": "big"}))


async def test_a_wrong_query_is_caught(fly: Fly) -> None:
    """The checker is awake: an unknown parameter fails."""
    with pytest.raises(ContractError, match="unknown query"):
        await fly.client.get(APP, params={"colour": "red"})
