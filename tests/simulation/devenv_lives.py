"""Short lives of a dev environment. Each ends with one at rest, or none."""

from __future__ import annotations

from datetime import timedelta

from crds.devenv import DevEnv
from tests.simulation.devenv_world import SITE, DevEnvWorld
from tests.simulation.quarantines import set_state
from tests.simulation.swept import Swept
from tests.simulation.world import World, lived_in

MOMENT = timedelta(seconds=15)
IDLE_MINUTES = 5
ROWS = 100


def here(world: World) -> DevEnvWorld:
    """The world as what it is."""
    assert isinstance(world, DevEnvWorld)
    return world


async def running(world: DevEnvWorld) -> None:
    """Let time pass until everything runs, and its users are told everything."""
    await world.until_phase("Running")
    devenv = await world.devenv()
    assert devenv.status.connection == "Full"
    told, keys = await world.connection(), await world.keys()
    assert told is not None
    assert told.supabase_anon_key == keys.anon_key
    assert (await world.database()).lets_in("postgres", keys.db_password)


async def built(world: DevEnvWorld) -> None:
    """Let time pass until the front end is built with the keys that hold."""

    def deployed(devenv: DevEnv) -> bool:
        return devenv.status.is_true("NetlifyCurrent")

    await world.until_devenv(deployed, "the front end is current")
    keys = await world.keys()
    published = world.team.published(SITE)
    assert published is not None
    assert published.baked["VITE_SUPABASE_ANON_KEY"] == keys.anon_key


@lived_in(DevEnvWorld)
async def devenv_up(world: World) -> None:
    """Six services come up in their order, and the front end is built once."""
    silo = here(world)
    await silo.register()
    await silo.wish()
    await running(silo)
    await built(silo)
    assert len(silo.team.deploys) == 1


@lived_in(DevEnvWorld)
async def devenv_bare(world: World) -> None:
    """The same without a front end: how the other lives begin."""
    silo = here(world)
    await silo.register()
    await silo.wish(netlify=None)
    await running(silo)


@lived_in(DevEnvWorld)
async def devenv_stop_and_start(world: World) -> None:
    """Stopped and started: the same machines, volumes and addresses, and the data kept."""
    silo = here(world)
    await devenv_bare(silo)
    await silo.write("orders", ROWS)
    before = set(silo.fly.machines), set(silo.fly.volumes), addresses(silo)
    await silo.wish(power="Stopped")
    await silo.until_phase("Stopped")
    assert await silo.connection() is None
    assert not silo.fly.running_machines()
    await silo.wish(power="Running")
    await running(silo)
    assert (set(silo.fly.machines), set(silo.fly.volumes), addresses(silo)) == before
    assert (await silo.database()).rows() == {"orders": ROWS}


def addresses(silo: DevEnvWorld) -> set[str]:
    """Every address of every app."""
    return {address.ip for app in silo.fly.apps.values() for address in app.addresses}


@lived_in(DevEnvWorld)
async def devenv_idle_and_wake(world: World) -> None:
    """Nobody uses it: it stops; somebody asks for it: it starts."""
    silo = here(world)
    await silo.register()
    await silo.wish(netlify=None, auto_stop_minutes=IDLE_MINUTES)
    await running(silo)
    await silo.until_phase("Stopped")
    assert (await silo.devenv()).status.stopped_for == "Idle"
    await silo.wish(wake_at=silo.now(), auto_stop_minutes=1440)
    await running(silo)


@lived_in(DevEnvWorld)
async def devenv_killed(world: World) -> None:
    """A service dies: its users are told that it is unsafe, it comes back, and all is well."""
    silo = here(world)
    await devenv_bare(silo)
    for service in ("postgrest", "postgres"):
        await silo.kill(service)
        if silo.plan.calm:
            await silo.until_phase("Degraded")
            assert (await silo.devenv()).status.connection == "Unsafe"
        await silo.pass_time(MOMENT)
        await running(silo)
    silo.watch.killed.clear()


@lived_in(DevEnvWorld)
async def devenv_rotate(world: World) -> None:
    """Other keys: in the database, in every service, at the front end, each once."""
    silo = here(world)
    await devenv_up(silo)
    before = await silo.keys()
    await silo.pass_time(MOMENT)
    await silo.wish(rotate_at=silo.now())
    await running(silo)
    await built(silo)
    after = await silo.keys()
    assert after.anon_key != before.anon_key
    assert after.vault_key == before.vault_key
    assert not (await silo.database()).lets_in("authenticator", before.db_password)
    assert len(silo.team.deploys) == 2
    assert silo.noting.replaced == 1


@lived_in(DevEnvWorld)
async def devenv_rls(world: World) -> None:
    """Off and on again; what somebody changes by hand is told and left."""
    silo = here(world)
    await devenv_bare(silo)
    await silo.write("orders", 1)
    await silo.wish(rls_mode="disabled")
    await applied(silo, "disabled")
    assert (await silo.database()).secured() == {"orders": False}
    await silo.wish(rls_mode="production")
    await applied(silo, "production")
    assert (await silo.database()).secured() == {"orders": True}
    (await silo.database()).open_table("orders")

    def drifted(devenv: DevEnv) -> bool:
        return devenv.status.is_true("RlsDrift")

    await silo.until_devenv(drifted, "drift told", within=900)
    assert (await silo.database()).secured() == {"orders": False}


