from pathlib import Path

import pytest

from deploy.local.simulators.auth import SupabaseAuth
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.runtime import InlineRuntime
from deploy.local.simulators.fly.state import FlyTimings
from deploy.local.simulators.kv import KV
from deploy.local.simulators.persistence import StateFile
from deploy.local.simulators.transport import SimulatorTransport
from tests.simulators.helpers import APP, Fly, config, fly_client, turns

pytestmark = pytest.mark.anyio


async def test_machines_that_ran_are_booted_again(
    fly: Fly, cloud: FlyCloud, tmp_path: Path
) -> None:
    """A second cloud finds apps, volumes and machines, and goes on with what was under way."""
    saved = StateFile(tmp_path / "fly.json", cloud)
    saved.open()
    await fly.app()
    await fly.address()
    mounts = [{"volume": await fly.volume(), "path": "/data"}]
    running = await fly.started(config=config(mounts=mounts))
    stopped = await fly.stopped(name="other")
    doomed = await fly.started("doomed")
    cloud.timings.destroy_seconds = 100
    await fly.destroy(doomed, force=True)
    saved.close()
    second = FlyCloud(timings=FlyTimings.instant())
    StateFile(tmp_path / "fly.json", second).open()
    second.resume()
    await turns()
    async with fly_client(second, SimulatorTransport(fly=second)) as client:
        states = [(await Fly(client).get(i))["state"] for i in (running, stopped, doomed)]
        volumes = (await client.get(f"{APP}/volumes")).json()
        answer = await client.get("https://alpha.fly.dev/")

    assert states == ["started", "stopped", "destroyed"]
    assert [volume["attached_machine_id"] for volume in volumes] == [running]
    assert answer.json()["machine"] == running


async def test_a_fork_that_was_under_way_is_made_again(
    fly: Fly, cloud: FlyCloud, tmp_path: Path
) -> None:
    """Where its data come from is kept with it, and what it was going to be."""
    saved = StateFile(tmp_path / "fly.json", cloud)
    saved.open()
    await fly.app()
    source = await fly.volume()
    cloud.timings.hydrate_seconds = 100
    fork = await fly.volume(source_volume_id=source)
    saved.close()
    forks: list[tuple[str, str]] = []
    second = FlyCloud(timings=FlyTimings.instant())
    second.runtime = InlineRuntime(second.now, on_fork=lambda *ids: forks.append(ids))
    StateFile(tmp_path / "fly.json", second).open()
    second.resume()
    await turns()

    assert [(source, fork)] == forks
    assert "created" == second.volumes[fork].state


async def test_checks_and_secrets_outlive_a_restart(
    fly: Fly, cloud: FlyCloud, tmp_path: Path
) -> None:
    """A machine that boots again has its secrets, and is checked anew."""
    saved = StateFile(tmp_path / "fly.json", cloud)
    saved.open()
    await fly.app()
    await fly.client.post(f"{APP}/secrets", json={"values": {"A": "1"}})
    checks = {"live": {"type": "tcp", "port": 8080, "grace_period": "0s"}}
    machine_id = await fly.started(config=config(checks=checks))
    await fly.get(machine_id)
    saved.close()
    second = FlyCloud(timings=FlyTimings.instant())
    StateFile(tmp_path / "fly.json", second).open()
    second.resume()
    await turns()
    before = dict(second.machines[machine_id].checks)
    async with fly_client(second, SimulatorTransport(fly=second)) as client:
        found = (await Fly(client).get(machine_id))["checks"]

    assert {"A": "1"} == second.apps["alpha"].secrets
    assert {} == before
    assert ["passing"] == [check["status"] for check in found]


async def test_routes_and_users_are_kept(tmp_path: Path) -> None:
    """Values with metadata, users with their keys and sessions."""
    kv, auth = KV(), SupabaseAuth()
    files = [StateFile(tmp_path / "kv.json", kv), StateFile(tmp_path / "auth.json", auth)]
    for file in files:
        file.open()
    kv.monkey_overwrite("k", b"\xff", {"stamp": 1})
    session = auth.sign_up("a@example.com", "correct horse")
    for file in files:
        file.close()
    kv, auth = KV(), SupabaseAuth()
    found = [
        StateFile(tmp_path / "kv.json", kv).open(),
        StateFile(tmp_path / "auth.json", auth).open(),
    ]
    entry = kv.get("k")

    assert found == [True, True]
    assert entry is not None
    assert (entry.value, entry.metadata) == (b"\xff", {"stamp": 1})
    assert auth.whoami(session["access_token"])[0].email == "a@example.com"
    assert auth.refresh(session["refresh_token"])["user"]["email"] == "a@example.com"


async def test_changes_are_gathered_before_they_are_written(tmp_path: Path) -> None:
    """A file appears soon after the change, not with it."""
    kv = KV()
    path = tmp_path / "kv.json"
    StateFile(path, kv, delay_seconds=0.01).open()
    kv.monkey_overwrite("k", b"v")
    early = path.exists()
    while not path.exists():
        await turns()

    assert early is False
