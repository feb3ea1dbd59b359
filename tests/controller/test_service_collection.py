"""What services leave behind outside, and what the collector makes of it."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from controller.machine import names
from controller.orphans import Evidence, Thing, app_thing
from controller.providers.fly import App
from crds.annotations import FORCE_DELETE, PAUSED
from crds.connection import connection_name, keys_name, variables_name
from crds.devenv import DevEnv, DevEnvSpec
from crds.machine import Machine
from crds.meta import Key, ObjectMeta
from crds.store.tombstones import Tombstone
from tests.controller.service_scenes import (
    APP,
    DEVENV,
    NETWORK,
    Play,
    live,
    play,
    until,
    until_gone,
    wish,
)
from tests.simulation.monkeys import COLLECTED_WITHIN, NOT_BEFORE
from tests.simulation.processes import INSTALLATION, USER
from tests.simulation.world import World

__all__ = ["play"]

PG, GONE = UUID(int=1), UUID(int=2)


def _thing(name: str = APP, network: str = NETWORK) -> Thing | None:
    return app_thing(INSTALLATION, App(name=name, network=network))


def test_an_app_is_ours_by_its_name_or_by_its_network() -> None:
    """A name of ours says whose it is; a wished name says nothing, its network does."""
    own = names.app_name(INSTALLATION, PG)

    assert Thing("app", own, own, PG) == _thing(own, own)
    assert Thing("app", APP, APP, DEVENV, DEVENV) == _thing()
    assert _thing(network="default") is None
    assert _thing(network="") is None
    assert _thing(network=f"inv-other-{names.encode_uid(DEVENV)}") is None


def _evidence(
    *, app: str | None = APP, devenvs: frozenset[UUID] = frozenset({DEVENV}), kind: str = "DevEnv"
) -> Evidence:
    row = {"app": None, "wished": app, "volume": "vol_1", "machine": "m_1", "intent": None}
    stone = Tombstone(
        DEVENV,
        Key(kind, USER, "shop"),
        "Deleted",
        False,
        {},
        None,  # type: ignore[arg-type]  # nobody asks when
        None,
    )
    return Evidence(
        rows={PG: row},
        routes={},
        paused=frozenset(),
        devenvs=devenvs,
        tombstones={} if DEVENV in devenvs else {DEVENV: stone},
    )


@pytest.mark.parametrize(
    ("thing", "evidence", "unwanted"),
    [
        (_thing(), _evidence(), False),
        (_thing(), _evidence(devenvs=frozenset()), False),
        (_thing(), _evidence(devenvs=frozenset(), app="another"), True),
        # Somebody put an app of theirs on a machine's network.
        (_thing(), _evidence(devenvs=frozenset(), app="another", kind="Machine"), False),
        (Thing("volume", APP, "vol_1", PG, DEVENV), _evidence(), False),
        (Thing("volume", APP, "vol_2", PG, DEVENV), _evidence(), True),
        (Thing("volume", APP, "vol_3", GONE, DEVENV), _evidence(), True),
        (Thing("machine", APP, "m_3", GONE, DEVENV), _evidence(), True),
        # It goes with the app.
        (Thing("machine", APP, "m_3", GONE, DEVENV), _evidence(devenvs=frozenset()), False),
        (Thing("machine", "own", "m_3", GONE), _evidence(), False),
    ],
)
def test_unwanted_in_shared_apps(thing: Thing, evidence: Evidence, unwanted: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """What rows want stays; what no row wants goes, in an app that stays."""
    assert unwanted == bool(list(evidence.orphans([thing])))


@pytest.mark.parametrize("paused", [DEVENV, GONE])
def test_a_pause_covers_what_is_in_the_app(paused: UUID) -> None:
    """Whoever pauses the environment or the machine keeps the collector off."""
    evidence = Evidence(rows={}, routes={}, paused=frozenset({paused}), devenvs=frozenset({DEVENV}))

    assert [] == list(evidence.orphans([Thing("machine", APP, "m_3", GONE, DEVENV)]))


async def _devenv(here: World) -> str:
    """A dev environment that makes nothing by itself; returns its apps' network."""
    spec = DevEnvSpec(client="acme", app="shop", enabled=False)
    meta = ObjectMeta(name="shop", namespace=USER)
    made = await here.store.create(DevEnv(metadata=meta, spec=spec))
    return f"inv-{INSTALLATION}-{names.encode_uid(made.uid)}"


