"""The gateways in memory do as the protocol asks, and live and die with their droplets."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from crds.store.observations import HELLO, session_subject
from deploy.local.simulators.digitalocean import Droplet
from deploy.local.simulators.gateways import DropletGateways
from deploy.local.simulators.gateways.droplets import gateway_environment
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
from tests.gateways.protocol_schemas import check
from tests.support.virtual_time import clock

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


def test_health_comes_every_half_a_minute() -> None:
    """As the protocol asks."""

    async def scene(here: Scene) -> None:
        here.gateway.start()
        await asyncio.sleep(95)

        assert 4 == sum(each.kind == "gateway.health" for each in here.seen)

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
