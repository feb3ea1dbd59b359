"""Short lives. Each ends with a running or absent workspace and leaves nothing to chance."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from tests.simulation.world import World

Scenario = Callable[[World], Awaitable[None]]

OK = 200
# A look over the organisation, and what it leads to.
MOMENT = timedelta(seconds=15)
# Long enough for a watcher's poll, and for whatever would follow from it.
HARM = timedelta(seconds=75)
BIG = {"cpu_kind": "shared", "cpus": 2, "memory_mb": 2048}


async def sign_up(world: World) -> None:
    """A user signs up and has a machine at their subdomain."""
    await world.register()
    await world.wish()
    await world.until_phase("Running")
    await world.until_answered()


async def sleep_and_wake(world: World) -> None:
    """Idle for half an hour, asleep; a request wakes it, and that is not drift."""
    await sign_up(world)
    await world.pass_time(timedelta(minutes=30))
    await world.until_phase("Asleep")
    await world.until_answered()
    await world.until_phase("Running")


async def stop_and_start(world: World) -> None:
    """The owner stops and starts it."""
    await sign_up(world)
    await world.wish(power="Stopped")
    await world.until_phase("Stopped")
    await world.wish(power="Running")
    await world.until_phase("Running")


async def resize(world: World) -> None:
    """Another size and image in place, the volume kept."""
    await sign_up(world)
    before = await world.volume_id()
    await world.wish(size=BIG, image="registry.example.com/counterspell:2")
    await world.until_phase("Running")
    assert await world.volume_id() == before
    assert world.fly_config()["guest"] == BIG
    assert world.fly_config()["image"] == "registry.example.com/counterspell:2"


async def rename(world: World) -> None:
    """Another name; the old one redirects."""
    await sign_up(world)
    await world.wish(subdomain="alicia")
    await world.until_phase("Running")
    await world.until_entry("alice", "redirect")


async def crash(world: World) -> None:
    """The process dies by itself and is restarted with backoff."""
    await sign_up(world)
    await world.crash_machine()
    await world.until_restarts(1)
    await world.until_phase("Running")


async def move(world: World) -> None:
    """Another region is refused until recreation is asked for; then it begins anew there."""
    await sign_up(world)
    before = await world.volume_id()
    await world.wish(region="fra")
    await world.until_condition("RegionRefused")
    assert await world.volume_id() == before
    await world.wish(recreate="OnRegionChange")
    await world.until_region("fra")
    await world.until_phase("Running")
    await world.until_answered()


async def restart(world: World) -> None:
    """A process older than the wish is restarted once; what is stopped, or starts later, is not."""
    await sign_up(world)
    instance = await world.instance_id()
    await world.pass_time(MOMENT)
    await world.wish(restart_at=world.now())
    await world.until_starts(2)
    await world.until_phase("Running")
    await world.until_answered()
    await world.wish(power="Stopped")
    await world.until_phase("Stopped")
    await world.wish(restart_at=world.now() + timedelta(seconds=1))
    await world.pass_time(MOMENT)
    await world.until_phase("Stopped")
    assert await world.starts() == 2
    await world.wish(power="Running")
    await world.until_phase("Running")
    await world.pass_time(HARM)
    assert (await world.starts(), await world.instance_id()) == (3, instance)


async def delete_early(world: World) -> None:
    """Deleted while it is still being made."""
    await world.register()
    await world.wish()
    await world.until_app()
    await world.delete()
    await world.until_phase(None)


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        sign_up,
        sleep_and_wake,
        stop_and_start,
        resize,
        rename,
        crash,
        move,
        restart,
        delete_early,
    )
}