async def applied(silo: DevEnvWorld, mode: str) -> None:
    """Let time pass until a mode was applied."""

    def holds(devenv: DevEnv) -> bool:
        rls = devenv.status.rls
        return rls is not None and (rls.mode, rls.generation) == (mode, devenv.metadata.generation)

    await silo.until_devenv(holds, mode)
    await running(silo)


@lived_in(DevEnvWorld)
async def devenv_move(world: World) -> None:
    """Another region: every row, every file, every password comes along; the old place goes."""
    silo = here(world)
    await devenv_bare(silo)
    await silo.write("orders", ROWS)
    await silo.write("items", 2 * ROWS)
    await leave_a_file(silo)
    before = addresses(silo)
    await silo.wish(region="ams")
    await moved(silo, "ams")
    assert addresses(silo) == before


async def leave_a_file(silo: DevEnvWorld) -> None:
    """Have Storage keep a file."""
    volume = (await silo.fly_machine("storage")).volume
    assert volume is not None
    silo.devenv_runtime.files[volume] = ["a file"]


async def moved(silo: DevEnvWorld, region: str) -> None:
    """Let time pass until it runs in a region, and nowhere else."""

    def holds(devenv: DevEnv) -> bool:
        return devenv.status.move is None and devenv.status.region == region

    await silo.until_devenv(holds, f"moved to {region}", within=3600)
    await running(silo)
    live = [m for m in silo.fly.machines.values() if m.state != "destroyed"]
    assert {(m.app, m.region) for m in live} == {(m.app, region) for m in live}
    assert len(live) == len({m.app for m in live})
    assert (await silo.database()).rows() == silo.watch.rows
    volume = (await silo.fly_machine("storage")).volume
    assert silo.devenv_runtime.files.get(str(volume)) == ["a file"]
    # Who was left behind goes when all are well.
    assert {v.region for v in silo.fly.volumes.values()} == {region}


@lived_in(DevEnvWorld)
async def devenv_move_given_up(world: World) -> None:
    """Another wish during the copy: it stays where it is, and nothing is lost."""
    silo = here(world)
    await devenv_bare(silo)
    await silo.write("orders", ROWS)
    await leave_a_file(silo)
    await silo.wish(region="ams")
    await until_step(silo, "Copy")
    await silo.wish(region="yyz")
    await moved(silo, "yyz")
    # A later move of the same environment.
    assert (await silo.devenv()).status.moves == 1


async def until_step(silo: DevEnvWorld, *steps: str) -> None:
    """Let time pass until a move is at a step."""

    def holds(devenv: DevEnv) -> bool:
        move = devenv.status.move
        return move is not None and move.step in steps

    await silo.until_devenv(holds, f"step {steps}", within=3600)


@lived_in(DevEnvWorld)
async def devenv_studio(world: World) -> None:
    """The administrators' page goes and comes back."""
    silo = here(world)
    await devenv_bare(silo)
    await silo.wish(studio=False)
    await without_studio(silo)
    await silo.wish(studio=True)
    await running(silo)
    assert "devenv-acme-erp-studio" in silo.fly.apps


async def without_studio(silo: DevEnvWorld) -> None:
    """Let time pass until Studio is gone."""
    await running(silo)
    assert "devenv-acme-erp-studio" not in silo.fly.apps
    told = await silo.connection()
    assert told is not None
    assert told.studio_url is None


@lived_in(DevEnvWorld)
async def devenv_delete_early(world: World) -> None:
    """Deleted while it is being made."""
    silo = here(world)
    await silo.register()
    await silo.wish()

    async def begun() -> bool:
        return len(silo.fly.machines) > 1

    await silo.until(begun, "two machines", every=0.1)
    await silo.delete()
    await silo.until_phase(None)


@lived_in(DevEnvWorld)
async def devenv_quarantined(world: World) -> None:
    """Its account may run nothing: it stops whatever it was doing, and goes on afterwards."""
    silo = here(world)
    await silo.register()
    await silo.wish(netlify=None)

    async def begun() -> bool:
        return len(silo.fly.machines) > 2

    await silo.until(begun, "three machines", every=0.1)
    await set_state(silo, "Quarantined")
    await silo.until_phase("Quarantined")
    await silo.quiesce()
    assert not silo.fly.running_machines()
    assert await silo.connection() is None
    await set_state(silo, "Active")
    await running(silo)


DEVENVS: dict[str, Swept] = {
    "devenv_bare": Swept(devenv_bare, None, 72),
    "devenv_up": Swept(devenv_up, "devenv_bare", 18),
    "devenv_stop_and_start": Swept(devenv_stop_and_start, "devenv_bare", 73),
    "devenv_idle_and_wake": Swept(devenv_idle_and_wake, "devenv_bare", 400),
    "devenv_killed": Swept(devenv_killed, "devenv_bare", 61),
    "devenv_rotate": Swept(devenv_rotate, "devenv_up", 83),
    "devenv_rls": Swept(devenv_rls, "devenv_bare", 50),
    "devenv_move": Swept(devenv_move, "devenv_bare", 84),
    "devenv_move_given_up": Swept(devenv_move_given_up, "devenv_bare", 400),
    "devenv_studio": Swept(devenv_studio, "devenv_bare", 150),
    "devenv_delete_early": Swept(devenv_delete_early, None, 71),
    "devenv_quarantined": Swept(devenv_quarantined, None, 300),
}
