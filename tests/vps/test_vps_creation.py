"""How a droplet comes to be although answers are lost, lists are stale, and orders are refused.

Slow, because each test is minutes of a life, with a database and a controller of its own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from crds.account import AccountSpec
from deploy.local.simulators.digitalocean import DropletTimings
from tests.vps.vps_scene import VpsScene, foreign, play, settled

pytestmark = pytest.mark.slow


def once(method: str, path: str, fate: str) -> Any:
    """Something that becomes of the first request of a sort."""
    struck: list[str] = []

    def mishap(request: httpx.Request) -> str:
        if (request.method, request.url.path) != (method, path) or struck:
            return ""
        struck.append(fate)
        return fate

    return mishap


async def begin(here: VpsScene, **spec: Any) -> None:
    """Wish for a droplet."""
    await here.register()
    await here.connect()
    await here.wish(**spec)


@pytest.mark.parametrize("stale", [0, 2])
def test_a_lost_answer_makes_no_second_droplet(database_url: str, stale: int) -> None:
    """The droplet is found by its tag, also when lists show it a minute late."""

    async def scene(here: VpsScene) -> None:
        here.mishap = once("POST", "/v2/droplets", "unheard")
        here.cloud.stale_lists = stale
        await begin(here)
        await here.until_reason("AwaitingEvidence")
        await here.pass_time(timedelta(seconds=40))
        here.cloud.stale_lists = 0
        vps = await here.until_ready()

        assert vps.status.droplet is not None
        assert here.droplet().id == vps.status.droplet.id
        assert 1 == here.asked()["POST /v2/droplets"]
        assert "Adopted" in await here.events()

    play(database_url, scene)


def test_a_lost_request_is_made_again(database_url: str) -> None:
    """It is not made again before a list would show what it may have made."""

    async def scene(here: VpsScene) -> None:
        here.mishap = once("POST", "/v2/droplets", "lost")
        await begin(here)
        began = here.store.clock.now()
        vps = await here.until_ready()

        assert vps.status.droplet is not None
        assert vps.status.droplet.created_at - began >= timedelta(seconds=89)
        assert (1, 2) == (len(here.ours()), here.asked()["POST /v2/droplets"])

    play(database_url, scene)


def test_a_status_that_was_lost_is_no_reason_for_another(database_url: str) -> None:
    """A droplet that nobody remembers is found by its tag, and what it costs is asked anew."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        await here.store.database.execute(
            "UPDATE objects SET status = '{}'::jsonb WHERE kind = 'Vps'"
        )
        here.resync()
        vps = await here.until_ready()

        assert vps.status.droplet is not None
        assert here.droplet().id == vps.status.droplet.id
        assert vps.status.cost is not None
        assert 1 == here.asked()["POST /v2/droplets"]

    play(database_url, scene)


def test_a_duplicate_is_destroyed(database_url: str) -> None:
    """Of two with our tag, the one on record stays."""

    async def scene(here: VpsScene) -> None:
        vps = await settled(here)
        first = here.droplet().id
        await here.pass_time(timedelta(minutes=2))
        second = foreign(here, uid=vps.uid)

        async def alone() -> bool:
            return second.id not in here.cloud.droplets

        await here.until(alone, "one droplet")
        after = await here.until_ready()
        assert after.status.droplet is not None
        assert first == after.status.droplet.id == here.droplet().id
        assert "Duplicate" in await here.events()

    play(database_url, scene)


def test_an_address_may_come_late(database_url: str) -> None:
    """The gateway is not waited with, and the address is noted once it is there."""

    async def scene(here: VpsScene) -> None:
        here.cloud.timings = DropletTimings(address_seconds=200, create_seconds=20)
        await begin(here)
        vps = await here.until_phase("Running")
        assert vps.status.droplet is not None
        assert vps.status.droplet.ipv4 is None

        async def addressed() -> bool:
            droplet = (await here.vps()).status.droplet
            return droplet is not None and droplet.ipv4 is not None

        await here.until(addressed, "an address")
        assert (await here.until_ready()).status.condition("Addressed") is None

    play(database_url, scene)


def test_an_address_that_never_comes_is_told(database_url: str) -> None:
    """Ten minutes without one are worth a warning, and then it is hardly asked for."""

    async def scene(here: VpsScene) -> None:
        here.cloud.timings = DropletTimings(address_seconds=10**6, create_seconds=20)
        await begin(here)
        await here.until_event("AddressLate", within=1200)
        here.calls.clear()
        await here.pass_time(timedelta(minutes=10))

        assert 12 >= here.asked()["GET /v2/droplets/{id}"]

    play(database_url, scene)


