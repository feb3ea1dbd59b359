"""What happens to droplets in DigitalOcean's panel, without our being asked.

Slow, because each test is minutes of a life, with a database and a controller of its own.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from deploy.local.simulators.digitalocean import DropletTimings
from tests.vps.vps_scene import VpsScene, play, settled

pytestmark = pytest.mark.slow


def test_a_destroyed_droplet_is_made_again(database_url: str) -> None:
    """It is believed gone after minutes only; the new one proves itself with a token of its own."""

    async def scene(here: VpsScene) -> None:
        before = await settled(here)
        first = here.droplet()
        await here.cloud.monkey_destroy(first.id)
        destroyed = here.store.clock.now()
        await here.until_event("DropletLost")
        assert here.store.clock.now() - destroyed >= timedelta(minutes=2)
        vps = await here.until_ready()

        assert first.id != here.droplet().id
        assert vps.status.droplet is not None
        assert here.droplet().id == vps.status.droplet.id
        assert first.user_data != here.droplet().user_data
        assert vps.status.gateway.hello > before.status.gateway.hello

    play(database_url, scene)


def test_what_answers_404_for_a_moment_is_not_made_again(database_url: str) -> None:
    """A provider's bad minute costs nobody a droplet."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        droplet = here.cloud.droplets.pop(here.droplet().id)
        here.cloud.show(droplet)

        async def missing() -> bool:
            return (await here.vps()).status.is_true("Missing")

        await here.until(missing, "missed")
        here.cloud.droplets[droplet.id] = droplet
        here.cloud.show(droplet)
        vps = await here.until_ready()

        assert [droplet.id] == [each.id for each in here.ours()]
        assert vps.status.condition("Missing") is None
        assert 1 == here.asked()["POST /v2/droplets"]

    play(database_url, scene)


def test_one_that_was_switched_off_is_switched_on(database_url: str) -> None:
    """The row says that it runs."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        await here.cloud.monkey_power(here.droplet().id, "off")

        async def switched() -> bool:
            kinds = [action.type for action in here.cloud.actions.values()]
            return kinds == ["create", "power_on"]

        await here.until(switched, "switched on", within=180)
        await here.until_ready()

    play(database_url, scene)


def test_one_that_was_switched_on_is_switched_off(database_url: str) -> None:
    """The row says that it does not run."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        await here.wish(power="Stopped")
        await here.until_phase("Off")
        await here.cloud.monkey_power(here.droplet().id, "active")

        async def off() -> bool:
            return here.droplet().status == "off"

        await here.until(off, "off again", within=300)
        await here.until_phase("Off")

    play(database_url, scene)


def test_another_action_is_waited_for(database_url: str) -> None:
    """While somebody reboots it nothing is asked for, and when that takes long it is told."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        here.cloud.timings = DropletTimings(reboot_seconds=1200)
        team = here.cloud.team_of("ada@example.com")
        here.cloud.act(team, str(here.droplet().id), {"type": "reboot"})
        await here.wish(power="Stopped")
        await here.until_event("Stuck", within=1200)
        assert 0 == here.asked()["POST /v2/droplets/{id}/actions"]
        await here.until_phase("Off", within=1800)

        assert (await here.vps()).status.condition("Busy") is None

    play(database_url, scene)


def test_a_failed_action_is_asked_again(database_url: str) -> None:
    """An action that ended as errored is told, and asked again after a while."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        here.cloud.failing_actions = {"shutdown"}
        await here.wish(power="Stopped")
        await here.until_reason("ActionFailed", kind="Retry")
        here.cloud.failing_actions = set()
        await here.until_phase("Off")

        assert "ActionFailed" in await here.events()

    play(database_url, scene)


def test_an_action_whose_answer_was_lost_is_found(database_url: str) -> None:
    """It is looked for before it is asked again."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        lost: list[str] = []

        def mishap(request: object) -> str:
            if getattr(request, "method", "") == "POST" and not lost:
                lost.append("it")
                return "unheard"
            return ""

        here.mishap = mishap
        await here.wish(power="Stopped")
        await here.until_phase("Off")

        kinds = [action.type for action in here.cloud.actions.values()]
        assert ["create", "shutdown"] == kinds

    play(database_url, scene)
