"""Whether a dev environment is up: by its use, and by nothing that stands in the way of knowing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from unittest.mock import AsyncMock, patch

import httpx
import pytest

from controller.devenv import move, power
from controller.devenv.move import Progress
from controller.devenv.power import EVIDENCE_AGE, LONGEST_START
from crds.account import Account
from crds.devenv import DevEnv, Service
from crds.store import Heartbeats
from deploy.local.simulators.fly.state import Machine as FlyMachine
from tests.simulation.devenv_world import DevEnvWorld
from tests.simulation.processes import USER
from tests.simulation.sweep import quiet
from tests.simulation.world import world
from tests.support.virtual_time import run

Scene = Callable[[DevEnvWorld], Awaitable[None]]
Play = Callable[[Scene], None]

pytestmark = pytest.mark.slow  # hours of virtual time of six services

IDLE: Final = timedelta(minutes=30)
HOUR: Final = timedelta(hours=1)


@pytest.fixture
def play(database_url: str) -> Play:
    """Runs a scene in a world of its own, on virtual time, in which a client has signed up."""
    quiet()

    def runner(scene: Scene) -> None:
        async def main() -> None:
            async with world(database_url, kind=DevEnvWorld) as made:
                here = cast("DevEnvWorld", made)
                await here.register()
                await scene(here)

        run(main, limit_seconds=100_000)

    return runner


@contextmanager
def _no_metrics(here: DevEnvWorld) -> Iterator[None]:
    """The provider's metrics are not to be had for a while."""

    def refuse(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(503) if "/prometheus/" in request.url.path else None

    with patch.object(here.plan, "interpose", refuse):
        yield


def _never_well(here: DevEnvWorld, service: Service) -> None:
    """From its next start on a service does not pass its checks."""
    passing, app = here.devenv_runtime.check, f"devenv-acme-erp-{service}"

    async def ill(machine: FlyMachine, asked: dict[str, Any]) -> tuple[bool, str]:
        return (False, "ill") if machine.app == app else await passing(machine, asked)

    here.devenv_runtime.check = ill  # type: ignore[method-assign, assignment]  # for this test


def _started(here: DevEnvWorld) -> list[str]:
    return sorted(machine.app for machine in here.fly.running_machines())


def test_nobody_uses_it(play: Play) -> None:
    """It is stopped when its minutes are over, and a wish brings it back."""

    async def scene(here: DevEnvWorld) -> None:
        await here.wish(auto_stop_minutes=30)
        await here.until_phase("Running")
        await here.pass_time(IDLE + timedelta(minutes=5))
        assert "Idle" == (await here.devenv()).status.stopped_for
        await here.wish(wake_at=here.now())
        await here.until_phase("Running")

    play(scene)


def test_metrics_that_tell_nothing_stop_nothing(play: Play) -> None:
    """Whether anybody uses it is not known without them: it is kept up, and that is told once."""

    async def scene(here: DevEnvWorld) -> None:
        await here.wish(auto_stop_minutes=30)
        await here.until_phase("Running")
        with _no_metrics(here):
            await here.pass_time(IDLE + 2 * EVIDENCE_AGE)
            before = (await here.devenv()).status.idle_at
            await here.pass_time(timedelta(minutes=5))
            devenv = await here.devenv()
        await here.until_phase("Stopped")

        assert "Running" == devenv.status.phase
        assert devenv.status.is_true("IdleUnknown")
        assert before == devenv.status.idle_at
        assert not (await here.devenv()).status.is_true("IdleUnknown")

    play(scene)


def test_gateway_that_is_away_does_not_keep_it_up(play: Play) -> None:
    """What the metrics tell of the other services is evidence enough."""

    async def scene(here: DevEnvWorld) -> None:
        await here.wish(auto_stop_minutes=30)
        await here.until_phase("Running")
        _never_well(here, "kong")
        await here.kill("kong")
        await here.until_phase("Degraded")
        await here.pass_time(2 * HOUR)

        assert "Stopped" == (await here.devenv()).status.phase
        assert [] == _started(here)

    play(scene)


def test_start_that_comes_to_nothing_ends(play: Play) -> None:
    """What never becomes well does not run, and cost, for ever."""

    async def scene(here: DevEnvWorld) -> None:
        _never_well(here, "studio")
        await here.wish(auto_stop_minutes=30)
        await here.pass_time(LONGEST_START + timedelta(minutes=10))

        assert "Stopped" == (await here.devenv()).status.phase
        assert [] == _started(here)
        assert "DidNotComeUp" in await here.events()

    play(scene)


def test_minutes_that_end_while_it_starts_again_are_no_busy_loop(play: Play) -> None:
    """A moment that has passed is not waited for: the loop ends in virtual time, or never."""

    async def scene(here: DevEnvWorld) -> None:
        await here.wish(auto_stop_minutes=30)
        await here.until_phase("Running")
        await here.pass_time(IDLE - timedelta(minutes=1))
        _never_well(here, "studio")
        await here.wish(images={"studio": "supabase/studio:another"})
        await here.pass_time(timedelta(minutes=3))

        devenv = await here.devenv()
        assert "Starting" == devenv.status.phase
        assert devenv.status.idle_at is not None
        assert devenv.status.idle_at > here.now()

    play(scene)


def test_wake_while_it_is_found_idle_is_heeded(play: Play) -> None:
    """A wish that comes between the look and the decision is not overlooked."""

    async def scene(here: DevEnvWorld) -> None:
        await here.wish(auto_stop_minutes=30)
        await here.until_phase("Running")
        found, woken = Heartbeats.get, list[datetime]()

        async def get(beats: Heartbeats, uids: list[object]) -> object:
            idle_at = (await here.devenv()).status.idle_at
            if not woken and idle_at is not None and here.now() >= idle_at:
                woken.append(here.now())
                await here.wish(wake_at=woken[0])
            return await found(beats, uids)  # type: ignore[arg-type]  # uids of machines

        with patch.object(Heartbeats, "get", get):
            await here.pass_time(IDLE + timedelta(minutes=10))
        assert 1 == len(woken)
        assert "Running" == (await here.devenv()).status.phase

    play(scene)


def test_wake_for_the_end_of_time(play: Play) -> None:
    """Whoever asks for a day to come has it kept up, and no moment is too large."""

    async def scene(here: DevEnvWorld) -> None:
        last = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
        await here.wish(auto_stop_minutes=30, wake_at=last)
        await here.until_phase("Running")
        await here.pass_time(HOUR)
        devenv = await here.devenv()

        assert ("Running", None) == (devenv.status.phase, devenv.status.retry)

    play(scene)


@pytest.mark.parametrize("state", ["Suspended", "Quarantined"])
def test_nothing_holds_up_the_stop_of_who_may_not_run(play: Play, state: str) -> None:
    """A service that cannot be stopped, or was never made, keeps no other one running."""

    async def scene(here: DevEnvWorld) -> None:
        here.fly.seed_foreign_app("devenv-acme-erp-studio")
        await here.wish()
        await here.pass_time(timedelta(minutes=3))
        here.fly.set_host_status((await here.fly_machine("storage")).id)
        account = await here.store.get(Account, USER)
        account.spec = account.spec.model_copy(update={"state": state})
        await here.store.update(account)
        await here.pass_time(timedelta(minutes=3))

        assert ["devenv-acme-erp-storage"] == _started(here)
        here.fly.set_host_status((await here.fly_machine("storage")).id, "ok")
        await here.pass_time(timedelta(minutes=5))
        assert [] == _started(here)

    play(scene)


def test_service_that_does_not_stop_holds_up_the_others_for_minutes_only(play: Play) -> None:
    """Order is worth a while, not for ever."""

    async def scene(here: DevEnvWorld) -> None:
        await here.wish()
        await here.until_phase("Running")
        here.fly.set_host_status((await here.fly_machine("storage")).id)
        await here.wish(power="Stopped")
        await here.pass_time(timedelta(minutes=20))

        assert ["devenv-acme-erp-storage"] == _started(here)
        found = await here.store.get(DevEnv, "acme-erp", USER)
        assert "Stopping" == found.status.phase

    play(scene)


def test_move_after_which_it_does_not_come_up_ends_too(play: Play) -> None:
    """Its data has moved: what does not become well there does not run for ever, and can go on."""

    async def scene(here: DevEnvWorld) -> None:
        await here.wish(auto_stop_minutes=30)
        await here.until_phase("Running")
        passing = here.devenv_runtime.check
        _never_well(here, "studio")
        await here.wish(region="ams")
        await here.pass_time(2 * HOUR)
        assert "Stopped" == (await here.devenv()).status.phase
        assert [] == _started(here)
        here.devenv_runtime.check = passing  # type: ignore[method-assign]  # as it was
        await here.wish(wake_at=here.now())
        await here.until_phase("Running")
        moved = await here.devenv()

        assert ("ams", None) == (moved.status.region, moved.status.move)

    play(scene)


def test_move_that_never_ends_is_put_off(play: Play) -> None:
    """A copy that fails and fails does not keep two databases running; nothing of it is lost."""

    async def scene(here: DevEnvWorld) -> None:
        await here.wish(auto_stop_minutes=30)
        await here.until_phase("Running")
        failed = Progress("Failed", "no space left on device")
        with (
            patch.object(move, "progress", AsyncMock(return_value=failed)),
            patch.object(power, "LONGEST_MOVE", 2 * HOUR),
        ):
            await here.wish(region="ams")
            await here.pass_time(HOUR)
            moving = await here.devenv()
            await here.pass_time(2 * HOUR)
            put_off = await here.devenv()
            started = _started(here)
        await here.wish(wake_at=here.now())
        await here.until_phase("Running")
        moved = await here.devenv()

        assert ("Moving", "Stopped") == (moving.status.phase, put_off.status.phase)
        assert [] == started
        assert ("ams", None) == (moved.status.region, moved.status.move)

    play(scene)


@pytest.mark.parametrize("asleep", [True, False])
def test_lifted_suspension_wakes_only_what_was_up(play: Play, asleep: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """What slept before goes on sleeping until somebody asks for it."""

    async def scene(here: DevEnvWorld) -> None:
        await here.wish(auto_stop_minutes=30)
        await here.until_phase("Running")
        await here.pass_time(HOUR if asleep else timedelta(minutes=10))
        for state in ("Suspended", "Active"):
            account = await here.store.get(Account, USER)
            account.spec = account.spec.model_copy(update={"state": state})
            await here.store.update(account)
            await here.pass_time(timedelta(minutes=5))

        assert ("Stopped" if asleep else "Running") == (await here.devenv()).status.phase
        await here.wish(wake_at=here.now())
        await here.until_phase("Running")

    play(scene)
