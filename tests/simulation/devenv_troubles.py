"""Lives of a dev environment with trouble of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from unittest.mock import patch

from crds.devenv import SUFFIXES, DevEnv
from crds.machine import Machine
from tests.simulation.devenv_disks import ModelDisk
from tests.simulation.devenv_lives import (
    MOMENT,
    ROWS,
    devenv_bare,
    here,
    leave_a_file,
    moved,
    running,
    until_step,
)
from tests.simulation.devenv_watchman import NAME
from tests.simulation.devenv_world import DevEnvWorld
from tests.simulation.processes import USER
from tests.simulation.quarantines import edit, set_state, until_stopped
from tests.simulation.scenarios import Scenario
from tests.simulation.world import World, lived_in

# Two calls a minute for five minutes, and what begins and ends them.
MOST_COMMANDS = 15


@lived_in(DevEnvWorld)
async def devenv_move_stopped(world: World) -> None:
    """Stopped and started again at a step at which the new database takes over."""
    silo = here(world)
    await devenv_bare(silo)
    await silo.write("orders", ROWS)
    await leave_a_file(silo)
    await silo.wish(region="ams")
    await until_step(silo, "Copy")
    await stop_and_start(silo)
    await until_switching(silo)
    await stop_and_start(silo)
    await moved(silo, "ams")


async def stop_and_start(silo: DevEnvWorld) -> None:
    """Stop it and start it again."""
    await silo.wish(power="Stopped")
    await silo.until_phase("Stopped")
    await silo.wish(power="Running")


async def until_switching(silo: DevEnvWorld) -> None:
    """Let time pass until the new database was told to take over, or just about."""

    async def holds() -> bool:
        move = (await silo.devenv()).status.move
        return move is None or move.step in ("Switch", "Remove")

    await silo.until(holds, "the switch", within=3600, every=0.05)


@lived_in(DevEnvWorld)
async def devenv_move_written(world: World) -> None:
    """Somebody writes to the old database during the copy, which is made once more."""
    silo = here(world)
    await devenv_bare(silo)
    await silo.write("orders", ROWS)
    await leave_a_file(silo)
    await silo.wish(region="ams")
    await until_step(silo, "Copy")
    await silo.pass_time_seconds(1)
    if (await silo.devenv()).status.services[0].machine == f"{NAME}-pg":
        await silo.write("orders", 1)
    await moved(silo, "ams")


@lived_in(DevEnvWorld)
async def devenv_move_rotated(world: World) -> None:
    """Other keys during the copy, which is broken off too."""
    silo = here(world)
    await devenv_bare(silo)
    await silo.write("orders", ROWS)
    await leave_a_file(silo)
    await silo.pass_time(MOMENT)
    await silo.wish(region="ams")
    await until_step(silo, "Copy")
    await silo.wish(rotate_at=silo.now())
    await kill_copy(silo)
    await moved(silo, "ams")
    assert silo.noting.replaced == 1


async def kill_copy(silo: DevEnvWorld) -> None:
    """Let the new database die, and the copy with it."""
    row = await silo.store.find(Machine, f"{NAME}-pg-2", USER)
    if row is not None and row.status.instance is not None:
        silo.devenv_runtime.crash(row.status.instance.id, 137)


@lived_in(DevEnvWorld)
async def devenv_copy_fails(world: World) -> None:
    """A copy that fails is told, and not begun anew at once, nor given up."""
    silo = here(world)
    await devenv_bare(silo)
    await silo.write("orders", ROWS)
    await leave_a_file(silo)
    with patch.object(ModelDisk, "lets_in", lambda *_: False):
        await silo.wish(region="ams")
        await silo.until_devenv(copy_failed, "a failed copy told")
        begun = len(silo.devenv_runtime.commands)
        await silo.pass_time(timedelta(minutes=5))
        # Progress is asked for, and the copy begun, once a minute each.
        assert len(silo.devenv_runtime.commands) - begun < MOST_COMMANDS
        assert "acme-erp-pg" in [s.machine for s in (await silo.devenv()).status.services]
    await moved(silo, "ams")


def copy_failed(devenv: DevEnv) -> bool:
    """Whether it tells of a copy that failed."""
    told = devenv.status.condition("Moving")
    return told is not None and told.reason == "CopyFailed"


@lived_in(DevEnvWorld)
async def devenv_quarantined_and_blocked(world: World) -> None:
    """What is blocked, or broken by SQL, stops with its account all the same."""
    silo = here(world)
    await devenv_bare(silo)
    await silo.wish(client="other")
    await silo.pass_time(timedelta(minutes=1))
    await quarantine_and_back(silo, lambda: silo.wish(client="acme"))
    await edit(silo, "Machine", port=0)
    await quarantine_and_back(silo)
    await edit(silo, "DevEnv", volumeGb=0)
    await quarantine_and_back(silo, lambda: edit(silo, "DevEnv", volumeGb=40))


async def quarantine_and_back(
    silo: DevEnvWorld, repair: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Stop it by its account, and let it run again."""
    await set_state(silo, "Quarantined")
    await until_stopped(silo)
    assert await silo.connection() is None
    if repair is not None:
        await repair()
    await set_state(silo, "Active")
    await running(silo)


