"""The gateway in a droplet: awaited, lost, silent, back, and what it is told to do.

Slow, because each test is minutes of a life, with a database and a controller of its own.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from crds.authorized_key import AuthorizedKey, AuthorizedKeySpec
from crds.meta import ObjectMeta
from crds.session import Session, SessionSpec
from deploy.local.simulators.gateways import SimulatedGateway
from tests.simulation.processes import USER
from tests.vps.vps_scene import NAME, VpsScene, play, settled

pytestmark = pytest.mark.slow

KEY = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'A' * 43} a@example"
OTHER_KEY = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'B' * 43} b@example"


async def gateway(here: VpsScene) -> SimulatedGateway:
    """The gateway that runs."""
    found = here.droplets.of((await here.vps()).uid)
    assert found is not None
    return found


def test_a_gateway_that_is_not_heard_of_is_told_and_heals(database_url: str) -> None:
    """Ten minutes after the droplet runs somebody is warned; a late hello makes all well."""

    async def scene(here: VpsScene) -> None:
        here.droplets.all_broken = True
        await here.register()
        await here.connect()
        await here.wish()
        vps = await here.until_phase("ProvisioningTimeout", within=1800)
        told = vps.status.condition("GatewayConnected")

        assert vps.status.droplet is not None
        assert vps.status.droplet.active_since is not None
        assert told is not None
        waited = told.last_transition_time - vps.status.droplet.active_since
        assert "ProvisioningTimeout" == told.reason
        assert "cloud-init" in told.message
        assert waited < timedelta(minutes=11)
        assert here.store.clock.now() - vps.status.droplet.active_since >= timedelta(minutes=10)
        await here.pass_time(timedelta(hours=1))
        assert 1 == len(here.ours())
        here.droplets.all_broken = False
        await here.droplets.boot(here.droplet(), here.droplet().user_data)
        await here.until_ready()

    play(database_url, scene)


def test_a_gateway_that_goes_is_told_after_the_grace(database_url: str) -> None:
    """The hub waits 30 s; then the Vps is offline, since then, until the gateway is back."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        went = here.store.clock.now()
        (await gateway(here)).unplug()
        vps = await here.until_phase("Offline", within=60)

        assert vps.status.offline_since is not None
        away = vps.status.offline_since - went
        assert timedelta(seconds=29) < away < timedelta(seconds=40)
        assert not vps.status.gateway.connected
        (await gateway(here)).plug()
        back = await here.until_ready()
        assert back.status.offline_since is None
        assert here.asked()["POST /v2/droplets/{id}/actions"] == 0

    play(database_url, scene)


def test_a_gateway_that_says_nothing_is_offline(database_url: str) -> None:
    """Health that stays away for three minutes counts, whatever the connection looks like."""

    async def scene(here: VpsScene) -> None:
        vps = await settled(here)
        (await gateway(here)).faults.silent = True
        await here.until_phase("Offline", within=300)
        vps = await here.vps()
        told = vps.status.condition("GatewayConnected")

        assert told is not None
        assert told.reason in ("Silent", "Disconnected")
        (await gateway(here)).faults.silent = False
        await here.until_ready()

    play(database_url, scene)


def test_digitalocean_down_hides_no_gateway(database_url: str) -> None:
    """While DigitalOcean cannot be asked, gateways come and go in the status as they do."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        here.mishap = lambda _: "lost"
        await here.pass_time(timedelta(minutes=10))
        assert "Running" == (await here.vps()).status.phase
        (await gateway(here)).unplug()
        await here.until_phase("Offline", within=300)
        (await gateway(here)).plug()
        await here.until_phase("Running", within=300)

    play(database_url, scene)


def test_agents_are_installed(database_url: str) -> None:
    """Each that is wished for is asked for once, and its version told."""

    async def scene(here: VpsScene) -> None:
        await here.register()
        await here.connect()
        await here.wish(agents=["claude-code"])
        vps = await here.until_ready()
        (agent,) = vps.status.agents

        assert ("claude-code", "Installed") == (agent.name, agent.state)
        assert 1 == len(here.hub.of_type("agent.install"))
        await here.wish(agents=["claude-code", "codex"])
        await here.until_ready()
        assert 2 == len(here.hub.of_type("agent.install"))

    play(database_url, scene)


def test_an_agent_that_fails_is_tried_again_at_the_next_hello(database_url: str) -> None:
    """The Vps runs and says what is missing; another hello is another chance."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        (await gateway(here)).faults.failing_agents = {"codex"}
        await here.wish(agents=["codex"])

        async def failed() -> bool:
            return [each.state for each in (await here.vps()).status.agents] == ["Failed"]

        await here.until(failed, "failed")
        ready = (await here.vps()).status.condition("Ready")
        assert ready is not None
        assert ("False", "AgentsMissing") == (ready.status, ready.reason)
        assert "Running" == (await here.vps()).status.phase
        (await gateway(here)).faults.failing_agents = set()
        await (await gateway(here)).restart()
        await here.until_ready()

    play(database_url, scene)


def test_an_order_that_is_refused_is_told(database_url: str) -> None:
    """What the gateway will not do is a failure of the agent's, in its words."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        (await gateway(here)).faults.refusing = {"agent.install": "no-space"}
        await here.wish(agents=["codex"])
        await here.until_event("AgentRefused")

        assert ["Failed"] == [each.state for each in (await here.vps()).status.agents]

    play(database_url, scene)


def test_what_nobody_wishes_for_is_taken_away(database_url: str) -> None:
    """A gateway that comes back with sessions and keys whose rows are gone loses them, once."""

    async def scene(here: VpsScene) -> None:
        vps = await settled(here)
        mine = await gateway(here)
        kept = await here.store.create(
            Session(metadata=ObjectMeta(name="kept", namespace=USER), spec=SessionSpec(vps=NAME))
        )
        await here.store.create(
            AuthorizedKey(
                metadata=ObjectMeta(name="laptop", namespace=USER),
                spec=AuthorizedKeySpec(vps=NAME, public_key=KEY),
            )
        )
        gone = uuid4()
        hub = here.replicas[0]._clouds.gateways.hub
        for session in (kept.uid, gone):
            await hub.send(
                vps.uid,
                {
                    "type": "session.create",
                    "id": f"c-{session}",
                    "session_id": str(session),
                    "title": "",
                    "agent_type": "shell",
                    "workdir": "/root",
                },
            )
        fingerprints = [
            AuthorizedKeySpec(vps=NAME, public_key=key).fingerprint for key in (KEY, OTHER_KEY)
        ]
        for fingerprint, key in zip(fingerprints, (KEY, OTHER_KEY), strict=True):
            await hub.send(
                vps.uid,
                {
                    "type": "ssh.authorize",
                    "id": fingerprint[-20:].replace("/", "_").replace("+", "-"),
                    "fingerprint": fingerprint,
                    "public_key": key,
                    "label": "",
                    "expires_at": None,
                },
            )
        await mine.restart()

        async def tidied() -> bool:
            status = (await here.vps()).status
            return status.tidied == status.gateway.hello > vps.status.gateway.hello

        await here.until(tidied, "tidied")
        assert [str(gone)] == [each["session_id"] for each in here.hub.of_type("session.end")]
        revoked = [each["fingerprint"] for each in here.hub.of_type("ssh.revoke")]
        assert [fingerprints[1]] == revoked
        assert str(kept.uid) in mine.machine.sessions

    play(database_url, scene)
