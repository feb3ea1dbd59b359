import pytest

from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.runtime import InlineRuntime
from tests.simulators.helpers import APP, Fly, config, turns

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def _app(fly: Fly) -> None:
    await fly.app()


async def test_a_volume_is_bound_until_its_machine_is_long_gone(fly: Fly, cloud: FlyCloud) -> None:
    """Deleting it or using it again is refused with 412 until the platform lets go."""
    cloud.timings.volume_release_seconds = 0.02
    volume = await fly.volume()
    mounted = config(mounts=[{"volume": volume, "path": "/data"}])
    machine_id = await fly.started(config=mounted)
    claimed = await fly.machine("second", config=mounted)
    await fly.destroy(machine_id, force=True)
    await fly.wait(machine_id, "destroyed")
    bound = await fly.client.delete(f"{APP}/volumes/{volume}")
    forgotten = await fly.machine("second", config=mounted)
    while cloud.volumes[volume].machine:
        await turns()
    freed = await fly.client.delete(f"{APP}/volumes/{volume}")

    assert claimed.json()["error"].endswith(f"volume already claimed by machine {machine_id}")
    assert bound.json()["error"].endswith(f"volume is currently bound to machine: {machine_id}")
    assert forgotten.json()["error"].endswith("machine " + "\0" * 14)
    assert [a.status_code for a in (claimed, bound, forgotten, freed)] == [412, 412, 412, 200]


async def test_names_are_not_unique_but_must_be_well_formed(fly: Fly) -> None:
    """Two volumes may share a name; a hyphen is refused."""
    first, second = await fly.volume(), await fly.volume()
    bad = await fly.client.post(f"{APP}/volumes", json={"name": "a-b", "region": "iad"})

    assert first != second
    assert bad.status_code == 400


async def test_a_machine_must_be_where_its_volume_is(fly: Fly) -> None:
    """Another region than the volume's is refused."""
    mounts = [{"volume": await fly.volume(region="ams"), "path": "/data"}]
    answer = await fly.machine(config=config(mounts=mounts))

    assert answer.status_code == 400


async def test_a_deleted_volume_may_be_listed_for_a_while(fly: Fly, cloud: FlyCloud) -> None:
    """It shows as pending_destroy, then it is gone."""
    cloud.timings.deleted_volume_lists_seconds = 0.02
    volume = await fly.volume()
    await fly.client.delete(f"{APP}/volumes/{volume}")
    listed = (await fly.client.get(f"{APP}/volumes")).json()
    while volume in cloud.volumes:
        await turns()

    assert [v["state"] for v in listed] == ["pending_destroy"]
    assert (await fly.client.get(f"{APP}/volumes/{volume}")).status_code == 404


async def test_a_volume_grows_and_only_grows(fly: Fly) -> None:
    """Extending to a smaller size is refused."""
    path = f"{APP}/volumes/{await fly.volume(size_gb=2)}/extend"
    grown = await fly.client.put(path, json={"size_gb": 3})
    shrunk = await fly.client.put(path, json={"size_gb": 1})

    assert (grown.json()["volume"]["size_gb"], shrunk.status_code) == (3, 400)


async def test_a_snapshot_restores_to_a_new_volume(fly: Fly, cloud: FlyCloud) -> None:
    """One snapshot at a time; a new volume can be made of it."""
    cloud.timings.snapshot_seconds = 100
    path = f"{APP}/volumes/{await fly.volume(size_gb=3)}/snapshots"
    snapshot = (await fly.client.post(path)).json()
    again = await fly.client.post(path)
    body = {"name": "v_new", "region": "ams", "snapshot_id": snapshot["id"]}
    restored = await fly.client.post(f"{APP}/volumes", json=body)

    assert (again.status_code, restored.json()["size_gb"]) == (412, 3)


async def test_a_fork_is_a_copy_in_any_region(fly: Fly, cloud: FlyCloud) -> None:
    """As large as its source, hydrating for a while and of use meanwhile."""
    forks: list[tuple[str, str]] = []
    assert isinstance(cloud.runtime, InlineRuntime)
    cloud.runtime.on_fork = lambda *ids: forks.append(ids)
    cloud.timings.hydrate_seconds = 0.02
    source = await fly.volume(size_gb=3)
    await fly.started(config=config(mounts=[{"volume": source, "path": "/data"}]))
    body = {"name": "v_new", "region": "ams", "source_volume_id": source}
    fork = (await fly.client.post(f"{APP}/volumes", json=body)).json()
    mounts = [{"volume": fork["id"], "path": "/data"}]
    used = await fly.machine("second", region="ams", config=config(mounts=mounts))
    while cloud.volumes[fork["id"]].state == "hydrating":
        await turns()

    assert (3, "hydrating", "ams") == (fork["size_gb"], fork["state"], fork["region"])
    assert 200 == used.status_code
    assert [(source, fork["id"])] == forks
    assert "created" == cloud.volumes[fork["id"]].state


async def test_a_fork_needs_its_source_and_room_for_it(fly: Fly) -> None:
    """An unknown source is a 404, less room than it has a 400."""
    source = await fly.volume(size_gb=3)
    body = {"name": "v_new", "region": "iad", "source_volume_id": source, "size_gb": 2}
    small = await fly.client.post(f"{APP}/volumes", json=body)
    lost = await fly.client.post(f"{APP}/volumes", json=body | {"source_volume_id": "vol_x"})

    assert (400, 404) == (small.status_code, lost.status_code)


async def test_what_the_monkey_deletes_is_gone_without_an_effect(fly: Fly, cloud: FlyCloud) -> None:
    """Deleting behind our back needs no permission and leaves no effect."""
    volume = await fly.volume()
    machine_id = await fly.started(config=config(mounts=[{"volume": volume, "path": "/data"}]))
    before = len(cloud.effects)
    cloud.monkey_delete_volume(volume)
    await cloud.monkey_destroy(machine_id)

    assert (await fly.client.get(f"{APP}/volumes")).json() == []
    assert (await fly.get(machine_id))["state"] == "destroyed"
    assert len(cloud.effects) == before