def test_a_failed_creation_is_begun_anew(database_url: str) -> None:
    """What DigitalOcean could not make is destroyed, and made again after a while."""

    async def scene(here: VpsScene) -> None:
        here.cloud.failing_actions = {"create"}
        await begin(here)
        await here.until_event("CreateFailed")
        here.cloud.failing_actions = set()
        vps = await here.until_ready()

        assert vps.status.droplet is not None
        assert here.droplet().id == vps.status.droplet.id
        assert 2 <= here.asked()["POST /v2/droplets"] <= 3

    play(database_url, scene)


def test_failing_for_ever_is_not_asked_for_in_haste(database_url: str) -> None:
    """Creations that fail again and again are minutes apart, and leave one droplet at most."""

    async def scene(here: VpsScene) -> None:
        here.cloud.failing_actions = {"create"}
        await begin(here)
        await here.pass_time(timedelta(minutes=20))

        assert here.asked()["POST /v2/droplets"] <= 13
        assert len(here.ours()) <= 1

    play(database_url, scene)


def test_no_capacity_is_waited_out(database_url: str) -> None:
    """A full region is asked again once a minute."""

    async def scene(here: VpsScene) -> None:
        here.cloud.full_regions = {"ams3"}
        await begin(here)
        vps = await here.until_reason("NoCapacity", kind="Retry")
        assert vps.status.intent is None
        here.cloud.full_regions = set()
        await here.until_ready()

        assert 1 == len(here.ours())

    play(database_url, scene)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"size": "s-99vcpu"}, "SizeUnknown"),
        ({"region": "xyz9"}, "SizeNotInRegion"),
        ({"image": "windows-95"}, "ProviderRefuses"),
    ],
)
def test_what_cannot_be_had_is_refused(
    database_url: str, spec: dict[str, str], reason: str
) -> None:
    """It is blocked with words that say so, costs nothing, and another wish comes true."""

    async def scene(here: VpsScene) -> None:
        await begin(here, **spec)
        vps = await here.until_reason(reason, kind="Blocked")

        assert "Blocked" == vps.status.phase
        assert [] == here.ours()
        await here.wish(region="ams3", size="s-1vcpu-1gb", image="ubuntu-24-04-x64")
        await here.until_ready()

    play(database_url, scene)


def test_a_full_team_is_told(database_url: str) -> None:
    """DigitalOcean's limit is the user's own matter; the droplet comes once there is room."""

    async def scene(here: VpsScene) -> None:
        here.cloud.team_of("ada@example.com").droplet_limit = 0
        await begin(here)
        await here.until_reason("ProviderQuotaReached", kind="Blocked")
        here.cloud.team_of("ada@example.com").droplet_limit = 1
        await here.until_ready(within=1800)

    play(database_url, scene)


def test_a_creation_that_takes_for_ever_is_told(database_url: str) -> None:
    """After ten minutes somebody is warned; it is hardly asked for then, and heals by itself."""

    async def scene(here: VpsScene) -> None:
        here.cloud.timings = DropletTimings(address_seconds=1, create_seconds=3600)
        await begin(here)
        await here.until_event("Stuck", within=1200)
        busy = (await here.vps()).status.condition("Busy")
        assert busy is not None
        assert "Stuck" == busy.reason
        vps = await here.until_ready(within=7200)

        assert vps.status.condition("Busy") is None

    play(database_url, scene)


def test_a_wish_that_moves_is_not_acted_upon(database_url: str) -> None:
    """A wish that is taken back before anything was asked makes nothing."""

    async def scene(here: VpsScene) -> None:
        await here.register()
        await here.wish()
        await here.until_reason("NotConnected", kind="Blocked")
        await here.wish(power="Stopped")
        await here.until_phase("Off")
        await here.connect()
        await here.until_connection("Connected")
        await here.pass_time(timedelta(minutes=2))

        assert 0 == here.asked()["POST /v2/droplets"]

    play(database_url, scene)


def test_no_droplet_is_over_the_quota(database_url: str) -> None:
    """By whatever way the rows came, the oldest are made; one that goes makes room."""

    async def scene(here: VpsScene) -> None:
        await here.register()
        await here.connect()
        most = AccountSpec(email="a@example.com").quota.vps
        for number in range(most + 1):
            await here.wish(f"v{number}")
            await here.pass_time(timedelta(seconds=1))
        await here.until_ready(f"v{most - 1}")
        over = await here.vps(f"v{most}")
        made = len(here.ours())
        await here.delete("v0")
        await here.until_gone("v0")
        await here.until_ready(f"v{most}")

        assert over.status.retry is not None
        assert ("Blocked", "QuotaReached") == (over.status.phase, over.status.retry.reason)
        assert most == made

    play(database_url, scene)
