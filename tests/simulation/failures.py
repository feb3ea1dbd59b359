"""What fails by itself: processes, transitions, names, providers."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from controller.machine import names
from crds.errors import ConflictError
from crds.meta import ObjectMeta
from crds.platform import PLATFORM, Platform
from tests.simulation.faults import Fault
from tests.simulation.monkeys import back_to_running
from tests.simulation.processes import INSTALLATION
from tests.simulation.scenarios import Scenario, sign_up
from tests.simulation.world import World
from tests.support.virtual_time import running_loop

INCIDENT = "platform:status"
# The product's rule: 5 s doubling to 5 min.
BACKOFFS = (5, 10, 20, 40, 80, 160, 300, 300)
# How soon a death is noticed at most: the observer's period, and a round of calls.
NOTICED_WITHIN = 12.0
OUTAGE = timedelta(minutes=10)
FOREVER = 1e9
PAGE_WITHIN = 330.0
VISIBLE_AFTER = 10.0
PROBE_SECONDS, AFTER_PROBE = 60.0, 15.0


async def crash_loop(world: World) -> None:
    """Restarts come after 5 s doubling to 5 min, show in the status, and are forgotten."""
    await sign_up(world)
    for number, backoff in enumerate(BACKOFFS, start=1):
        await _crash_and_restart(world, number, backoff)
    await world.pass_time(timedelta(minutes=11))
    machine = await world.machine()
    assert machine is not None
    assert machine.status.restarts.count == 0
    await _crash_and_restart(world, 1, BACKOFFS[0])


async def _crash_and_restart(world: World, number: int, backoff: int) -> None:
    # Not where the minute's probe comes first: as a request, it has the proxy start the machine.
    await asyncio.sleep(PROBE_SECONDS - (running_loop().time() - AFTER_PROBE) % PROBE_SECONDS)
    # It would be put to sleep in the middle of a long backoff.
    await world.wish(wake_at=world.now())
    crashed = running_loop().time()
    await world.crash_machine()
    await world.until_restarts(number)
    machine = await world.machine()
    assert machine is not None
    healthy = machine.status.condition("Healthy")
    assert healthy is not None
    assert healthy.reason == "Crashed", f"{number}: {machine.status}"
    assert machine.status.restarts.count == number
    await back_to_running(world)
    machine = await world.machine()
    assert machine is not None
    assert machine.status.instance is not None
    assert machine.status.instance.started_at is not None
    waited = (machine.status.instance.started_at - running_loop().start).total_seconds() - crashed
    assert backoff <= waited <= backoff + NOTICED_WITHIN, f"restart {number} after {waited} s"


async def restart_in_crash_loop(world: World) -> None:
    """A restart wished in the middle of a backoff comes at once and ends the loop's count."""
    await sign_up(world)
    for number in range(1, 6):
        await world.crash_machine()
        await world.until_restarts(number)
        if number < 5:
            await back_to_running(world)
    wished = world.now()
    await world.wish(restart_at=wished)

    async def forgotten() -> bool:
        machine = await world.machine()
        return machine is not None and machine.status.restarts.count == 0

    await world.until(forgotten, "the loop is forgotten", within=20)
    await back_to_running(world)
    assert (world.now() - wished).total_seconds() < BACKOFFS[4]


async def unhealthy(world: World) -> None:
    """A machine that runs and does not answer: told after 5 min, restarted after 10."""
    await sign_up(world)
    instance = await world.instance_id()
    fallen = running_loop().time()
    world.runtime.machine(instance).healthy = False
    world.runtime.machine(instance).running = False

    await world.until_event("Unreachable")
    told = running_loop().time() - fallen
    machine = await world.machine()
    assert machine is not None
    reachable = machine.status.condition("Reachable")
    assert reachable is not None
    assert reachable.status == "False"
    assert 300 <= told <= 300 + 75, f"told after {told} s"
    await world.until_event("Restarted")
    restarted = running_loop().time() - fallen
    assert 600 <= restarted <= 600 + 90, f"restarted after {restarted} s"
    world.runtime.machine(instance).healthy = True
    await back_to_running(world)
    assert await world.instance_id() == instance


async def stuck_start(world: World) -> None:
    """A start that never ends is told, undone and tried again."""
    await sign_up(world)
    await world.wish(power="Stopped")
    await world.until_phase("Stopped")
    usual = world.fly.timings.boot_seconds
    world.fly.timings.boot_seconds = FOREVER
    await world.wish(power="Running")
    await world.until_event("StuckTransition")
    assert await world.has_shown("Stuck")
    world.fly.timings.boot_seconds = usual
    await back_to_running(world)


