"""Lives of a dev environment whose database is a real PostgreSQL."""

from __future__ import annotations

from tests.simulation.devenv_lives import (
    MOMENT,
    devenv_bare,
    devenv_rls,
    devenv_stop_and_start,
    here,
    leave_a_file,
    moved,
    running,
    until_step,
)
from tests.simulation.devenv_real import RealDevEnvWorld, RealDisk
from tests.simulation.devenv_troubles import kill_copy
from tests.simulation.devenv_world import DevEnvWorld
from tests.simulation.scenarios import Scenario
from tests.simulation.world import World, lived_in

MANY = 10_000


async def real(silo: DevEnvWorld) -> RealDisk:
    """The environment's own database."""
    disk = await silo.database()
    assert isinstance(disk, RealDisk)
    return disk


@lived_in(RealDevEnvWorld)
async def devenv_real_move(world: World) -> None:
    """Ten thousand rows move, with sequences, policies and roles; a killed copy is made again."""
    silo = here(world)
    await devenv_bare(silo)
    await silo.write("orders", MANY)
    (await real(silo)).sql("create role developer login password 'their-own' in role authenticated")
    before = (await real(silo)).kept()
    await leave_a_file(silo)
    await silo.pass_time(MOMENT)
    await silo.wish(region="ams")
    await until_step(silo, "Copy")
    await silo.wish(rotate_at=silo.now())
    await kill_copy(silo)
    await moved(silo, "ams")
    assert (await real(silo)).kept() == before


@lived_in(RealDevEnvWorld)
async def devenv_real_rotate(world: World) -> None:
    """Stopped and killed in between, other keys hold in the database, and its rows are there."""
    silo = here(world)
    await devenv_stop_and_start(silo)
    before = await silo.keys()
    await silo.wish(rotate_at=silo.now())
    await running(silo)
    await silo.kill("postgres")
    await silo.pass_time(MOMENT)
    await running(silo)
    silo.watch.killed.clear()
    assert not (await real(silo)).lets_in("authenticator", before.db_password)
    assert (await real(silo)).rows() == silo.watch.rows


@lived_in(RealDevEnvWorld)
async def devenv_real_rls(world: World) -> None:
    """The modes of row-level security on real tables."""
    await devenv_rls(world)


REAL: dict[str, Scenario] = {
    life.__name__: life for life in (devenv_real_move, devenv_real_rotate, devenv_real_rls)
}
