"""The hub in memory answers as docs/protocols.md says the Worker's does."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from crds.store.observations import HELLO, session_subject
from deploy.local.simulators.digitalocean import Droplet
from deploy.local.simulators.gateways import DropletGateways, SimulatedGateway
from deploy.local.simulators.gateways.droplets import gateway_environment
from deploy.local.simulators.gateways.words import ANSWERS, OBSERVED
from tests.gateways.hub_scene import (
    FINGERPRINT,
    GATEWAY,
    SESSION,
    TOKEN,
    Scene,
    creation,
    letting_in,
    play,
)
from tests.gateways.protocol_schemas import FLOWS, SCHEMAS, check
from tests.support.virtual_time import clock

OTHER = UUID("0b9d3a52-6a7e-4c51-9a55-2f0c6d1f7a99")
CLOUD_CONFIG = f"""#cloud-config
packages: [tmux]
write_files:
  - path: /etc/invoker/gateway.env
    permissions: "0600"
    content: |
      GATEWAY_ID={GATEWAY}
      GATEWAY_AUTH_TOKEN={TOKEN}
      GATEWAY_VERSION=1.2.0
"""


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


def test_health_comes_every_half_a_minute() -> None:
    """As the protocol asks."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(95)

        assert 4 == sum(each.kind == "gateway.health" for each in here.seen)

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


def test_a_snapshot_shows_what_was_typed() -> None:
    """A session keeps what its terminal shows, with the sequence behind it."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        await here.post(creation())
        shell = here.gateway.shell(SESSION)
        assert shell is not None
        shell.type("echo hello\n")
        order = {"type": "session.snapshot.request", "id": "s-1", "session_id": str(SESSION)}
        told = (await here.post(order)).json()
        check(told)

        assert "$ echo hello\r\nhello\r\n$ " == told["data"]
        assert len(told["data"]) == told["sequence"]

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


@pytest.mark.parametrize(
    ("fate", "told"), [("kept", "session.started"), ("lost", "session.ended"), ("forgotten", "")]
)
def test_sessions_outlive_their_gateway_or_not(fate: Any, told: str) -> None:
    """A program that begins anew has them still, says that it lost them, or knows of nothing."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        await here.post(creation())
        await asyncio.sleep(1)
        await here.gateway.restart(fate)
        await asyncio.sleep(5)
        hello = here.newest(HELLO)
        assert hello is not None

        expected = [str(SESSION)] if fate == "kept" else []
        assert expected == [each["session_id"] for each in hello["sessions"]]
        assert (told or "session.started") == [
            each.kind for each in here.seen if each.subject == session_subject(SESSION)
        ][-1]

    play(scene)


def test_what_ends_while_the_gateway_is_away_is_told_on_its_return() -> None:
    """Behind the hello that does not have it any more."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        await here.post(creation())
        await asyncio.sleep(1)
        here.gateway.unplug()
        here.gateway.exit(SESSION, 3)
        here.gateway.plug()
        await asyncio.sleep(5)

        assert ["gateway.hello", "session.ended"] == here.kinds[-2:]

    play(scene)


def test_keys_end_by_the_gateways_own_clock() -> None:
    """To the second, and connected or not."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        at = clock().now() + timedelta(seconds=60)
        end = at.isoformat().replace("+00:00", "Z")
        await here.post(letting_in(expires_at=end))
        here.gateway.unplug()
        await asyncio.sleep((at - clock().now()).total_seconds() - 0.01)
        before = list(here.gateway.machine.keys)
        await asyncio.sleep(0.02)

        assert ([FINGERPRINT], []) == (before, list(here.gateway.machine.keys))

    play(scene)