async def name_taken(world: World) -> None:
    """When somebody else has the app's name, another one is taken, and that is said."""
    world.plan.outage = Fault.BROKEN
    await world.register()
    await world.wish()

    async def decided() -> bool:
        return await world.machine() is not None

    await world.until(decided, "a machine's row")
    machine = await world.machine()
    assert machine is not None
    taken = names.app_name(INSTALLATION, machine.uid)
    world.fly.seed_foreign_app(taken)
    world.plan.outage = None
    await world.until_event("NameTaken")
    await back_to_running(world)
    assert await world.app_name() == f"{taken}-2"
    assert world.fly.apps[taken].org == "somebody-else"


async def outage_of_errors(world: World) -> None:
    """Ten minutes of 500: an incident page, nothing destroyed, and everything as wished after."""
    await _outage(world, Fault.BROKEN)


async def outage_of_silence(world: World) -> None:
    """Ten minutes of timeouts: the same."""
    await _outage(world, Fault.TIMEOUT_BEFORE)


async def _outage(world: World, how: Fault) -> None:
    await world.store.create(Platform(metadata=ObjectMeta(name=PLATFORM)))
    await sign_up(world)
    instance = await world.instance_id()
    world.plan.outage = how
    await world.wish(power="Stopped")

    async def told() -> bool:
        return world.kv.get(INCIDENT) is not None

    async def over() -> bool:
        return world.kv.get(INCIDENT) is None

    await world.until(told, "an incident page")
    await world.pass_time(OUTAGE)
    assert await told()
    assert await world.request() == 200, "a machine that runs is not taken off the air"
    world.plan.outage = None
    await world.until(over, "the page is taken down", within=120)
    await world.until_phase("Stopped")
    await world.wish(power="Running")
    await back_to_running(world)
    assert await world.instance_id() == instance
    assert {"Incident", "IncidentOver"} <= await world.events()


async def page_overwritten(world: World) -> None:
    """An incident page that somebody took down or put up is put right; without a row it goes."""
    await world.store.create(Platform(metadata=ObjectMeta(name=PLATFORM)))
    await sign_up(world)

    async def up() -> bool:
        return world.kv.get(INCIDENT) is not None

    async def down() -> bool:
        return world.kv.get(INCIDENT) is None

    await _set_incident(world, active=True)
    await world.until(up, "the page is up")
    page = world.kv.get(INCIDENT)
    assert page is not None
    world.kv.monkey_delete(INCIDENT)
    await world.until(up, "the page is up again", within=PAGE_WITHIN)
    await _set_incident(world, active=False)
    await world.until(down, "the page is down")
    world.kv.put(INCIDENT, page)
    await world.until(down, "the page is down again", within=PAGE_WITHIN)
    await _set_incident(world, active=True)
    await world.until(up, "the page is up")
    await world.store.delete(Platform, PLATFORM)
    await world.until(down, "the page went with its row")


async def _set_incident(world: World, *, active: bool) -> None:
    while True:
        platform = await world.store.get(Platform, PLATFORM)
        platform.spec.incident.active = active
        try:
            await world.store.update(platform)
        except ConflictError:
            continue
        return


async def slow_birth(world: World) -> None:
    """A new app that answers 404 for a while is waited for, not taken for lost."""
    create_volume = world.fly.create_volume

    def not_visible_yet(app_name: str, body: dict[str, Any]) -> dict[str, Any]:
        app = world.fly.apps[app_name]
        if world.fly.now() < app.created_at + VISIBLE_AFTER:
            app.visible_at = app.created_at + VISIBLE_AFTER
        return create_volume(app_name, body)

    with patch.object(world.fly, "create_volume", not_visible_yet):
        await sign_up(world)
    assert "AppLost" not in await world.events()


async def fickle(world: World) -> None:
    """An owner who changes their mind at every moment gets the last wish, and nothing else."""
    await sign_up(world)
    for number in range(60):
        await world.wish(power=("Stopped", "Running")[number % 2])
        await asyncio.sleep(world.rng.uniform(0.0, 0.3))
    await back_to_running(world)


FAILURES: dict[str, Scenario] = {
    failure.__name__: failure
    for failure in (
        crash_loop,
        restart_in_crash_loop,
        unhealthy,
        stuck_start,
        name_taken,
        page_overwritten,
        slow_birth,
        fickle,
        outage_of_errors,
        outage_of_silence,
    )
}