@lived_in(DevEnvWorld)
async def devenv_database_lost(world: World) -> None:
    """The database's volume is deleted behind our back: another one gets roles and keys."""
    silo = here(world)
    await devenv_bare(silo)
    machine = await silo.fly_machine("postgres")
    assert machine.volume is not None
    silo.watch.killed.add("postgres")
    await silo.fly.monkey_destroy(machine.id)
    silo.fly.monkey_delete_volume(machine.volume)
    await silo.until_event("VolumeLost", within=3600)
    await running(silo)
    silo.watch.killed.clear()


@lived_in(DevEnvWorld)
async def devenv_restart_later(world: World) -> None:
    """A restart that is wished for a moment to come: once, in order, and not before."""
    silo = here(world)
    await devenv_bare(silo)
    at = silo.now() + timedelta(minutes=3)
    await silo.wish(restart_at=at)
    await silo.pass_time(timedelta(minutes=2))
    assert await silo.phase() == "Running"

    async def restarted() -> bool:
        machines = silo.fly.running_machines()
        ready = await silo.phase() == "Running" and len(machines) == len(SUFFIXES)
        return ready and all(m.started_at >= at.timestamp() for m in machines)

    await silo.until(restarted, "all restarted", within=600)
    await running(silo)


@lived_in(DevEnvWorld)
async def devenv_status_lost(world: World) -> None:
    """Its status is lost after a move: what is there is found again, and moves once more."""
    silo = here(world)
    await devenv_bare(silo)
    await silo.write("orders", ROWS)
    await leave_a_file(silo)
    await silo.wish(region="ams")
    await moved(silo, "ams")
    await lose_status(silo)
    await silo.wish(power="Stopped")
    await silo.until_phase("Stopped")
    assert await silo.connection() is None
    silo.watch.lost = False
    await silo.wish(power="Running")
    await running(silo)
    assert (await silo.database()).rows() == silo.watch.rows
    await silo.wish(region="yyz")
    await moved(silo, "yyz")


async def lose_status(silo: DevEnvWorld) -> None:
    """Forget what is known of the environment, as a bad restore does."""
    silo.watch.lost = True
    await silo.store.database.execute("UPDATE objects SET status = '{}' WHERE kind = 'DevEnv'")


@lived_in(DevEnvWorld)
async def devenv_region_early(world: World) -> None:
    """Another region is wished for while it is being made: it ends there, with all that it has."""
    silo = here(world)
    await silo.register()
    await silo.wish(netlify=None)

    async def begun() -> bool:
        return bool(silo.fly.volumes)

    await silo.until(begun, "a volume", every=0.05)
    await silo.wish(region="ams")
    await silo.until_devenv(lambda d: d.status.region == "ams", "in ams", within=3600)
    await running(silo)
    assert {volume.region for volume in silo.fly.volumes.values()} == {"ams"}


TROUBLED: dict[str, Scenario] = {
    life.__name__: life
    for life in (
        devenv_move_stopped,
        devenv_move_written,
        devenv_move_rotated,
        devenv_copy_fails,
        devenv_quarantined_and_blocked,
        devenv_database_lost,
        devenv_restart_later,
        devenv_status_lost,
        devenv_region_early,
    )
}
