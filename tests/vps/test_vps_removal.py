"""Removal in every phase, what accounts decide, and what the collector finds.

Slow, because each test is minutes of a life, with a database and a controller of its own.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from crds.account import Account
from crds.meta import ObjectMeta
from crds.platform import PLATFORM, Platform, PlatformSpec
from crds.store.tombstones import Tombstones
from deploy.local.simulators.digitalocean import DropletTimings
from tests.simulation.processes import USER
from tests.vps.vps_scene import VpsScene, foreign, play, settled

pytestmark = pytest.mark.slow

MOMENTS = [0.0, 0.3, 2.0, 10.0, 46.0, 60.0, 90.0]


@pytest.mark.parametrize("seconds", MOMENTS)
def test_deletion_at_any_moment_of_a_creation(database_url: str, seconds: float) -> None:
    """Whatever was under way, nothing is left at DigitalOcean, and no secret."""

    async def scene(here: VpsScene) -> None:
        await here.register()
        await here.connect()
        await here.until_connection("Connected")
        await here.wish()
        await here.pass_time(timedelta(seconds=seconds))
        await here.delete()
        await here.until_gone()
        await here.pass_time(timedelta(minutes=2))

        assert [] == here.ours()
        assert ["cloud-connection/digitalocean/grant"] == await here.secret_names()

    play(database_url, scene)


@pytest.mark.parametrize("power", ["Stopped", "Running"])
def test_deletion_while_it_is_switched(database_url: str, power: str) -> None:
    """An action under way is waited for."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        await here.wish(power="Stopped")
        if power == "Running":
            await here.until_phase("Off")
            await here.wish(power="Running")
        await here.until_phase("PoweringOff" if power == "Stopped" else "PoweringOn")
        await here.delete()
        await here.until_gone()

        assert [] == here.ours()

    play(database_url, scene)


def test_deletion_after_a_lost_answer(database_url: str) -> None:
    """A droplet of which nobody heard is looked for until a list would show it."""

    async def scene(here: VpsScene) -> None:
        here.mishap = lambda request: "unheard" if request.method == "POST" else ""
        here.cloud.stale_lists = 2
        await here.register()
        await here.connect()
        await here.wish()
        await here.until_reason("AwaitingEvidence")
        await here.delete()
        await here.pass_time(timedelta(seconds=60))
        here.cloud.stale_lists = 0
        await here.until_gone()

        assert [] == here.ours()

    play(database_url, scene)


def test_a_destruction_that_is_not_carried_out_is_told(database_url: str) -> None:
    """What is accepted and does not happen is asked again, and somebody is warned."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        here.cloud.failing_actions = {"destroy"}
        await here.delete()
        await here.until_event("Stuck", within=1800)
        here.cloud.failing_actions = set()
        await here.until_gone()

        assert [] == here.ours()

    play(database_url, scene)


def test_one_without_a_droplet_goes_without_a_connection(database_url: str) -> None:
    """Nothing was made, so nothing is waited for."""

    async def scene(here: VpsScene) -> None:
        await here.register()
        await here.wish()
        await here.until_reason("NotConnected")
        await here.delete()
        await here.until_gone(within=60)

    play(database_url, scene)


def test_a_suspended_account_pays_for_nothing_that_runs(database_url: str) -> None:
    """Its droplets are switched off, say why, and come back with the account."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        await here.be("Suspended")
        await here.until_phase("Suspended")

        async def off() -> bool:
            return here.droplet().status == "off"

        await here.until(off, "off")
        assert "Running" == (await here.vps()).spec.power
        await here.be("Active")
        await here.until_ready()
        assert "active" == here.droplet().status

    play(database_url, scene)


def test_a_broken_spec_keeps_nothing_running(database_url: str) -> None:
    """Of an account that must not run, what an edit by plain SQL broke is switched off too."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        await here.store.database.execute(
            "UPDATE objects SET spec = jsonb_set(spec, '{power}', '7') WHERE kind = 'Vps'"
        )
        await here.be("Quarantined")

        async def off() -> bool:
            return here.droplet().status == "off"

        await here.until(off, "off", within=1800)
        await here.delete()
        await here.until_gone()
        assert [] == here.ours()

    play(database_url, scene)


def test_an_account_goes_with_its_droplets_first(database_url: str) -> None:
    """Deleting the account ends the droplets, and the grant only then."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        await here.wish("second")
        await here.until_ready("second")
        await here.store.delete(Account, USER)

        async def gone() -> bool:
            return await here.store.find(Account, USER) is None

        await here.until(gone, "the account is gone")
        assert [] == here.ours()
        assert {} == here.cloud.grants
        assert [] == await here.secret_names()

    play(database_url, scene)


def test_a_droplet_without_its_row_is_collected(database_url: str) -> None:
    """A late one whose Vps went in order goes after a grace."""

    async def scene(here: VpsScene) -> None:
        vps = await settled(here)
        await here.wish("stays")
        await here.until_ready("stays")
        await here.delete()
        await here.until_gone()
        late = foreign(here, uid=vps.uid)
        await here.pass_time(timedelta(minutes=9))
        assert late.id in here.cloud.droplets

        async def collected() -> bool:
            return late.id not in here.cloud.droplets

        await here.until(collected, "collected", within=1800)
        assert 1 == len(here.ours())
        await here.pass_time(timedelta(minutes=20))
        assert vps.uid not in await Tombstones(here.store.database).standing()

    play(database_url, scene)


def test_what_was_never_in_this_database_is_left(database_url: str) -> None:
    """A droplet that only another database can know is told of, not destroyed."""

    async def scene(here: VpsScene) -> None:
        meta = ObjectMeta(name=PLATFORM)
        await here.store.create(Platform(metadata=meta, spec=PlatformSpec()))
        await settled(here)
        strange = foreign(here, uid=uuid4())
        await here.until_event("NotCollecting", within=3600)

        assert strange.id in here.cloud.droplets

    play(database_url, scene)


def test_a_bad_minute_deletes_no_row(database_url: str) -> None:
    """A 404 alone is no proof: while lists still show the droplet, its row stays."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        droplet = here.cloud.droplets.pop(here.droplet().id)
        await here.delete()
        await here.pass_time(timedelta(seconds=30))
        assert "Deleting" == (await here.vps()).status.phase
        here.cloud.droplets[droplet.id] = droplet
        await here.until_gone()

        assert [] == here.ours()

    play(database_url, scene)


def test_a_slow_destruction_is_waited_for(database_url: str) -> None:
    """The row goes when a direct read finds nothing, not when the deletion was accepted."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        here.cloud.timings = DropletTimings(destroy_seconds=120)
        await here.delete()
        await here.pass_time(timedelta(seconds=100))
        assert "Deleting" == (await here.vps()).status.phase
        await here.until_gone()

        assert 1 == here.asked()["DELETE /v2/droplets/{id}"]

    play(database_url, scene)
