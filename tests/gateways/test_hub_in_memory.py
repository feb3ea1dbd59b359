"""The hub in memory answers as docs/protocols.md says the Worker's does."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from crds.store.observations import session_subject
from deploy.local.simulators.gateways import SimulatedGateway
from deploy.local.simulators.gateways.words import ANSWERS, OBSERVED
from tests.gateways.hub_scene import (
    GATEWAY,
    SESSION,
    TOKEN,
    Scene,
    creation,
    letting_in,
    play,
)
from tests.gateways.protocol_schemas import FLOWS, SCHEMAS, check

OTHER = UUID("0b9d3a52-6a7e-4c51-9a55-2f0c6d1f7a99")


def code_of(answer: Any) -> tuple[int, str]:
    """A refusal's status and code."""
    return answer.status_code, answer.json()["type"].removeprefix("urn:invoker:problem:")


def test_it_knows_the_protocols_words() -> None:
    """Commands, their answers and what is reported are those of worker/protocol."""
    assert FLOWS["answers"] == ANSWERS
    assert set(FLOWS["gatewayToHub"]) >= OBSERVED


def test_every_example_of_the_protocol_passes_the_check() -> None:
    """What the other tests hold messages against is the protocol itself."""
    for name, schema in SCHEMAS.items():
        for example in schema.get("examples", []):
            assert name == example["type"]
            check(example)


def test_a_gateway_connects_greets_and_tells_of_itself() -> None:
    """Connection, hello and health are reported 200 ms after the first, in growing order."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(0.19)
        early = len(here.reports)
        await asyncio.sleep(0.02)

        assert 0 == early
        assert ["connected", "gateway.hello", "gateway.health"] == [e.kind for e in here.seen]
        sequences = [each.sequence for each in here.seen]
        assert sorted(set(sequences)) == sequences

    play(scene)


def test_a_session_begins_and_is_told_of() -> None:
    """The command is acknowledged, and the beginning reported."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        answer = await here.post(creation(columns=120, rows=40))
        await asyncio.sleep(1)

        assert {"type": "ack", "id": "c-1", "ok": True} == answer.json()
        told = here.newest(session_subject(SESSION))
        assert told is not None
        assert (120, 40) == (told["columns"], told["rows"])

    play(scene)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "bad-command"),
        ([], 400, "bad-command"),
        ({"type": "gateway.hello"}, 400, "bad-command"),
        ({"type": "session.end", "id": "c-1"}, 400, "bad-command"),
        (creation("hub.1"), 400, "bad-command"),
        (creation("a b"), 400, "bad-command"),
        (creation("x" * 65), 400, "bad-command"),
        (b"x" * 524_289, 413, "too-large"),
    ],
)
def test_what_is_no_command_is_refused(body: Any, status: int, code: str) -> None:
    """Nothing of it reaches the gateway."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)

        assert (status, code) == code_of(await here.post(body))
        assert [] == here.hub.sent

    play(scene)


def test_only_the_control_plane_commands() -> None:
    """Another token than the edge's opens nothing."""

    async def scene(here: Scene) -> None:
        assert (401, "unauthenticated") == code_of(await here.post(creation(), token="guess"))

    play(scene)


def test_without_a_gateway_nothing_is_sent() -> None:
    """One that never came, and one that connected and has not said hello, are offline."""

    async def scene(here: Scene) -> None:
        never = await here.post(creation())
        await here.hub.connect(GATEWAY, TOKEN)
        silent = await here.post(creation())

        assert [(503, "gateway-offline")] * 2 == [code_of(never), code_of(silent)]
        assert [] == here.hub.sent

    play(scene)


def test_a_command_is_done_once_for_its_id() -> None:
    """Sent again within ten minutes it is answered again; afterwards it is another one."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        first = await here.post(creation())
        again = await here.post(creation())
        sent = len(here.hub.sent)
        await asyncio.sleep(600)
        await here.post(creation())

        assert first.json() == again.json()
        assert (1, 2) == (sent, len(here.hub.sent))

    play(scene)


def test_an_answer_is_kept_while_the_gateway_is_away() -> None:
    """Whoever did not hear it asks again, connected or not."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        first = await here.post(creation())
        here.gateway.unplug()

        assert first.json() == (await here.post(creation())).json()

    play(scene)


def test_another_command_cannot_take_an_id() -> None:
    """The same id with other words is a conflict."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        await here.post(creation())

        assert (409, "conflict") == code_of(await here.post(creation(title="Another")))

    play(scene)


def test_a_gateway_that_does_not_answer_is_waited_for_ten_seconds() -> None:
    """Then nobody knows; the same id is waited for again, and sent once more."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        here.gateway.faults.lost_answers = 1
        began = asyncio.get_running_loop().time()
        lost = await here.post(creation())
        took = asyncio.get_running_loop().time() - began
        found = await here.post(creation())

        assert ((504, "gateway-timeout"), 10.0) == (code_of(lost), took)
        assert (200, 2) == (found.status_code, len(here.hub.sent))
        assert [creation()] * 2 == here.hub.of_type("session.create")

    play(scene)


