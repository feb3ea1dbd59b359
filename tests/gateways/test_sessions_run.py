"""Sessions begin where their gateway does not have them; they end with their rows."""

from __future__ import annotations

import asyncio

import pytest

from crds.meta import ObjectMeta, OwnerReference
from crds.session import Session, SessionSpec
from crds.store.observations import session_subject
from crds.vps import Vps
from deploy.local.simulators.gateways.gateway import Fate
from tests.gateways.conftest import Play
from tests.gateways.gateway_world import USER, VPS, World

RUNNING = ("Running", "Running")


async def running(here: World, **spec: object) -> Session:
    """A session that runs."""
    await here.make_vps()
    await here.make_session(**spec)
    await here.until_phase(Session, "s", "Running")
    return await here.session()


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
        await here.gateway.restart("forgotten")
        await here.edit(Session, "s", title="Again")
        await here.until_phase(Session, "s", "Ended")
        await asyncio.sleep(60)
        status = (await here.session()).status

        assert ("exited", 3) == (status.reason, status.exit_code)
        assert status.ended_at is not None
        assert {} == here.gateway.machine.sessions

    play_scene(scene)


def test_what_ended_while_its_gateway_was_away_is_over_too(play_scene: Play) -> None:
    """The hello that does not have it comes first, and its end right behind it."""

    async def scene(here: World) -> None:
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


def test_another_title_needs_no_command(play_scene: Play) -> None:
    """A session that runs is left as it is."""

    async def scene(here: World) -> None:
        await running(here)
        await here.edit(Session, "s", title="Another")
        await here.until_phase(Session, "s", "Running")
        await asyncio.sleep(5)

        assert 1 == len(here.hub.sent)

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
    """In the grace or behind it, the row goes at once; the session with the next hello (tidy)."""

    async def scene(here: World) -> None:
        await running(here)
        here.gateway.unplug()
        await asyncio.sleep(away_for)
        await here.delete(Session, "s")
        await asyncio.sleep(2)

        assert await here.is_gone(Session, "s")

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
    """The row says that nobody knows; once it hears, the session runs."""

    async def scene(here: World) -> None:
        await here.make_vps()
        here.gateway.faults.deaf = True
        await here.make_session()
        await asyncio.sleep(60)
        retry = (await here.session()).status.retry
        here.gateway.faults.deaf = False
        await here.until_phase(Session, "s", "Running")

        assert retry is not None
        assert ("Retry", "CommandUnknown") == (retry.kind, retry.reason)

    play_scene(scene)


@pytest.mark.parametrize("sent", [False, True])
def test_a_crash_at_the_command_begins_it_once(play_scene: Play, *, sent: bool) -> None:
    """Before it was sent or after it was done: that it was asked for is on record."""

    async def scene(here: World) -> None:
        await here.make_vps()
        here.roads.crash = ("session.create", sent)
        await here.make_session()
        await here.until_phase(Session, "s", "Running")

        assert here.roads.crash is None
        assert (1, 0) == (len(here.gateway.machine.sessions), (await here.session()).status.starts)

    play_scene(scene)


def test_a_crash_at_its_end_ends_it_once(play_scene: Play) -> None:
    """The row goes with the next try."""

    async def scene(here: World) -> None:
        await running(here)
        here.roads.crash = ("session.end", True)
        await here.delete(Session, "s")
        await here.until_gone(Session, "s")

        assert (None, {}) == (here.roads.crash, here.gateway.machine.sessions)

    play_scene(scene)


def test_a_crash_does_not_count_as_a_loss(play_scene: Play) -> None:
    """A session that is begun anew is counted once, whoever dies over it."""

    async def scene(here: World) -> None:
        await running(here)
        await asyncio.sleep(60)
        here.roads.crash = ("session.create", True)
        await here.gateway.restart("forgotten")
        await asyncio.sleep(30)

        assert here.roads.crash is None
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
        tie = OwnerReference(kind="Vps", name=VPS, uid=vps.uid)
        meta = ObjectMeta(name="s", namespace="another", owner_references=[tie])
        made = await here.store.create(
            Session(metadata=meta, spec=SessionSpec(vps=VPS), status={"hello": 1})
        )
        await asyncio.sleep(5)
        await here.store.delete(Session, "s", "another", uid=made.uid)
        await asyncio.sleep(5)

        assert await here.store.find(Session, "s", "another") is None
        assert [] == here.hub.sent

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
