"""Several rows whose machines are in one app: a move, and what is left when one of them goes."""

from __future__ import annotations

import json

import httpx
import pytest

from crds.machine import Machine
from tests.controller.service_scenes import (
    APP,
    Play,
    found,
    keep,
    live,
    play,
    until,
    until_gone,
    wish,
)
from tests.simulation.processes import USER
from tests.simulation.world import World

__all__ = ["play"]


async def _both(here: World) -> None:
    """Two rows, each with a machine and a disk, in one app."""
    await wish(here, "pg", region="iad")
    await until(here, "Running", "pg")
    await wish(here, "pg-2", region="yyz")
    await until(here, "Running", "pg-2")


def test_two_rows_share_an_app(play: Play) -> None:
    """The second one makes a machine of its own, and no second address."""

    async def scene(here: World) -> None:
        await _both(here)

        assert {"iad", "yyz"} == {machine.region for machine in live(here)}
        assert 2 == len({machine.name for machine in live(here)})
        assert ["private_v6"] == [address.type for address in here.fly.apps[APP].addresses]

    play(scene)


def test_one_of_two_goes(play: Play) -> None:
    """Its machine and its disk go with it; the app and what is the other's stay."""

    async def scene(here: World) -> None:
        await _both(here)
        kept = await found(here, "pg-2")
        await until_gone(here, "pg")

        assert kept.status.instance is not None
        assert kept.status.volume is not None
        assert [kept.status.instance.id] == [machine.id for machine in live(here)]
        assert [kept.status.volume.id] == list(here.fly.volumes)
        assert [APP] == list(here.fly.apps)
        await until_gone(here, "pg-2")
        assert [] == list(here.fly.apps)
        assert [] == list(here.fly.volumes)

    play(scene)


def test_both_go_at_once(play: Play) -> None:
    """One of them deletes the app, whichever is through first."""

    async def scene(here: World) -> None:
        await _both(here)
        for name in ("pg", "pg-2"):
            await here.store.delete(Machine, name, USER)

        async def gone() -> bool:
            return not await here.store.rows(Machine)

        await here.until(gone, "both gone")

        assert [] == list(here.fly.apps)
        assert [] == live(here)

    play(scene)


@pytest.mark.parametrize("noun", ["machines", "volumes"])
def test_what_nobody_heard_of_goes_too(play: Play, noun: str) -> None:
    """What a request made whose answer was lost does not stay behind in the app."""

    async def scene(here: World) -> None:
        await wish(here, "pg", region="iad")
        await until(here, "Running", "pg")
        made: list[httpx.Request] = []

        def lose(request: httpx.Request) -> httpx.Response | None:
            if request.method == "POST" and request.url.path.endswith(f"/{noun}"):
                made.append(request)
                return httpx.Response(502, json={"error": "bad gateway"}, request=request)
            return None

        here.plan.interpose = lose
        await wish(here, "pg-2", region="yyz")
        await here.pass_time_seconds(20)
        assert made
        await here.store.delete(Machine, "pg-2", USER)
        await here.pass_time_seconds(20)
        # It arrives late, and now it is there.
        await here.call_fly("POST", f"/apps/{APP}/{noun}", json.loads(made[0].content))

        async def gone() -> bool:
            return await here.store.find(Machine, "pg-2", USER) is None

        await here.until(gone, "gone")

        assert ["iad"] == [machine.region for machine in live(here)]
        assert ["iad"] == [volume.region for volume in here.fly.volumes.values()]

    play(scene)


def test_a_row_without_a_readable_spec_takes_only_what_is_its_own(play: Play) -> None:
    """Whatever an edit by plain SQL did, what is in the app of another row stays."""

    async def scene(here: World) -> None:
        await _both(here)
        await here.store.database.execute(
            """UPDATE objects SET spec = '{"service": {"app": "devenv-acme-shop-pg"}}', """
            "status = '{\"app\": 1}' WHERE name = 'pg'"
        )
        await until_gone(here, "pg")
        kept = await found(here, "pg-2")

        assert kept.status.instance is not None
        assert [kept.status.instance.id] == [machine.id for machine in live(here)]
        assert ["yyz"] == [volume.region for volume in here.fly.volumes.values()]

    play(scene)


def test_both_have_their_secrets(play: Play) -> None:
    """Rows of one app set its secrets each from its own, and neither again and again."""

    async def scene(here: World) -> None:
        set_: list[str] = []

        def listen(request: httpx.Request) -> httpx.Response | None:
            if request.method == "POST" and request.url.path.endswith("/secrets"):
                set_.append(request.url.path)
            return None

        here.plan.interpose = listen
        for name in ("pg", "pg-2"):
            secrets = await keep(here, name=f"machine/{name}/variables", A="x")
            await wish(here, name, service={"secrets": secrets})
            await until(here, "Running", name)
        await here.pass_time_seconds(1800)

        assert 2 == len(set_)
        assert {"A": "x"} == here.fly.apps[APP].secrets

    play(scene)
