"""Sessions begin where their gateway does not have them; they end with their rows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from crds.session import Session
from crds.store.observations import Observation, session_subject
from crds.vps import Vps
from deploy.local.simulators.gateways.gateway import Fate
from deploy.local.simulators.gateways.outbox import Sink
from tests.gateways.conftest import Play
from tests.gateways.gateway_steps import RUNNING, running
from tests.gateways.gateway_world import USER, VPS, World


def test_a_session_begins_as_it_is_wished(play_scene: Play) -> None:
    """Its title, agent, directory and size reach the gateway; its uid is its id there."""

    async def scene(here: World) -> None:
        session = await running(here, workdir="/srv", columns=120, rows=40)
        shell = here.gateway.shell(session.uid)
        assert shell is not None

        wish = {"title": "Work", "agent_type": "shell", "workdir": "/srv"}
        assert {**wish, "columns": 120, "rows": 40}.items() <= shell.wish.items()
        assert session.status.started_at is not None
        assert (True, 0) == (session.status.is_true("Ready"), session.status.starts)

    play_scene(scene)


def test_it_runs_within_two_seconds(play_scene: Play) -> None:
    """Whoever opens a terminal waits for it."""

    async def scene(here: World) -> None:
        await here.make_vps()
        await here.make_session()
        await asyncio.sleep(2)

        assert RUNNING == await here.phase(Session, "s")

    play_scene(scene)


def test_at_rest_nothing_is_written_and_nothing_sent(play_scene: Play) -> None:
    """Whoever runs, waits, failed or has ended is left alone, however often it is looked at."""

    async def scene(here: World) -> None:
        session = await running(here)
        runs = await here.rests()
        here.gateway.exit(session.uid)
        await here.until_phase(Session, "s", "Ended")
        ended = await here.rests()
        here.gateway.faults.refusing["session.create"] = "no-space"
        await here.make_session("t")
        await here.until_phase(Session, "t", "Failed")
        failed = await here.rests()
        here.gateway.unplug()
        await here.until_phase(Session, "t", "Waiting")

        assert [True] * 4 == [runs, ended, failed, await here.rests()]

    play_scene(scene)


def test_it_waits_for_its_gateway(play_scene: Play) -> None:
    """And begins by itself when that is connected."""

    async def scene(here: World) -> None:
        await here.make_vps(connects=False)
        await here.make_session()
        await asyncio.sleep(10)
        before = await here.phase(Session, "s")
        here.gateway.start()
        await here.until_phase(Session, "s", "Running")

        assert ("Waiting", "GatewayAway") == before

    play_scene(scene)


def test_a_gateway_that_is_away_takes_nothing_from_it(play_scene: Play) -> None:
    """It waits from the end of the grace on, and goes on as it was."""

    async def scene(here: World) -> None:
        session = await running(here)
        here.gateway.unplug()
        await asyncio.sleep(20)
        within = await here.phase(Session, "s")
        await asyncio.sleep(20)
        behind = await here.phase(Session, "s")
        here.gateway.plug()
        await here.until_phase(Session, "s", "Running")

        assert (RUNNING, ("Waiting", "GatewayAway")) == (within, behind)
        assert 1 == len(here.hub.of_type("session.create"))
        assert (await here.session()).status.started_at == session.status.started_at

    play_scene(scene)


def test_what_ended_by_itself_is_over(play_scene: Play) -> None:
    """Its exit code is kept; neither another hello nor an edit begins it again."""

    async def scene(here: World) -> None:
        session = await running(here)
        here.gateway.exit(session.uid, 3)
        await here.until_phase(Session, "s", "Ended")
        vps = await here.store.get(Vps, VPS, USER)
        await here.store.observations.forget_subjects(vps.uid, session_subject(session.uid))
        await here.gateway.restart("forgotten")
        await here.edit(Session, "s", title="Again")
        await here.until_phase(Session, "s", "Ended")
        await asyncio.sleep(60)
        status = (await here.session()).status

        assert ("exited", 3) == (status.reason, status.exit_code)
        assert status.ended_at is not None
        assert {} == here.gateway.machine.sessions

    play_scene(scene)


def torn(sink: Sink) -> Sink:
    """Reports whose end comes a second later, as when the hub sends them as two."""

    async def take(gateway: UUID, seen: Sequence[Observation]) -> None:
        late = [each for each in seen if each.kind == "session.ended"]
        await sink(gateway, [each for each in seen if each not in late])
        if late:
            await asyncio.sleep(1)
            await sink(gateway, late)

    return take


def test_what_ended_while_its_gateway_was_away_is_over_too(play_scene: Play) -> None:
    """The hello that does not have it comes first, and its end right behind it."""

    async def scene(here: World) -> None:
        here.hub.sink = torn(here.hub.sink)
        session = await running(here)
        here.gateway.unplug()
        await asyncio.sleep(40)
        here.gateway.exit(session.uid)
        here.gateway.plug()
        await here.until_phase(Session, "s", "Ended")
        await asyncio.sleep(60)

        assert {} == here.gateway.machine.sessions
        assert 1 == len(here.hub.of_type("session.create"))

    play_scene(scene)


@pytest.mark.parametrize(("fate", "starts"), [("kept", 0), ("lost", 1), ("forgotten", 1)])
def test_it_outlives_its_gateways_program(play_scene: Play, fate: Fate, starts: int) -> None:
    """What the gateway has still is left as it is; what it lost is begun anew."""

    async def scene(here: World) -> None:
        session = await running(here)
        await asyncio.sleep(5)
        await here.gateway.restart(fate)
        await asyncio.sleep(10)

        assert RUNNING == await here.phase(Session, "s")
        assert starts == (await here.session()).status.starts
        assert 1 + starts == len(here.hub.of_type("session.create"))
        assert here.gateway.shell(session.uid) is not None

    play_scene(scene)


def test_what_is_lost_is_begun_anew(play_scene: Play) -> None:
    """Also while its gateway stays connected, and as often as that happens."""

    async def scene(here: World) -> None:
        session = await running(here)
        for count in (1, 2):
            await asyncio.sleep(60)
            here.gateway.lose(session.uid)
            await asyncio.sleep(5)

            assert RUNNING == await here.phase(Session, "s")
            assert count == (await here.session()).status.starts

    play_scene(scene)


def test_another_title_needs_no_command(play_scene: Play) -> None:
    """A session that runs is left as it is."""

    async def scene(here: World) -> None:
        await running(here)
        await here.edit(Session, "s", title="Another")
        await here.until_phase(Session, "s", "Running")
        await asyncio.sleep(5)

        assert 1 == len(here.hub.of_type("session.create"))

    play_scene(scene)


def test_it_cannot_be_moved(play_scene: Play) -> None:
    """To name another VPS is refused, and taken back it is as before."""

    async def scene(here: World) -> None:
        session = await running(here)
        await here.make_vps("two")
        await here.edit(Session, "s", vps="two")
        await asyncio.sleep(5)
        refused = (await here.session()).status.retry
        await here.edit(Session, "s", vps=VPS)
        await here.until_phase(Session, "s", "Running")

        assert refused is not None
        assert ("Blocked", "VpsIsFixed") == (refused.kind, refused.reason)
        assert here.gateway.shell(session.uid) is not None
        assert {} == here.gateways["two"].machine.sessions

    play_scene(scene)


def test_without_a_vps_it_is_blocked(play_scene: Play) -> None:
    """Until there is one of that name, to which it is tied from then on."""

    async def scene(here: World) -> None:
        await here.make_session()
        await asyncio.sleep(5)
        before = await here.phase(Session, "s")
        vps = await here.make_vps()
        await here.until_phase(Session, "s", "Running")
        owners = (await here.session()).metadata.owner_references

        assert ("Blocked", "NoVps") == before
        assert [vps.uid] == [each.uid for each in owners]

    play_scene(scene)


def test_it_ends_with_its_row(play_scene: Play) -> None:
    """In its gateway first."""

    async def scene(here: World) -> None:
        await running(here)
        await here.delete(Session, "s")
        await here.until_gone(Session, "s")

        assert {} == here.gateway.machine.sessions
        assert 1 == len(here.hub.of_type("session.end"))

    play_scene(scene)


def test_what_was_never_asked_for_goes_without_a_word(play_scene: Play) -> None:
    """Nothing has to be taken back."""

    async def scene(here: World) -> None:
        await here.make_vps(connects=False)
        await here.make_session()
        await here.until_phase(Session, "s", "Waiting")
        await here.delete(Session, "s")
        await here.until_gone(Session, "s")

        assert [] == here.hub.sent

    play_scene(scene)


@pytest.mark.parametrize("away_for", [5.0, 60.0])
def test_a_gateway_that_is_away_does_not_hold_it_up(play_scene: Play, away_for: float) -> None:
    """In the grace or behind it, the row goes at once; the session with the next hello."""

    async def scene(here: World) -> None:
        session = await running(here)
        here.gateway.unplug()
        await asyncio.sleep(away_for)
        await here.delete(Session, "s")
        await asyncio.sleep(2)
        gone, left = await here.is_gone(Session, "s"), here.gateway.shell(session.uid)
        here.gateway.plug()
        await asyncio.sleep(60)

        assert (True, True) == (gone, left is not None)
        assert {} == here.gateway.machine.sessions

    play_scene(scene)


def test_it_goes_with_its_vps(play_scene: Play) -> None:
    """What is in a droplet that is destroyed need not be ended."""

    async def scene(here: World) -> None:
        await running(here)
        await here.delete(Vps, VPS)
        await here.until_gone(Vps, VPS)

        assert await here.is_gone(Session, "s")
        assert [] == here.hub.of_type("session.end")

    play_scene(scene)


def test_what_was_reported_is_not_kept(play_scene: Play) -> None:
    """What is known of a session goes with it, but for what its end itself brings."""

    async def scene(here: World) -> None:
        session = await running(here)
        here.gateway.exit(session.uid)
        await here.until_phase(Session, "s", "Ended")
        await here.delete(Session, "s")
        await here.until_gone(Session, "s")
        vps = await here.store.get(Vps, VPS, USER)

        assert session_subject(session.uid) not in await here.store.observations.of(vps.uid)

    play_scene(scene)
