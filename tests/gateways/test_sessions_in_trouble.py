"""Sessions through crashes, lost answers and hubs that are away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from controller.engine import EventRecorder, Grip, Request
from controller.gateways.session import SessionReconciler
from crds.annotations import PAUSED
from crds.errors import FencedError
from crds.meta import Key, ObjectMeta, OwnerReference
from crds.session import Session, SessionSpec
from crds.store.observations import Observation
from crds.vps import Vps, VpsSpec
from tests.gateways.conftest import Play
from tests.gateways.gateway_steps import RUNNING, running
from tests.gateways.gateway_world import USER, VPS, World


def test_what_is_lost_at_once_is_not_begun_for_ever(play_scene: Play) -> None:
    """It fails, until its gateway comes back."""

    async def scene(here: World) -> None:
        session = await running(here)
        here.gateway.lose(session.uid)
        await here.until_phase(Session, "s", "Failed")
        problem = (await here.session()).status.problem
        rests = await here.rests()
        await here.gateway.restart()
        await here.until_phase(Session, "s", "Running")

        assert problem is not None
        assert ("lost", True) == (problem.code, rests)

    play_scene(scene)


@pytest.mark.parametrize("again", ["edit", "hello"])
@pytest.mark.parametrize("told", ["refused", "error"])
def test_what_goes_wrong_is_shown_and_tried_again(play_scene: Play, told: str, again: str) -> None:
    """When its row is edited or its gateway comes back; not before."""

    async def scene(here: World) -> None:
        await here.make_vps()
        if told == "refused":
            here.gateway.faults.refusing["session.create"] = "no-space"
        else:
            here.gateway.faults.failing_sessions = "no-space"
        await here.make_session()
        await here.until_phase(Session, "s", "Failed")
        problem = (await here.session()).status.problem
        rests = await here.rests()
        here.gateway.faults.refusing.clear()
        here.gateway.faults.failing_sessions = None
        if again == "edit":
            await here.edit(Session, "s", title="Again")
        else:
            await here.gateway.restart()
        await here.until_phase(Session, "s", "Running")

        assert problem is not None
        assert ("no-space", True) == (problem.code, rests)
        assert (await here.session()).status.problem is None

    play_scene(scene)


def test_a_lost_answer_is_asked_for_again(play_scene: Play) -> None:
    """With the same id, so that it is begun once."""

    async def scene(here: World) -> None:
        await here.make_vps()
        here.gateway.faults.lost_answers = 1
        await here.make_session()
        await here.until_phase(Session, "s", "Running")
        ids = {each["id"] for each in here.hub.of_type("session.create")}

        assert (1, 0) == (len(ids), (await here.session()).status.starts)

    play_scene(scene)


def test_a_deaf_gateway_is_told_again_and_again(play_scene: Play) -> None:
    """The row says what is the matter; once it hears, the session runs."""

    async def scene(here: World) -> None:
        await here.make_vps()
        here.gateway.faults.deaf = True
        await here.make_session()
        await asyncio.sleep(60)
        retry = (await here.session()).status.retry
        here.gateway.faults.deaf = False
        await here.until_phase(Session, "s", "Running")

        assert retry is not None
        assert ("Retry", "GatewaySlow") == (retry.kind, retry.reason)

    play_scene(scene)


def test_an_error_of_before_is_not_this_times(play_scene: Play) -> None:
    """A session that is tried again is being begun, whatever its gateway said of the last try."""

    async def scene(here: World) -> None:
        await here.make_vps()
        here.gateway.faults.failing_sessions = "no-space"
        await here.make_session()
        await here.until_phase(Session, "s", "Failed")
        here.gateway.faults.failing_sessions = None
        await here.edit(Session, "s", title="Again")
        phases = set()
        for _ in range(50):
            await asyncio.sleep(0.02)
            here.resync()
            phases.add((await here.session()).status.phase)

        assert {"Starting", "Running"} == phases

    play_scene(scene)


@pytest.mark.parametrize("sent", [False, True])
def test_a_crash_at_the_command_begins_it_once(play_scene: Play, *, sent: bool) -> None:
    """Before it was sent or after it was done: that it was asked for is on record."""

    async def scene(here: World) -> None:
        await here.make_vps()
        here.roads.crash = ("session.create", sent)
        await here.make_session()
        await here.until_phase(Session, "s", "Running")

        assert 1 == here.roads.crashes
        assert (1, 0) == (len(here.gateway.machine.sessions), (await here.session()).status.starts)

    play_scene(scene)


def test_a_crash_at_its_end_ends_it_once(play_scene: Play) -> None:
    """The row goes with the next try."""

    async def scene(here: World) -> None:
        await running(here)
        here.roads.crash = ("session.end", True)
        await here.delete(Session, "s")
        await here.until_gone(Session, "s")

        assert (1, {}) == (here.roads.crashes, here.gateway.machine.sessions)

    play_scene(scene)


def test_a_crash_does_not_count_as_a_loss(play_scene: Play) -> None:
    """A session that is begun anew is counted once, whoever dies over it."""

    async def scene(here: World) -> None:
        await running(here)
        await asyncio.sleep(60)
        here.roads.crash = ("session.create", True)
        await here.gateway.restart("forgotten")
        await asyncio.sleep(30)

        assert 1 == here.roads.crashes
        assert RUNNING == await here.phase(Session, "s")
        assert 1 == (await here.session()).status.starts

    play_scene(scene)


def test_a_hub_that_cannot_be_reached_is_waited_for(play_scene: Play) -> None:
    """Nobody knows whether a gateway behind it is away, so an end waits, too."""

    async def scene(here: World) -> None:
        await running(here)
        here.roads.blocked = True
        await here.make_session("t")
        await here.delete(Session, "s")
        await asyncio.sleep(60)
        reasons = [
            (await here.session(name)).status.retry.reason  # type: ignore[union-attr]  # or it fails
            for name in ("s", "t")
        ]
        here.roads.blocked = False
        await here.until_gone(Session, "s")
        await here.until_phase(Session, "t", "Running")

        assert ["HubUnreachable"] * 2 == reasons

    play_scene(scene)


def test_a_hub_that_does_not_know_us_is_the_operators_trouble(play_scene: Play) -> None:
    """The session has done nothing wrong: it is blocked, and begins when the hub takes us."""

    async def scene(here: World) -> None:
        await here.make_vps()
        here.hub.token = "another"
        await here.make_session()
        await asyncio.sleep(5)
        retry = (await here.session()).status.retry
        here.hub.token = here.token
        await here.until_phase(Session, "s", "Running")

        assert retry is not None
        assert ("Blocked", "HubRefusesToken") == (retry.kind, retry.reason)

    play_scene(scene)


def test_nobody_reaches_anothers_gateway(play_scene: Play) -> None:
    """A reference that names another account's Vps opens nothing, to begin or to end."""

    async def scene(here: World) -> None:
        vps = await here.make_vps()
        own = ObjectMeta(name=VPS, namespace="another")
        await here.store.create(Vps(metadata=own, spec=VpsSpec()))
        tie = OwnerReference(kind="Vps", name=VPS, uid=vps.uid)
        meta = ObjectMeta(name="s", namespace="another", owner_references=[tie])
        made = await here.store.create(
            Session(metadata=meta, spec=SessionSpec(vps=VPS), status={"hello": 1})
        )
        await asyncio.sleep(5)
        await here.store.delete(Session, "s", "another", uid=made.uid)
        await asyncio.sleep(5)

        assert await here.store.find(Session, "s", "another") is None
        assert [] == here.hub.of_type("session.create", "session.end")

    play_scene(scene)


