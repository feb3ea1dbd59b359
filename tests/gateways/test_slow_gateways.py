"""Gateways that hang: they are their users' own, and nobody else waits for them."""

from __future__ import annotations

import asyncio
from math import inf
from uuid import uuid4

from controller.engine import Controller
from crds.authorized_key import AuthorizedKey
from crds.session import Session
from deploy.local.simulators.gateways.machine import Shell
from tests.gateways.conftest import Play
from tests.gateways.gateway_world import World
from tests.support.virtual_time import running_loop

MANY = 20
"""More than there are workers of a kind."""
LONG_SECONDS = 30.0


def test_sessions_on_a_gateway_that_hangs_hold_up_nobody_elses(play_scene: Play) -> None:
    """A session elsewhere begins within seconds, however many wait for answers."""

    async def scene(here: World) -> None:
        await here.make_vps()
        await here.make_vps("two")
        here.gateway.faults.deaf = True
        for number in range(MANY):
            await here.make_session(f"s{number}")
        await asyncio.sleep(30)
        began = running_loop().time()
        await here.make_session("other", vps="two")
        await here.until_phase(Session, "other", "Running")

        assert running_loop().time() - began < 3

    play_scene(scene)


def test_keys_on_a_gateway_that_hangs_hold_up_nobody_elses(play_scene: Play) -> None:
    """A key elsewhere is let in within seconds, however many wait for their turn."""

    async def scene(here: World) -> None:
        await here.make_vps()
        await here.make_vps("two")
        here.gateway.faults.deaf = True
        for number in range(MANY):
            await here.make_key(f"k{number}")
        began = running_loop().time()
        await here.make_key("other", vps="two")
        await here.until_phase(AuthorizedKey, "other", "Authorized")

        assert running_loop().time() - began < 5

    play_scene(scene)


def test_a_gateway_that_answers_again_gets_everything(play_scene: Play) -> None:
    """All sessions run that were wished for while it hung, though it never came back anew."""

    async def scene(here: World) -> None:
        await here.make_vps()
        here.gateway.faults.deaf = True
        for number in range(MANY):
            await here.make_session(f"s{number}")
        await asyncio.sleep(600)
        here.gateway.faults.deaf = False
        await asyncio.sleep(400)

        phases = [(await here.phase(Session, f"s{number}"))[0] for number in range(MANY)]
        assert ["Running"] * MANY == phases

    play_scene(scene)


def test_a_gateway_that_answers_is_asked_at_once(play_scene: Play) -> None:
    """Many sessions at once begin within seconds, and none of them is said to be in trouble."""

    async def scene(here: World) -> None:
        await here.make_vps()
        for number in range(MANY):
            await here.make_session(f"s{number}")
        await asyncio.sleep(5)

        phases = [(await here.phase(Session, f"s{number}"))[0] for number in range(MANY)]
        assert ["Running"] * MANY == phases
        retries = await here.store.database.fetch(
            "SELECT 1 FROM object_log "
            "WHERE kind = 'Session' AND object->'status'->'retry' <> 'null'"
        )
        assert [] == list(retries)

    play_scene(scene)


def test_much_to_tidy_is_done_in_parts(play_scene: Play) -> None:
    """A gateway that takes its time is tidy in the end, and no reconcile of its Vps is long."""

    async def scene(here: World) -> None:
        await here.make_vps(connects=False)
        here.gateway.machine.sessions = {str(uuid4()): Shell({}) for _ in range(49)}
        here.gateway.faults.slow_seconds = 1.5
        here.gateway.start()
        await asyncio.sleep(1200)

        assert {} == here.gateway.machine.sessions
        assert [] == [each.name for each in here.controllers if _took(each) > LONG_SECONDS]

    play_scene(scene)


def _took(controller: Controller) -> float:
    """The bucket of a controller's longest reconcile, in seconds."""
    time = controller.stats.time
    bounds = (*time.bounds, inf)
    found = [bound for bound, count in zip(bounds, time.counts, strict=True) if count]
    return max(found, default=0.0)
