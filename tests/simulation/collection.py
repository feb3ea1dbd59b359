"""What the collector removes, what it leaves, and who may tell it otherwise."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from crds.annotations import COLLECT, FORCE_DELETE, PAUSED
from crds.errors import ConflictError
from crds.meta import Key, ObjectMeta
from crds.platform import PLATFORM, Platform
from crds.store.tombstones import Tombstones
from crds.workspace import WORKSPACE
from deploy.local.simulators.kv.store import Entry
from tests.simulation.faults import Fault
from tests.simulation.monkeys import COLLECTED_WITHIN, NOT_BEFORE, back_to_running
from tests.simulation.processes import USER
from tests.simulation.scenarios import Scenario, sign_up
from tests.simulation.world import World

GHOST = "inv-sim-" + "a" * 26


async def add_platform(world: World) -> None:
    """The installation's row, on which the collector records its events."""
    await world.store.create(Platform(metadata=ObjectMeta(name=PLATFORM)))


async def annotate_platform(world: World, **annotations: str) -> None:
    """Put annotations on the platform, whoever writes to it meanwhile."""
    while True:
        platform = await world.store.get(Platform, PLATFORM)
        platform.metadata.annotations = annotations
        try:
            await world.store.update(platform)
        except ConflictError:
            continue
        return


async def pause_machine(world: World, value: str) -> None:
    """Annotate the machine as people with psql do."""
    await world.store.database.execute(
        "UPDATE machines SET annotations = annotations || %s::jsonb", json.dumps({PAUSED: value})
    )


async def make_app(world: World, name: str) -> None:
    """An app in our organisation."""
    await world.call_fly("POST", "/apps", {"app_name": name, "org_slug": world.fly.org})


async def never_known(world: World) -> None:
    """What carries our mark and was never in this database is told and left, until let go."""
    await add_platform(world)
    await sign_up(world)
    await make_app(world, GHOST)
    entry = {"instance": None, "state": "running"}
    marks = {"installation": "sim", "uid": "x", "stamp": 1}
    world.kv.put("route:ghost", Entry(json.dumps(entry).encode(), marks))

    async def collected() -> bool:
        return GHOST not in world.fly.apps and world.kv.get("route:ghost") is None

    await world.pass_time(COLLECTED_WITHIN * 2)
    assert GHOST in world.fly.apps
    assert world.kv.get("route:ghost") is not None
    assert "NotCollecting" in await world.events()
    until = world.now() + timedelta(hours=1)
    await annotate_platform(world, **{COLLECT: until.isoformat()})
    await world.until(collected, "collected", within=COLLECTED_WITHIN.total_seconds())
    assert {"CollectForced", "Collected"} <= await world.events()


async def late_leftovers(world: World) -> None:
    """What a row left behind, however late it comes to be, goes after the grace, not before."""
    await add_platform(world)
    await sign_up(world)
    app = await world.app_name()
    await world.delete()
    await world.until_phase(None)
    world.watchman.check_machines_gone()
    await world.pass_time(timedelta(minutes=1))
    await make_app(world, app)

    async def collected() -> bool:
        return app not in world.fly.apps

    await world.pass_time(NOT_BEFORE - timedelta(seconds=1))
    assert not await collected()
    await world.until(collected, "collected", within=COLLECTED_WITHIN.total_seconds())
    await world.until_event("Collected")
    await world.wish()
    await back_to_running(world)


async def nothing_while_paused(world: World) -> None:
    """An operator who pauses the platform, or a machine, may put things beside ours in peace."""
    await add_platform(world)
    await sign_up(world)
    volume, app = await world.volume_id(), await world.app_name()
    name = world.fly.volumes[volume].name
    wanted = {"name": name, "region": "iad", "size_gb": 1}
    restored = await world.call_fly("POST", f"/apps/{app}/volumes", wanted)

    async def collected() -> bool:
        return restored["id"] not in world.fly.volumes

    await pause_machine(world, "true")
    await world.pass_time(COLLECTED_WITHIN * 2)
    assert not await collected()
    await annotate_platform(world, **{PAUSED: "true"})
    await pause_machine(world, "false")
    await world.pass_time(COLLECTED_WITHIN * 2)
    assert not await collected()
    await annotate_platform(world)
    await world.until(collected, "collected", within=COLLECTED_WITHIN.total_seconds())
    await world.until_event("Collected")


async def forced_out(world: World) -> None:
    """A removal that cannot finish is let go by a person's word; the collector finishes it."""
    await add_platform(world)
    await sign_up(world)
    machine = await world.machine()
    assert machine is not None
    app, instance = await world.app_name(), await world.instance_id()
    world.watchman.excused.add(instance)
    world.plan.outage = Fault.BROKEN
    await world.delete()
    await world.pass_time(timedelta(minutes=5))
    assert await world.machine() is not None
    await world.store.database.execute(
        "UPDATE machines SET annotations = annotations || %s::jsonb",
        json.dumps({FORCE_DELETE: "Fly is away and the user moves on"}),
    )
    await world.until_phase(None)
    await world.until_event("ForceDeleted")
    tombstones = Tombstones(world.store.database)
    stone = (await tombstones.find([machine.uid]))[machine.uid]
    assert stone.forced
    assert stone.reason == "Fly is away and the user moves on"
    assert stone.details["app"]["name"] == app
    world.plan.outage = None

    async def chased() -> bool:
        return machine.uid not in await tombstones.standing()

    assert app in world.fly.apps
    await world.until(chased, "nothing left", within=3 * COLLECTED_WITHIN.total_seconds())
    assert app not in world.fly.apps
    await world.wish()
    await back_to_running(world)


async def empty_database(world: World) -> None:
    """A controller whose database has lost its rows removes nothing outside."""
    await sign_up(world)
    before = (await world.app_name(), await world.volume_id(), await world.instance_id())
    rows = await lose_rows(world)
    await world.pass_time(COLLECTED_WITHIN * 3)
    assert before[0] in world.fly.apps
    assert before[1] in world.fly.volumes
    assert world.fly.machines[before[2]].state == "started"
    assert world.entry("alice") is not None
    await restore_rows(world, rows)
    await world.until_answered()
    await back_to_running(world)
    assert (await world.app_name(), await world.volume_id(), await world.instance_id()) == before


async def lose_rows(world: World) -> Any:
    """Take all rows away as if they had never been; returns them."""
    rows = await world.store.database.fetch("SELECT jsonb_agg(to_jsonb(o)) AS rows FROM objects o")
    await world.store.database.execute(
        "DO $$ BEGIN SET LOCAL session_replication_role = replica; DELETE FROM objects; END $$"
    )
    return rows[0]["rows"]


async def restore_rows(world: World, rows: Any) -> None:
    """Put rows back as from a backup."""
    async with world._pool.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(
            "INSERT INTO objects SELECT * FROM jsonb_populate_recordset(NULL::objects, %s)",
            [json.dumps(rows)],
        )
    # As when the controllers start: they list.
    world.resync()
    assert await world.store.find_row(Key("Workspace", USER, WORKSPACE)) is not None


COLLECTIONS: dict[str, Scenario] = {
    collection.__name__: collection
    for collection in (
        never_known,
        late_leftovers,
        nothing_while_paused,
        forced_out,
        empty_database,
    )
}