def test_keys_are_listed_and_taken_away() -> None:
    """A label that changes replaces the old one; revoking twice is revoking."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        await here.post(letting_in("k-1"))
        await here.post(letting_in("k-2", label="desk"))
        listed = (await here.post({"type": "ssh.list", "id": "l-1"})).json()
        for id_ in ("r-1", "r-2"):
            await here.post({"type": "ssh.revoke", "id": id_, "fingerprint": FINGERPRINT})
        check(listed)

        assert [(FINGERPRINT, "desk")] == [(k["fingerprint"], k["label"]) for k in listed["keys"]]
        assert {} == here.gateway.machine.keys

    play(scene)


def test_a_key_with_another_keys_fingerprint_is_refused() -> None:
    """Or revoking it would take away the other one."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        answer = await here.post(letting_in(fingerprint=f"SHA256:{'A' * 43}"))

        assert "bad-key" == answer.json()["error"]["code"]

    play(scene)


def test_agents_are_installed_or_not_and_that_is_told() -> None:
    """The ack only says that it was taken on; a session needs its agent."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        without = await here.post(creation("c-1", agent_type="codex"))
        here.gateway.faults.failing_agents.add("claude-code")
        for agent in ("codex", "claude-code"):
            order = {"type": "agent.install", "id": f"i-{agent}", "agent": agent}
            assert (await here.post(order)).json()["ok"]
        await asyncio.sleep(6)
        with_it = await here.post(creation("c-2", agent_type="codex"))

        assert "no-such-agent" == without.json()["error"]["code"]
        assert with_it.json()["ok"]
        told = {each.subject: each.message for each in here.seen if each.subject[:5] == "agent"}
        assert {"agent/codex": True, "agent/claude-code": False} == {
            subject: message["ok"] for subject, message in told.items() if message
        }

    play(scene)


def test_an_update_keeps_the_sessions() -> None:
    """The gateway comes back as another version, with what ran, and says so."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(1)
        await here.post(creation())
        url = {"url": "https://releases.example/gateway-2.0.0", "sha256": "0" * 64}
        await here.post({"type": "gateway.update", "id": "u-1", "version": "2.0.0", **url})
        await asyncio.sleep(5)
        hello = here.newest(HELLO)
        assert hello is not None

        assert ("2.0.0", 1) == (hello["version"], len(hello["sessions"]))
        assert "gateway.updated" == here.kinds[-1]

    play(scene)


def droplet(number: int) -> Droplet:
    """A droplet of the simulator's."""
    return Droplet(
        number, "team", "one", "ams3", "s", "i", [], CLOUD_CONFIG, 0.0, 0.0, number, status="active"
    )


def test_a_droplet_boots_its_gateway_out_of_its_cloud_init() -> None:
    """Power off takes its sessions, not its keys; power on brings it back."""

    async def scene(here: Scene) -> None:
        yard = DropletGateways(here.hub)
        one = droplet(1)
        await yard.boot(one, CLOUD_CONFIG)
        await asyncio.sleep(45)
        gateway = yard.of(GATEWAY)
        assert gateway is not None
        await here.post(creation())
        await here.post(letting_in())
        await yard.halt(one)
        away = not here.hub.is_connected(GATEWAY)
        await yard.boot(one, CLOUD_CONFIG)
        await asyncio.sleep(15)

        assert ("1.2.0", True) == (gateway.version, away)
        assert here.hub.is_connected(GATEWAY)
        assert ({}, [FINGERPRINT]) == (yard.machine(1).sessions, list(yard.machine(1).keys))
        await yard.aclose()

    play(scene)


def test_a_droplet_that_is_gone_before_it_booted_boots_nothing() -> None:
    """Its power went while cloud-init was at work."""

    async def scene(here: Scene) -> None:
        yard = DropletGateways(here.hub)
        await yard.boot(droplet(1), CLOUD_CONFIG)
        await asyncio.sleep(10)
        await yard.halt(droplet(1))
        await asyncio.sleep(100)

        assert {} == yard.running
        await yard.aclose()

    play(scene)


@pytest.mark.parametrize(
    "user_data", ["", "#!/bin/sh\n", "a: [", "write_files: x", "write_files:\n  - path: /x"]
)
def test_what_is_not_ours_has_no_gateway(user_data: str) -> None:
    """People make droplets of their own beside ours."""
    assert {} == gateway_environment(user_data)
