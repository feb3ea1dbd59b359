"""Whose account a droplet is on: connections that come, end, are renewed, and change.

Slow, because each test is minutes of a life, with a database and a controller of its own.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from crds.annotations import FORCE_DELETE
from crds.cloud_connection import DIGITALOCEAN, CloudConnection
from tests.simulation.processes import USER
from tests.vps.vps_scene import EMAIL, VpsScene, play, settled

pytestmark = pytest.mark.slow


def test_without_a_connection_it_waits_for_one(database_url: str) -> None:
    """It says what is missing, asks nobody, and goes on as soon as the user has connected."""

    async def scene(here: VpsScene) -> None:
        await here.register()
        await here.wish()
        vps = await here.until_reason("NotConnected", kind="Blocked")
        assert "Blocked" == vps.status.phase
        await here.pass_time(timedelta(minutes=3))
        assert [] == here.calls
        await here.connect()
        await here.until_ready(within=180)

    play(database_url, scene)


def test_a_dead_token_is_renewed(database_url: str) -> None:
    """Refused with its token, a Vps has the connection looked at, which renews it."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        (grant,) = here.cloud.grants.values()
        # As when somebody else had used its refresh token, and ours came to the same one.
        grant.access = "doo_v1_another"
        await here.wish(power="Stopped")
        await here.until_phase("Off")

        assert (await here.connection()).spec.verify_at is not None
        assert "Connected" == (await here.connection()).status.phase

    play(database_url, scene)


def test_a_grant_that_ended_at_rest_is_noticed(database_url: str) -> None:
    """Revoked in the control panel: the connection and the Vps say so, and the gateway's are heard.

    Connecting again brings all of it back, with the same droplet.
    """

    async def scene(here: VpsScene) -> None:
        await settled(here)
        before = here.droplet().id
        (grant,) = here.cloud.grants.values()
        here.cloud.end_grant(grant)
        blocked = await here.until_reason("NotConnected", kind="Blocked")

        assert "Revoked" == (await here.connection()).status.phase
        assert str(before) in str(blocked.status.retry)
        assert blocked.status.gateway.connected
        await here.connect()
        await here.until_ready()
        assert before == here.droplet().id

    play(database_url, scene)


def test_another_team_is_not_looked_at_for_a_droplet(database_url: str) -> None:
    """Connected to another team, a droplet is neither believed gone nor made a second time."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        (grant,) = here.cloud.grants.values()
        here.cloud.end_grant(grant)
        await here.until_reason("NotConnected")
        await here.connect("bob@example.com")
        await here.until_reason("OtherTeam", kind="Blocked")
        await here.delete()
        await here.pass_time(timedelta(minutes=15))
        assert 1 == len(here.ours())

        (grant,) = here.cloud.grants.values()
        here.cloud.end_grant(grant)
        await here.wish_connection(verify_at=here.store.clock.now())
        await here.until_connection("Revoked")
        await here.connect(EMAIL)
        await here.until_gone()
        assert [] == here.ours()

    play(database_url, scene)


def test_a_connection_is_kept_while_droplets_need_it(database_url: str) -> None:
    """Given up, it says what it waits for, is kept fresh, and ends with the last of them."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        await here.wish_connection(state="Disconnected")
        await here.until_reason("NotConnected", kind="Blocked")
        held = await here.connection()
        ready = held.status.condition("Ready")

        assert ready is not None
        assert ("False", "InUse") == (ready.status, ready.reason)
        assert "Vps box" in ready.message
        (grant,) = here.cloud.grants.values()
        grant.access = dead = "doo_v1_another"
        await here.wish_connection(verify_at=here.store.clock.now())
        await here.pass_time(timedelta(minutes=1))
        assert dead != grant.access
        assert (await here.connection()).status.is_true("Granted")
        await here.delete()
        await here.until_gone()
        await here.until_connection("Disconnected")
        assert {} == here.cloud.grants
        assert [] == here.ours()

    play(database_url, scene)


def test_a_deleted_connection_waits_for_its_droplets(database_url: str) -> None:
    """Deletion waits as giving up does, and writes nothing while it waits."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        await here.store.delete(CloudConnection, DIGITALOCEAN, USER)
        await here.until_reason("NotConnected", kind="Blocked")
        await here.pass_time(timedelta(minutes=20))

        assert "Deleting" == (await here.connection()).status.phase
        await here.delete()
        await here.until_gone()

        async def given_up() -> bool:
            return await here.store.find(CloudConnection, DIGITALOCEAN, USER) is None

        await here.until(given_up, "no connection")
        assert {} == here.cloud.grants
        assert [] == here.ours()

    play(database_url, scene)


def test_taking_it_back_goes_on(database_url: str) -> None:
    """A connection that is wished for again serves at once, with the grant that it had."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        await here.wish_connection(state="Disconnected")
        await here.until_reason("NotConnected", kind="Blocked")
        await here.wish_connection(state="Connected")
        await here.until_ready()

        assert 1 == len(here.cloud.grants)

    play(database_url, scene)


def test_deletion_without_a_connection_names_what_is_left(database_url: str) -> None:
    """It waits for one; whoever cannot have one lets it go, and the collector has it later."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        droplet = here.droplet().id
        (grant,) = here.cloud.grants.values()
        here.cloud.end_grant(grant)
        await here.until_reason("NotConnected")
        await here.delete()
        vps = await here.until_reason("NotConnected", kind="Blocked")
        await here.pass_time(timedelta(minutes=11))
        vps = await here.vps()
        assert "Deleting" == vps.status.phase
        assert str(droplet) in str(vps.status.retry)

        await here.annotate(FORCE_DELETE, "the account at DigitalOcean is closed")
        await here.until_gone()
        await here.pass_time(timedelta(hours=1))
        assert [droplet] == [each.id for each in here.ours()]
        await here.connect()

        async def collected() -> bool:
            return not here.ours()

        await here.until(collected, "collected", within=1800)

    play(database_url, scene)
