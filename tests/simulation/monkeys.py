"""Things that happen behind our back to a machine at rest; what its user sees; how it recovers."""

from __future__ import annotations

from datetime import timedelta

from controller.machine import names
from crds.annotations import COLLECT
from crds.meta import ObjectMeta
from crds.platform import PLATFORM, Platform
from deploy.local.simulators.kv.store import Entry
from tests.simulation.scenarios import Scenario, sign_up
from tests.simulation.world import OK, World

ROUTE = "route:alice"
THIRD = "third-app"
# The collector's grace and two of its periods.
COLLECTED_WITHIN = timedelta(minutes=21)
NOT_BEFORE = timedelta(minutes=10)


async def back_to_running(world: World) -> None:
    """Its user has a machine again, that answers."""
    await world.until_phase("Running")
    await world.until_answered()


async def destroy(world: World) -> None:
    """Destroy the machine behind our back."""
    instance = await world.instance_id()
    world.watchman.excused.add(instance)
    await world.fly.monkey_destroy(instance)


async def machine_stopped(world: World) -> None:
    """A machine that somebody stopped is started again, without being counted as a crash."""
    await sign_up(world)
    world.fly.monkey_stop(await world.instance_id())
    await world.until_event("Started")
    await back_to_running(world)
    assert "Crashed" not in await world.events()


async def machine_destroyed(world: World) -> None:
    """A machine that somebody destroyed is made anew on its volume."""
    await sign_up(world)
    volume, instance = await world.volume_id(), await world.instance_id()
    await destroy(world)
    await world.until_event("MachineLost")
    await back_to_running(world)
    assert await world.volume_id() == volume
    assert await world.instance_id() != instance


async def volume_deleted(world: World) -> None:
    """A machine and its volume that somebody deleted are made anew, and that is said."""
    await sign_up(world)
    volume = await world.volume_id()
    await destroy(world)
    world.fly.monkey_delete_volume(volume)
    await world.until_event("VolumeLost")
    await back_to_running(world)
    assert await world.volume_id() != volume


async def app_deleted(world: World) -> None:
    """An app that somebody deleted with everything in it is made anew under its name."""
    await sign_up(world)
    app = await world.app_name()
    world.watchman.excused.add(await world.instance_id())
    world.fly.delete_app(app)
    await world.until_event("AppLost")
    await back_to_running(world)
    assert await world.app_name() == app


async def entry_deleted(world: World) -> None:
    """A routing entry that somebody deleted is written again."""
    await sign_up(world)
    before = world.entry("alice")
    await world.pass_time(timedelta(minutes=2))
    world.kv.monkey_delete(ROUTE)
    await world.until_answered()
    after = world.entry("alice")
    assert before is not None
    assert after is not None
    assert after["stamp"] > before["stamp"]


async def entry_overwritten(world: World) -> None:
    """A routing entry that an older write replaced is written again, with a higher stamp."""
    await sign_up(world)
    old = world.kv.get(ROUTE)
    before = world.entry("alice")
    await world.wish(image="registry.example.com/counterspell:2")
    await world.until_phase("Running")
    await world.pass_time(timedelta(minutes=2))
    assert old is not None
    assert before is not None
    world.kv.put(ROUTE, Entry(old.value, old.metadata))

    async def written() -> bool:
        entry = world.entry("alice")
        return entry is not None and entry["stamp"] > before["stamp"]

    await world.until(written, "a newer entry")
    await back_to_running(world)


async def second_machine(world: World) -> None:
    """A second machine and volume with our marks are collected, never the recorded ones."""
    await sign_up(world)
    app, instance, volume = (
        await world.app_name(),
        await world.instance_id(),
        await world.volume_id(),
    )
    config = {"image": "x", "metadata": world.fly_config()["metadata"]}
    second = await world.call_fly("POST", f"/apps/{app}/machines", {"name": "b", "config": config})
    world.watchman.excused.add(second["id"])
    spare = await world.call_fly(
        "POST",
        f"/apps/{app}/volumes",
        {"name": world.fly.volumes[volume].name, "region": "iad", "size_gb": 1},
    )

    async def collected() -> bool:
        gone = world.fly.machines[second["id"]].state == "destroyed"
        return gone and spare["id"] not in world.fly.volumes

    await world.pass_time(NOT_BEFORE)
    assert not await collected()
    await world.until(collected, "collected", within=COLLECTED_WITHIN.total_seconds())
    await back_to_running(world)
    assert (await world.instance_id(), await world.volume_id()) == (instance, volume)


