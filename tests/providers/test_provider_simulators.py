"""The clients against the simulated clouds, whose rate limits are on."""

import pytest

from controller.providers import (
    AlreadyExists,
    Call,
    Forbidden,
    LeaseHeld,
    NotFound,
    NotStopped,
    Priority,
    VersionConflict,
    VolumeBound,
    VolumeClaimed,
    WaitTimeout,
)
from controller.providers.cloudflare import KVEntry, WorkersKV
from controller.providers.fly import Fly, FlyMachine
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.kv import KV
from deploy.local.simulators.limits import CloudflareLimits, FlyLimits
from deploy.local.simulators.transport import SimulatorTransport
from tests.providers.clock import run

CALL = Call(Priority.USER)
GUEST = {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}
APP = "inv-t-app"


class Clouds:
    """Simulators with their limits on, and the clients over them with their own budgets."""

    def __init__(self) -> None:
        self.cloud = FlyCloud(limits=FlyLimits(enabled=True))
        self.store = KV(limits=CloudflareLimits(enabled=True))
        self.transport = SimulatorTransport(fly=self.cloud, kv=self.store)
        self.fly = Fly(self.transport, token=self.cloud.token, org=self.cloud.org)
        self.kv = WorkersKV(
            self.transport,
            token=self.store.token,
            account=self.store.account,
            namespace=self.store.default,
        )

    async def machine(self) -> tuple[str, FlyMachine]:
        """Make an app with a volume and a started machine on it."""
        fly = self.fly
        await fly.create_app(APP, network=APP, idempotency_key="k", call=CALL)
        volume = await fly.create_volume(
            APP, name="v_1", region="ams", size_gb=1, compute=GUEST, call=CALL
        )
        machine = await fly.create_machine(
            APP, name="main", region=volume.region, config=config(volume.id), call=CALL
        )
        await fly.wait(APP, machine.id, state="started", call=CALL)
        return volume.id, await fly.get_machine(APP, machine.id, call=CALL)


def config(volume: str) -> dict[str, object]:
    """Return a machine's config."""
    return {
        "image": "agent:1",
        "guest": GUEST,
        "mounts": [{"volume": volume, "path": "/data"}],
        "metadata": {"invoker_uid": "u1"},
        "services": [
            {
                "protocol": "tcp",
                "internal_port": 8080,
                "autostop": "off",
                "autostart": True,
                "min_machines_running": 0,
                "ports": [{"port": 443, "handlers": ["tls", "http"]}],
            }
        ],
    }


def test_machines_are_made_and_found() -> None:
    """Making names what stands in the way, and every list shows what was made."""

    async def act() -> None:
        clouds = Clouds()
        fly = clouds.fly
        volume, machine = await clouds.machine()
        assert (machine.state, machine.metadata) == ("started", {"invoker_uid": "u1"})

        with pytest.raises(AlreadyExists) as again:
            await fly.create_machine(
                APP, name="main", region="ams", config=config(volume), call=CALL
            )
        with pytest.raises(VolumeClaimed) as claimed:
            await fly.create_machine(
                APP, name="other", region="ams", config=config(volume), call=CALL
            )
        assert (again.value.existing_id, claimed.value.by) == (machine.id, machine.id)

        listed = await fly.list_machines(APP, metadata={"invoker_uid": "u1"}, call=CALL)
        assert [m.id for m in listed] == [machine.id]
        pages = [page async for page in fly.iter_org_machines(call=CALL)]
        assert [m.metadata for p in pages for m in p.machines] == [{"invoker_uid": "u1"}]
        kept = [v.id async for p in fly.iter_org_volumes(call=CALL) for v in p.volumes]
        assert kept == [volume]
        assert [v.id for v in await fly.list_volumes(APP, call=CALL)] == [volume]
        assert (await fly.get_volume(APP, volume, call=CALL)).attached_machine_id == machine.id

    run(act)


