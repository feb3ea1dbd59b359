"""A droplet's life: made once, switched off and on, and gone without a trace.

Slow, because each test is minutes of a life, with a database and a controller of its own.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
import yaml

from crds.gateways import read_credentials
from crds.meta import ObjectMeta
from crds.session import Session, SessionSpec
from deploy.local.simulators.gateways import TOKENS
from tests.simulation.processes import USER
from tests.vps.vps_scene import NAME, VpsScene, is_token, play, settled, token_in

pytestmark = pytest.mark.slow


def test_a_droplet_comes_up(database_url: str) -> None:
    """One wish makes one droplet, and the status tells what there is and what it costs."""

    async def scene(here: VpsScene) -> None:
        vps = await settled(here)
        droplet, status = here.droplet(), vps.status

        assert "Running" == status.phase
        assert status.droplet is not None
        recorded = (status.droplet.id, status.droplet.status, status.droplet.ipv4)
        assert (droplet.id, "active", "198.18.0.10") == recorded
        assert (True, "1.0.0") == (status.gateway.connected, status.gateway.version)
        assert status.cost is not None
        assert (6.0, 0.00893) == (status.cost.monthly_usd, status.cost.hourly_usd)
        assert 1 == here.asked()["POST /v2/droplets"]

    play(database_url, scene)


def test_the_token_stands_only_in_the_droplet(database_url: str) -> None:
    """What the gateway proves itself with is random, and kept only as a keyed hash."""

    async def scene(here: VpsScene) -> None:
        vps = await settled(here)
        data = here.droplet().user_data
        token = token_in(data)
        held = await read_credentials(here.secrets, USER, NAME)
        tables = ("objects", "object_log", "events")
        told = [
            row["text"]
            for table in tables
            for row in await here.store.database.fetch(f"SELECT t::text AS text FROM {table} AS t")  # noqa: S608 - our tables
        ]

        assert yaml.safe_load(data)["packages"]
        assert is_token(token)
        assert held is not None
        assert [TOKENS.digest(vps.uid, token)] == [each.digest for each in held.held]
        assert not [text for text in told if token in text]

    play(database_url, scene)


def test_nothing_happens_at_rest(database_url: str) -> None:
    """A droplet as wished costs no write and no call of its own, however long it runs."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        await here.pass_time(timedelta(minutes=5))
        before = await here.writes()
        here.calls.clear()

        await here.pass_time(timedelta(hours=1))

        assert before == await here.writes()
        assert {"GET /v2/droplets"} == set(here.asked())
        # One look over the team a minute, and the collector's every five.
        assert 60 + 12 + 2 >= len(here.calls)

    play(database_url, scene)


def test_a_droplet_is_switched_off_and_on(database_url: str) -> None:
    """It is asked to shut down, is off at rest, and its gateway comes back with its power."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        before = here.droplet().id
        await here.wish(power="Stopped")
        off = await here.until_phase("Off")

        assert "off" == here.droplet().status
        assert off.status.is_true("Ready")
        await here.pass_time(timedelta(minutes=4))
        assert not (await here.vps()).status.gateway.connected
        await here.wish(power="Running")
        on = await here.until_ready()

        assert (before, "active") == (here.droplet().id, here.droplet().status)
        assert on.status.gateway.hello > off.status.gateway.hello
        actions = [action.type for action in here.cloud.actions.values()]
        assert ["create", "shutdown", "power_on"] == actions
        assert not {"Offline", "Stuck"} & await here.events()

    play(database_url, scene)


def test_an_ignored_shutdown_is_followed_by_power_off(database_url: str) -> None:
    """A minute after a shutdown that did nothing, its plug is pulled."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        here.cloud.ignored_shutdowns = 1.0
        await here.wish(power="Stopped")
        await here.until_phase("Off")

        done = {action.type: action for action in here.cloud.actions.values()}
        assert ["create", "shutdown", "power_off"] == [*done]
        completed = done["shutdown"].completed_at
        assert completed is not None
        assert 60.0 <= done["power_off"].started_at - completed <= 75.0
        assert "ShutdownIgnored" in await here.events()

    play(database_url, scene)


def test_power_needs_no_gateway(database_url: str) -> None:
    """A droplet whose gateway never comes up is switched all the same."""

    async def scene(here: VpsScene) -> None:
        here.droplets.all_broken = True
        await here.register()
        await here.connect()
        await here.wish()
        await here.until_phase("Provisioning")
        await here.pass_time(timedelta(minutes=2))
        await here.wish(power="Stopped")
        await here.until_phase("Off")

        assert "off" == here.droplet().status

    play(database_url, scene)


def test_what_shall_be_off_is_not_made(database_url: str) -> None:
    """To make a droplet would be to start it, and it would cost."""

    async def scene(here: VpsScene) -> None:
        await here.register()
        await here.connect()
        await here.wish(power="Stopped")
        await here.until_ready()

        assert [] == here.ours()
        await here.wish(power="Running")
        await here.until_ready()
        assert 1 == len(here.ours())

    play(database_url, scene)


def test_a_change_of_mind_waits_for_the_action(database_url: str) -> None:
    """Switched on again while it shuts down, it ends up on, with no action asked in between."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        await here.wish(power="Stopped")
        await here.until_phase("PoweringOff")
        await here.wish(power="Running")
        await here.until_ready()

        assert "active" == here.droplet().status
        actions = [action.type for action in here.cloud.actions.values()]
        assert ["create", "shutdown", "power_on"] == actions

    play(database_url, scene)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"size": "s-2vcpu-4gb"}, "s-1vcpu-1gb"), ({"region": "fra1"}, "ams3")],
)
def test_a_droplet_stays_as_it_was_made(
    database_url: str, change: dict[str, str], words: str
) -> None:
    """Another region or size is refused in words, and power goes on being heeded."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        await here.wish(**change)
        await here.until_phase("Running")
        ready = (await here.vps()).status.condition("Ready")

        assert ready is not None
        assert ("False", "DropletIsFixed") == (ready.status, ready.reason)
        assert words in ready.message
        await here.wish(power="Stopped")
        await here.until_phase("Off")
        assert 1 == here.asked()["POST /v2/droplets"]

    play(database_url, scene)


def test_deletion_leaves_nothing(database_url: str) -> None:
    """Sessions go first, then the droplet, then what proved its gateway and what it reported."""

    async def scene(here: VpsScene) -> None:
        vps = await settled(here)
        session = Session(
            metadata=ObjectMeta(name="work", namespace=USER), spec=SessionSpec(vps=NAME)
        )
        await here.store.create(session)
        await here.delete()
        await here.until_gone()

        assert [] == here.ours()
        assert None is await here.store.find(Session, "work", USER)
        assert ["cloud-connection/digitalocean/grant"] == await here.secret_names()
        await here.pass_time(timedelta(minutes=1))
        assert {} == await here.store.observations.of(vps.uid)

    play(database_url, scene)