async def _leave(here: World, uid: UUID, name: str) -> None:
    """What a late request of a row that is gone makes in the app."""
    volume = {"name": names.volume_name(uid), "region": "iad", "size_gb": 1}
    await here.call_fly("POST", f"/apps/{APP}/volumes", volume)
    config = {"image": "x", "metadata": names.marks(INSTALLATION, uid, USER, name)}
    machine = {"name": names.shared_instance_name(uid), "region": "iad", "config": config}
    await here.call_fly("POST", f"/apps/{APP}/machines", machine)


def test_leftovers_in_an_app_that_stays(play: Play) -> None:
    """A row's late machine and disk go after the grace; the app and its other machine stay."""

    async def scene(here: World) -> None:
        network = await _devenv(here)
        for name in ("pg", "pg-2"):
            await wish(here, name, service={"network": network})
            await until(here, "Running", name)
        gone = (await here.store.get(Machine, "pg-2", USER)).uid
        await until_gone(here, "pg-2")
        await _leave(here, gone, "pg-2")

        async def collected() -> bool:
            return 1 == len(live(here)) == len(here.fly.volumes)

        await here.pass_time(NOT_BEFORE - timedelta(seconds=1))
        assert not await collected()
        await here.until(collected, "collected", within=3 * COLLECTED_WITHIN.total_seconds())
        assert [APP] == list(here.fly.apps)
        await until(here, "Running", "pg")

    play(scene)


def test_what_was_never_known_stays_in_a_shared_app(play: Play) -> None:
    """What no row and no tombstone tells of may be another database's."""

    async def scene(here: World) -> None:
        await wish(here, service={"network": await _devenv(here)})
        await until(here, "Running")
        await _leave(here, uuid4(), "pg-9")
        await here.pass_time(3 * COLLECTED_WITHIN)

        assert 2 == len(live(here)) == len(here.fly.volumes)

    play(scene)


async def _late_app(here: World, network: str) -> None:
    body = {"app_name": APP, "org_slug": here.fly.org, "network": network}
    await here.call_fly("POST", "/apps", body)


def test_an_app_of_a_gone_environment(play: Play) -> None:
    """It goes after the grace, unless somebody has another one by the same name meanwhile."""

    async def scene(here: World) -> None:
        network = await _devenv(here)
        await here.store.delete(DevEnv, "shop", USER)
        await _late_app(here, network)

        async def collected() -> bool:
            return not here.fly.apps

        await here.pass_time(NOT_BEFORE - timedelta(seconds=1))
        assert not await collected()
        await here.until(collected, "collected", within=COLLECTED_WITHIN.total_seconds())

    play(scene)


def test_an_app_of_an_unknown_environment_stays(play: Play) -> None:
    """The tombstone is missing: it may be another database's."""

    async def scene(here: World) -> None:
        await _late_app(here, NETWORK)
        await here.pass_time(3 * COLLECTED_WITHIN)

        assert [APP] == list(here.fly.apps)

    play(scene)


def test_a_paused_environment_keeps_its_app(play: Play) -> None:
    """Nothing is collected in or of a paused environment's app."""

    async def scene(here: World) -> None:
        network = await _devenv(here)
        await wish(here, "pg", service={"network": network})
        await until(here, "Running", "pg")
        await here.store.database.execute(
            "UPDATE objects SET annotations = jsonb_build_object(%s::text, 'true') "
            "WHERE kind = 'DevEnv'",
            PAUSED,
        )
        gone = uuid4()
        await here.store.database.execute(
            "INSERT INTO tombstones (uid, kind, namespace, name, reason) "
            "VALUES (%s, 'Machine', %s, 'pg-2', 'Deleted')",
            gone,
            USER,
        )
        await _leave(here, gone, "pg-2")
        await here.pass_time(3 * COLLECTED_WITHIN)

        assert 2 == len(live(here))

    play(scene)


def test_secrets_of_a_forced_environment_go(play: Play) -> None:
    """Nothing that it was told is left, and the next one of its name has other keys."""

    async def scene(here: World) -> None:
        network = await _devenv(here)
        for name in (keys_name("shop"), connection_name("shop"), variables_name("shop-pg")):
            await here.secrets.put(USER, name, b"hunter2")
        await wish(here, "shop-pg", service={"network": network})
        await until(here, "Running", "shop-pg")
        for kind, name in ((DevEnv, "shop"), (Machine, "shop-pg")):
            await _force(here, kind, name)
        await here.pass_time(timedelta(hours=2))

        assert [] == await here.store.database.fetch("SELECT name FROM secrets")

    play(scene)


async def _force(here: World, kind: type[DevEnv | Machine], name: str) -> None:
    """Let a row go whatever is left of it outside."""
    row = await here.store.get(kind, name, USER)
    row.metadata.annotations[FORCE_DELETE] = "no patience"
    await here.store.update(row)
    await here.store.delete(kind, name, USER)