def test_two_who_ask_the_same_wait_for_one_answer() -> None:
    """A command on its way is not sent twice."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        here.gateway.faults.slow_seconds = 5
        answers = await asyncio.gather(here.post(creation()), here.post(creation()))

        assert [200, 200] == [each.status_code for each in answers]
        assert 1 == len(here.hub.sent)

    play(scene)


def test_a_connection_that_goes_takes_its_commands_with_it() -> None:
    """Whether they were carried out nobody knows, and says so at once."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        here.gateway.faults.slow_seconds = 5
        waiting = asyncio.ensure_future(here.post(creation()))
        await asyncio.sleep(1)
        here.gateway.unplug()

        assert (503, "gateway-lost") == code_of(await waiting)

    play(scene)


def test_only_so_many_commands_wait() -> None:
    """The 65th is told to come later."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        here.gateway.faults.deaf = True
        orders = [asyncio.ensure_future(here.post(letting_in(f"k-{n}"))) for n in range(64)]
        await asyncio.sleep(1)

        assert (429, "busy") == code_of(await here.post(letting_in("k-64")))
        await asyncio.gather(*orders)

    play(scene)


def test_a_refusal_of_the_gateway_is_its_answer() -> None:
    """The hub passes it on as it is."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        here.gateway.faults.refusing["session.create"] = "no-space"
        answer = await here.post(creation())
        check(answer.json())

        assert (200, False) == (answer.status_code, answer.json()["ok"])
        assert {} == here.gateway.machine.sessions

    play(scene)


def test_a_gateway_that_is_back_within_the_grace_was_never_away() -> None:
    """Only another hello tells of it."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        here.gateway.unplug()
        await asyncio.sleep(25)
        here.gateway.plug()
        await asyncio.sleep(40)

        assert ["connected", "gateway.hello", "gateway.hello"] == here.kinds

    play(scene)


def test_a_gateway_is_away_after_the_grace() -> None:
    """30 s, not before; its return is told."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        here.gateway.unplug()
        await asyncio.sleep(30.1)
        before = here.kinds[2:]
        await asyncio.sleep(0.2)
        after = here.kinds[2:]
        here.gateway.plug()
        await asyncio.sleep(40)

        assert ([], ["disconnected"]) == (before, after)
        assert ["disconnected", "connected", "gateway.hello"] == here.kinds[2:]

    play(scene)


def test_a_silent_gateway_is_dropped() -> None:
    """After 90 s without a word its connection is none; one that does not come back is away."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        here.gateway.faults.silent = True
        await asyncio.sleep(88)
        there = here.hub.is_connected(GATEWAY)
        await asyncio.sleep(2)
        gone = here.hub.is_connected(GATEWAY)
        here.gateway.unplug()
        await asyncio.sleep(31)

        assert (True, False) == (there, gone)
        assert "disconnected" == here.kinds[-1]

    play(scene)


def test_a_newer_connection_replaces_an_older_one() -> None:
    """Commands go to the one that said hello last."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        other = SimulatedGateway(here.hub, GATEWAY, TOKEN)
        other.start()
        await asyncio.sleep(0.5)
        await here.post(creation())

        assert ([], [str(SESSION)]) == (
            list(here.gateway.machine.sessions),
            list(other.machine.sessions),
        )
        await other.stop()

    play(scene)


def test_strangers_are_not_taken() -> None:
    """A wrong token, and a gateway that nobody knows."""

    async def scene(here: Scene) -> None:
        wrong = SimulatedGateway(here.hub, GATEWAY, "guess")
        stranger = SimulatedGateway(here.hub, OTHER, TOKEN)
        for each in (wrong, stranger):
            each.start()
        await asyncio.sleep(1)

        assert (401, 404) == (wrong.refused, stranger.refused)
        for each in (wrong, stranger):
            await each.stop()

    play(scene)


def test_a_gateway_that_is_no_more_does_not_come_back() -> None:
    """The API's 404 ends its connection for good."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        here.unknown = True
        await asyncio.sleep(60)
        here.unknown = False
        await asyncio.sleep(600)

        assert not here.hub.is_connected(GATEWAY)

    play(scene)


def test_reports_wait_for_the_api() -> None:
    """They come again after 1, 2, 4 … s, and of each thing the newest."""

    async def scene(here: Scene) -> None:
        here.away = 3
        here.gateway.start()
        await asyncio.sleep(3)
        here.gateway.unplug()
        here.gateway.plug()
        await asyncio.sleep(4)
        early = len(here.reports)
        await asyncio.sleep(1)

        assert (0, 1) == (early, len(here.reports))
        assert ["connected", "gateway.hello"] == here.kinds

    play(scene)
