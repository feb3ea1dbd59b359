from pathlib import Path

import pytest

from deploy.local.simulators.auth import SupabaseAuth
from deploy.local.simulators.fly.cloud import FlyCloud
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
