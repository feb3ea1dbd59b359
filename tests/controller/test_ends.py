"""What the reconcilers make of what a provider refuses halfway, and of rows that are to go."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import patch

import httpx
import pytest

from crds.account import Account
from crds.machine import Machine, MachineSpec
from crds.meta import Key, ObjectMeta
from crds.platform import PLATFORM, Caps, Platform, PlatformSpec
from crds.route import Route, RouteSpec
from crds.workspace import WORKSPACE, Workspace
from tests.simulation.faults import Fault
from tests.simulation.processes import USER
from tests.simulation.quarantines import set_state
from tests.simulation.scenarios import sign_up
from tests.simulation.sweep import quiet
from tests.simulation.world import World, world
from tests.support.virtual_time import run

Scene = Callable[[World], Awaitable[None]]
Play = Callable[[Scene], None]


@pytest.fixture
def play(database_url: str) -> Play:
    """Runs a scene in a world of its own, on virtual time."""
    quiet()

    def runner(scene: Scene) -> None:
        async def main() -> None:
            async with world(database_url) as here:
                await scene(here)
                here.watchman.check()

        run(main, limit_seconds=100_000)

    return runner


async def gone(here: World) -> bool:
    """Whether no row is left of what the user had."""
    rows = [await here.store.rows(kind) for kind in (Workspace, Machine, Route)]
    return not any(rows)


def test_second_address_alone_is_asked_for_again(play: Play) -> None:
    """That the second address is refused does not forget the first."""

    async def scene(here: World) -> None:
        asked: list[str] = []

        def refuse_second(request: httpx.Request) -> httpx.Response | None:
            if request.method != "POST" or not request.url.path.endswith("/ip_assignments"):
                return None
            asked.append(json.loads(request.content)["type"])
            refused = httpx.Response(429, json={"error": "slow"}, request=request)
            return refused if len(asked) == 2 else None

        here.plan.interpose = refuse_second
        await sign_up(here)

        assert asked == ["shared_v4", "v6", "v6"]

    play(scene)


def test_another_region_than_asked_for_is_kept(play: Play) -> None:
    """A provider that puts a volume elsewhere is not asked again and again."""

    async def scene(here: World) -> None:
        await sign_up(here)
        create = here.fly.create_volume

        def elsewhere(app: str, body: dict[str, Any]) -> dict[str, Any]:
            return create(app, {**body, "region": "lhr"})

        with patch.object(here.fly, "create_volume", elsewhere):
            await here.wish(region="fra", recreate="OnRegionChange")
            await here.until_region("lhr")
            await here.until_phase("Running")
            volume = await here.volume_id()
            await here.quiesce()

            assert await here.volume_id() == volume
            assert [v.region for v in here.fly.volumes.values()] == ["lhr"]

    play(scene)


def test_growth_of_unknown_outcome_does_not_stay_pending(play: Play) -> None:
    """A growth that nobody heard of, and whose wish is withdrawn, leaves no intent behind."""

    async def scene(here: World) -> None:
        await sign_up(here)
        failed: list[str] = []

        def time_out(request: httpx.Request) -> httpx.Response | None:
            if request.url.path.endswith("/extend"):
                failed.append(request.url.path)
                raise httpx.ReadTimeout("timed out", request=request)
            return None

        here.plan.interpose = time_out

        async def tried() -> bool:
            return bool(failed)

        await here.wish(volume_gb=3)
        await here.until(tried, "a try")
        await here.wish(volume_gb=1)
        await here.quiesce()
        machine = await here.machine()

        assert machine is not None
        assert machine.status.intent is None

    play(scene)


def test_waiting_that_fails_fails_nothing(play: Play) -> None:
    """The provider's wait is a help: what goes wrong with it does not hold up a start."""

    async def scene(here: World) -> None:
        def refuse(request: httpx.Request) -> httpx.Response | None:
            if request.url.path.endswith("/wait"):
                return httpx.Response(400, json={"error": "odd"}, request=request)
            return None

        here.plan.interpose = refuse
        await sign_up(here)
        machine = await here.machine()

        assert machine is not None
        assert machine.status.retry is None

    play(scene)


