"""Services that shall be stopped while something stands in their way."""

from __future__ import annotations

from crds.machine import SecretRef
from tests.controller.service_scenes import APP, SECRET, Play, live, play, until, wish
from tests.simulation.processes import USER
from tests.simulation.world import World

__all__ = ["play"]


def test_blocked_service_of_which_nothing_was_made_rests(play: Play) -> None:
    """Whose name is taken counts as stopped when that is the wish, and takes up its wish again."""

    async def scene(here: World) -> None:
        here.fly.seed_foreign_app(APP, here.fly.org)
        await wish(here)
        await here.pass_time_seconds(60)
        await wish(here, power="Stopped")
        row = await until(here, "Stopped")

        assert row.status.is_true("Ready")
        assert row.status.retry is None
        del here.fly.apps[APP]
        await wish(here, power="Running")
        await until(here, "Running")

    play(scene)


def test_nothing_is_made_of_what_shall_be_stopped(play: Play) -> None:
    """A row that begins as stopped has no app before somebody wishes it to run."""

    async def scene(here: World) -> None:
        await wish(here, power="Stopped")
        await until(here, "Stopped")

        assert not here.fly.apps

    play(scene)


def test_secrets_that_are_missing_do_not_keep_it_running(play: Play) -> None:
    """It is stopped first; a start waits for its variables."""

    async def scene(here: World) -> None:
        await wish(here)
        await until(here, "Running")
        await here.secrets.delete(USER, SECRET)
        missing = SecretRef(name=SECRET, fingerprint="other")
        await wish(here, power="Stopped", service={"secrets": missing})
        await until(here, "Stopped")

        assert ["stopped"] == [machine.state for machine in live(here)]
        await wish(here, power="Running")
        await here.pass_time_seconds(120)
        assert ["stopped"] == [machine.state for machine in live(here)]

    play(scene)