async def unmarked_things(world: World) -> None:
    """What carries no mark of ours is never touched, wherever it is, by whatever word."""
    lenient = {COLLECT: (world.now() + timedelta(days=1)).isoformat()}
    meta = ObjectMeta(name=PLATFORM, annotations=lenient)
    await world.store.create(Platform(metadata=meta))
    await sign_up(world)
    app = await world.app_name()
    world.fly.seed_foreign_app(THIRD, org=world.fly.org)
    machines = [
        await world.call_fly("POST", f"/apps/{where}/machines", {"config": {"image": "x"}})
        for where in (app, THIRD)
    ]
    volumes = [
        await world.call_fly(
            "POST", f"/apps/{where}/volumes", {"name": "data", "region": "iad", "size_gb": 1}
        )
        for where in (app, THIRD)
    ]
    neighbour = "inv-other-" + "a" * 26
    world.fly.seed_foreign_app(neighbour, org=world.fly.org)
    world.kv.put("route:other", Entry(b"{}", {"installation": "another"}))
    await world.pass_time(COLLECTED_WITHIN * 2)
    assert {world.fly.machines[machine["id"]].state for machine in machines} == {"started"}
    assert all(volume["id"] in world.fly.volumes for volume in volumes)
    assert world.kv.get("route:other") is not None
    assert neighbour in world.fly.apps
    world.kv.monkey_delete("route:other")


async def host_lost(world: World) -> None:
    """A host that is away is waited for, and its user is told; nothing is made anew."""
    await sign_up(world)
    instance = await world.instance_id()
    world.fly.set_host_status(instance)
    # The next look over the organisation shows it.
    await world.until_condition("HostUnreachable", within=120)
    await world.until_event("HostUnreachable")
    await world.pass_time(timedelta(minutes=15))
    world.fly.set_host_status(instance, "ok")
    await back_to_running(world)
    assert await world.instance_id() == instance


async def no_capacity(world: World) -> None:
    """Without room the machine waits, says so, and comes when there is room."""
    world.fly.full_regions.add("iad")
    await world.register()
    await world.wish()
    await world.until_condition("NoCapacity")
    await world.until_event("NoCapacity")
    await world.pass_time(timedelta(minutes=10))
    world.fly.full_regions.clear()
    await back_to_running(world)


async def impostor(world: World) -> None:
    """Somebody else's machine under our machine's name is not taken over; it blocks, visibly."""
    await sign_up(world)
    app = await world.app_name()
    await destroy(world)
    other = await world.call_fly(
        "POST", f"/apps/{app}/machines", {"name": names.INSTANCE_NAME, "config": {"image": "x"}}
    )
    await world.until_event("MachineLost")

    async def blocked() -> bool:
        machine = await world.machine()
        ready = None if machine is None else machine.status.condition("Ready")
        return ready is not None and ready.reason == "NotOurs"

    await world.until(blocked, "blocked")
    await world.fly.monkey_destroy(other["id"])
    await back_to_running(world)


async def request_while_stopped(world: World) -> None:
    """What its owner stopped, a request cannot start."""
    await sign_up(world)
    instance, app = await world.instance_id(), await world.app_name()
    await world.wish(power="Stopped")
    await world.until_phase("Stopped")
    assert await world.ask_machine(f"https://{app}.fly.dev", instance) != OK
    await world.pass_time(timedelta(minutes=1))
    assert world.fly.machines[instance].state == "stopped"
    await world.wish(power="Running")
    await back_to_running(world)


MONKEYS: dict[str, Scenario] = {
    monkey.__name__: monkey
    for monkey in (
        machine_stopped,
        machine_destroyed,
        volume_deleted,
        app_deleted,
        entry_deleted,
        entry_overwritten,
        second_machine,
        unmarked_things,
        impostor,
        request_while_stopped,
        host_lost,
        no_capacity,
    )
}