def test_removal_says_what_it_waits_for(play: Play) -> None:
    """Who deletes something sees on it what holds that up."""

    async def scene(here: World) -> None:
        await sign_up(here)
        here.plan.outage = Fault.BROKEN
        await here.delete()
        await here.pass_time_seconds(60)
        row = await here.store.find_row(Key("Workspace", USER, WORKSPACE))

        assert row is not None
        ready = next(c for c in row["status"]["conditions"] if c["type"] == "Ready")
        assert ready["message"] == "waits for Machine main"
        here.plan.outage = None
        await here.until_phase(None)

    play(scene)


def test_platform_change_wakes_workspaces(play: Play) -> None:
    """A raised cap lets those go on that wait for it, at once."""

    async def scene(here: World) -> None:
        meta = ObjectMeta(name=PLATFORM)
        spec = PlatformSpec(caps=Caps(machines=0))
        await here.store.create(Platform(metadata=meta, spec=spec))
        await here.register()
        await here.wish()
        await here.pass_time_seconds(30)
        platform = await here.store.get(Platform, PLATFORM)
        platform.spec.caps.machines = 1
        await here.store.update(platform)
        await here.until_phase("Running", within=60)

    play(scene)


def test_account_takes_hand_made_machines_along(play: Play) -> None:
    """What somebody made in the namespace by hand goes with the account."""

    async def scene(here: World) -> None:
        await sign_up(here)
        spec = MachineSpec(account=USER, image="registry.example.com/tool:1")
        await here.store.create(
            Machine(metadata=ObjectMeta(name="tool", namespace=USER), spec=spec)
        )
        await here.pass_time_seconds(60)
        assert len(here.fly.running_machines()) == 2
        await here.store.delete(Account, USER)
        await here.until(lambda: gone(here), "gone")

        here.watchman.check_machines_gone()

    play(scene)


def test_quarantine_stops_hand_made_machines(play: Play) -> None:
    """What no workspace looks after is stopped with the account all the same."""

    async def scene(here: World) -> None:
        await here.register()
        spec = MachineSpec(account=USER, image="registry.example.com/tool:1")
        await here.store.create(
            Machine(metadata=ObjectMeta(name="tool", namespace=USER), spec=spec)
        )

        async def runs() -> bool:
            return len(here.fly.running_machines()) == 1

        async def rests() -> bool:
            return not here.fly.running_machines()

        await here.until(runs, "running")
        await set_state(here, "Quarantined")
        await here.until(rests, "stopped", within=60)
        found = await here.store.get(Machine, "tool", USER)

        assert found.spec.power == "Stopped"

    play(scene)


@pytest.mark.parametrize("status", [{"phase": 5}, {"app": "gone"}, {"conditions": {}}], ids=str)
def test_broken_status_does_not_hold_up_deletion(play: Play, status: dict[str, Any]) -> None:
    """Rows whose status an edit by SQL broke can be deleted, and leave nothing outside."""

    async def scene(here: World) -> None:
        await sign_up(here)
        await here.store.database.execute(
            "UPDATE objects SET status = %s WHERE kind = 'Machine'", json.dumps(status)
        )
        await here.pass_time_seconds(30)
        await here.store.delete(Account, USER)
        await here.until(lambda: gone(here), "gone")

        here.watchman.check_machines_gone()

    play(scene)


def test_redirect_never_leads_to_a_stranger(play: Play) -> None:
    """A name that changed hands takes its redirects out of use."""

    async def scene(here: World) -> None:
        await sign_up(here)
        await here.wish(subdomain="bobby")
        await here.until_phase("Running")
        await here.until_entry("alice", "redirect")
        spec = RouteSpec(account="stranger").to_json()
        await here.store.database.execute(
            "UPDATE objects SET spec = %s WHERE kind = 'Route' AND name = 'bobby'",
            json.dumps(spec),
        )

        async def withdrawn() -> bool:
            return here.entry("alice") is None

        await here.until(withdrawn, "no redirect to a stranger", within=90)

    play(scene)
