"""What does not get better by itself: remedies that grow, and an end to them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from crds.meta import Condition
from tests.simulation.failures import FOREVER
from tests.simulation.monkeys import back_to_running
from tests.simulation.scenarios import Scenario, sign_up
from tests.simulation.world import World

FEW = 6
ROUND_SECONDS = 5
# A little more than the half hour after which what nobody uses goes to sleep.
UNUSED = timedelta(minutes=35)
# The pauses between that few crashes come to five minutes.
USED = timedelta(minutes=10)
IMAGE = "registry.fly.io/counterspell:latest"
BETTER = "registry.example.com/counterspell:better"


def few_crashes(number: int) -> Any:
    """Give up sooner, so that a life does not take days."""
    return patch("controller.machine.power.MOST_CRASHES", number)


async def loop(world: World) -> Condition | None:
    """What the machine says of a loop that was given up."""
    machine = await world.machine()
    return None if machine is None else machine.status.condition("CrashLoop")


async def crash_whenever_it_runs(world: World, *, used: bool) -> None:
    """Have the process die again and again; `used` means that its user keeps asking for it."""
    for _ in range(int((USED if used else UNUSED).total_seconds()) // ROUND_SECONDS):
        if await loop(world) is not None or await world.phase() == "Asleep":
            return
        if world.fly.running_machines():
            await world.crash_machine()
        if used:
            await world.wish(wake_at=world.now())
        await asyncio.sleep(ROUND_SECONDS)
    raise AssertionError("the loop does not end")


async def crash_for_ever(world: World) -> None:
    """A loop ends: stopped, told with its remedy, and tried again when its user wishes so."""
    with few_crashes(FEW):
        await sign_up(world)
        await crash_whenever_it_runs(world, used=True)
        await world.until_condition("CrashLoop")
        await world.until_event("GaveUp")
        told = await loop(world)
        assert told is not None
        assert "restartAt" in told.message
        starts = await world.starts()
        await world.pass_time(timedelta(minutes=20))
        assert await world.starts() == starts
        assert await world.phase() == "Crashed"
        await world.until_entry("alice", "crashed")
        await world.wish(restart_at=world.now())
        await back_to_running(world)
        await world.until_no_condition("CrashLoop")
        await crash_whenever_it_runs(world, used=True)
        await world.wish(wake_at=world.now())
        await back_to_running(world)


async def crash_unused(world: World) -> None:
    """A machine that crashes and that nobody uses goes to sleep like any other."""
    await sign_up(world)
    since = world.now()
    await crash_whenever_it_runs(world, used=False)
    await world.until_phase("Asleep")
    assert world.now() < since + timedelta(minutes=35)
    await world.until_answered()
    await back_to_running(world)


async def never_answers(world: World) -> None:
    """A process that runs and never answers is stopped in the end."""
    with few_crashes(2):
        await sign_up(world)
        inline = world.runtime.machine(await world.instance_id())
        boot = world.runtime.boot

        async def boot_ill(machine: Any) -> None:
            await boot(machine)
            inline.running = False

        with patch.object(world.runtime, "boot", boot_ill):
            inline.running = False
            await world.until_condition("CrashLoop", within=3600)
            await world.pass_time(timedelta(minutes=1))
            assert not world.fly.running_machines()
        await world.wish(image=BETTER)
        await back_to_running(world)


async def broken_image(world: World) -> None:
    """What fails to start is replaced, not nudged, and with the image that is wished then."""
    world.fly.broken_images.add(IMAGE)
    await world.register()
    await world.wish()
    await world.until_event("Replaced")
    volume = await world.volume_id()
    await world.wish(image=BETTER)
    await back_to_running(world)
    assert await world.volume_id() == volume


async def stuck_for_good(world: World) -> None:
    """A machine that stays stuck after three nudges is replaced, on its volume."""
    await sign_up(world)
    volume, instance = await world.volume_id(), await world.instance_id()
    await world.wish(power="Stopped")
    await world.until_phase("Stopped")
    usual = world.fly.timings.boot_seconds
    world.fly.timings.boot_seconds = FOREVER
    await world.wish(power="Running", wake_at=world.now() + timedelta(minutes=30))
    await world.until_event("Replaced", within=3600)
    world.fly.timings.boot_seconds = usual
    await back_to_running(world)
    assert await world.volume_id() == volume
    assert await world.instance_id() != instance
    await world.until_no_condition("Stuck")


LOST_CAUSES: dict[str, Scenario] = {
    cause.__name__: cause
    for cause in (crash_for_ever, crash_unused, never_answers, broken_image, stuck_for_good)
}