def test_apps_and_their_addresses() -> None:
    """Apps, addresses and regions are asked for as the API wants it."""

    async def act() -> None:
        fly = Clouds().fly
        await fly.create_app(APP, network=APP, idempotency_key="k", call=CALL)
        await fly.create_app(APP, network=APP, idempotency_key="k", call=CALL)
        assert (await fly.get_app(APP, call=CALL)).name == APP
        apps = [app.name async for page in fly.list_apps(call=CALL) for app in page]
        assert apps == [APP]
        address = await fly.assign_address(APP, "shared_v4", call=CALL)
        assert [a.ip for a in await fly.list_addresses(APP, call=CALL)] == [address.ip]
        assert address.kind == "shared_v4"
        await fly.release_address(APP, address.ip, call=CALL)
        assert await fly.list_addresses(APP, call=CALL) == []
        assert "ams" in {region.code for region in await fly.regions(call=CALL)}
        await fly.delete_app(APP, call=CALL)
        with pytest.raises((NotFound, Forbidden)):
            await fly.get_app(APP, call=CALL)

    run(act)


def test_machines_are_changed_under_a_lease() -> None:
    """A change needs the lease and the version, and can be waited for."""

    async def act() -> None:
        clouds = Clouds()
        fly = clouds.fly
        volume, machine = await clouds.machine()
        new = {**machine.config, "env": {"A": "1"}}
        async with fly.leased(APP, machine.id, ttl=60, call=CALL) as lease:
            with pytest.raises(LeaseHeld):
                await fly.acquire_lease(APP, machine.id, ttl=60, call=CALL)
            held = lease.nonce
            with pytest.raises(VersionConflict):
                await fly.update_machine(
                    APP, machine.id, config=new, current_version="01OLD", nonce=held, call=CALL
                )
            version = machine.version
            updated = await fly.update_machine(
                APP, machine.id, config=new, current_version=version, nonce=held, call=CALL
            )
        assert updated.version != machine.version
        await fly.wait(APP, machine.id, state="started", version=updated.version, call=CALL)
        await fly.cordon(APP, machine.id, call=CALL)
        await fly.uncordon(APP, machine.id, call=CALL)
        await fly.restart(APP, machine.id, timeout=5, call=CALL)
        await fly.wait(APP, machine.id, state="started", call=CALL)
        assert (await fly.extend_volume(APP, volume, size_gb=2, call=CALL)).volume.size_gb == 2

    run(act)


def test_machines_stop_start_and_go() -> None:
    """Stopping, starting and destroying are waited for, and what is too early says so."""

    async def act() -> None:
        clouds = Clouds()
        fly = clouds.fly
        volume, machine = await clouds.machine()
        with pytest.raises(NotStopped):
            await fly.destroy_machine(APP, machine.id, call=CALL)
        await fly.stop_machine(APP, machine.id, timeout=5, call=CALL)
        await fly.wait(APP, machine.id, state="stopped", version=machine.version, call=CALL)
        with pytest.raises(WaitTimeout):
            await fly.wait(APP, machine.id, state="started", timeout=2, call=CALL)
        stopped = (await fly.get_machine(APP, machine.id, call=CALL)).last_exit()
        assert stopped is not None
        assert stopped.requested_stop
        await fly.start_machine(APP, machine.id, call=CALL)
        await fly.wait(APP, machine.id, state="started", call=CALL)
        with pytest.raises(VolumeBound):
            await fly.delete_volume(APP, volume, call=CALL)
        await fly.destroy_machine(APP, machine.id, force=True, call=CALL)
        await fly.wait(APP, machine.id, state="destroyed", call=CALL)

    run(act)


def test_the_life_of_a_route() -> None:
    """Every Workers KV method does its work against the simulated API."""

    async def act() -> None:
        kv = Clouds().kv
        entry = KVEntry("route:a/ü", '{"version": 1}', {"stamp": 1})
        assert await kv.put_bulk([entry, KVEntry("route:b", "x")], call=CALL) == set()
        assert await kv.get("route:a/ü", call=CALL) == '{"version": 1}'
        keys = {k.name: k.metadata async for p in kv.list_keys("route:", call=CALL) for k in p}
        assert keys == {"route:a/ü": {"stamp": 1}, "route:b": {}}
        await kv.put(KVEntry("platform:status", "{}"), call=CALL)
        assert await kv.get("platform:status", call=CALL) == "{}"
        await kv.delete("platform:status", call=CALL)
        assert await kv.delete_bulk(["route:a/ü", "route:b"], call=CALL) == set()
        assert await kv.get("route:b", call=CALL) is None

    run(act)