def test_a_row_that_was_broken_ends_its_session_all_the_same(play_scene: Play) -> None:
    """An edit by plain SQL hides the Vps' name, not where the session is."""

    async def scene(here: World) -> None:
        await running(here)
        await here.store.database.execute(
            "UPDATE objects SET spec = spec - 'vps' WHERE kind = 'Session'"
        )
        await here.delete(Session, "s")
        await here.until_gone(Session, "s")

        assert {} == here.gateway.machine.sessions

    play_scene(scene)


def test_many_sessions_are_many(play_scene: Play) -> None:
    """Each is begun once, and all of them anew when their gateway forgot them."""

    async def scene(here: World) -> None:
        await here.make_vps()
        for number in range(20):
            await here.make_session(f"s{number}")
        await asyncio.sleep(15)
        begun = len(here.gateway.machine.sessions)
        await here.gateway.restart("forgotten")
        await asyncio.sleep(20)

        assert (20, 20) == (begun, len(here.gateway.machine.sessions))
        assert 40 == len(here.hub.of_type("session.create"))

    play_scene(scene)


def test_who_has_lost_the_shard_commands_nothing(play_scene: Play) -> None:
    """Neither a beginning nor an end: whoever has the key by then sees to both."""

    def lost() -> None:
        raise FencedError("the shard's lease moved on")

    async def scene(here: World) -> None:
        await running(here)
        recorder = EventRecorder(here.store.events, here.store.clock)
        late = SessionReconciler(here.store, recorder, here.client())
        await here.stop()
        await here.make_session("t")
        await here.delete(Session, "s")
        for name in ("s", "t"):
            request = Request(Key("Session", USER, name), grip=Grip(guard=lost))
            with pytest.raises(FencedError):
                await late.reconcile(request)

    play_scene(scene)


def test_a_beginning_that_is_never_told_is_known_by_the_next_hello(play_scene: Play) -> None:
    """The gateway may have told it just as its connection went."""

    async def scene(here: World) -> None:
        sink = here.hub.sink

        async def forgetful(gateway: UUID, seen: Sequence[Observation]) -> None:
            await sink(gateway, [each for each in seen if each.kind != "session.started"])

        here.hub.sink = forgetful
        await here.make_vps()
        await here.make_session()
        await asyncio.sleep(5)
        before = await here.phase(Session, "s")
        await here.gateway.restart()
        await here.until_phase(Session, "s", "Running")

        assert (("Starting", "Starting"), 1) == (before, len(here.gateway.machine.sessions))

    play_scene(scene)


def test_a_vps_that_is_not_looked_after_hides_nothing(play_scene: Play) -> None:
    """What the gateway reported last counts, where its Vps says yet that it is connected."""

    async def scene(here: World) -> None:
        await running(here)
        vps = await here.store.get(Vps, VPS, USER)
        vps.metadata.annotations[PAUSED] = "true"
        await here.store.update(vps)
        here.gateway.unplug()
        await asyncio.sleep(40)
        here.resync()
        await asyncio.sleep(1)

        assert (await here.store.get(Vps, VPS, USER)).status.gateway.connected
        assert ("Waiting", "GatewayAway") == await here.phase(Session, "s")

    play_scene(scene)
