"""SSH keys are let in for as long as their rows wish it, to the second."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from crds.authorized_key import AuthorizedKey
from crds.vps import Vps
from deploy.local.simulators.gateways.machine import Key
from tests.gateways.conftest import Play
from tests.gateways.gateway_steps import KEY, OTHER, authorized, there
from tests.gateways.gateway_world import OTHER_KEY, PUBLIC_KEY, VPS, World


def test_a_key_is_let_in(play_scene: Play) -> None:
    """As its row says; then nothing is written and nothing sent."""

    async def scene(here: World) -> None:
        key = await authorized(here, label="laptop")
        status = key.status

        assert {KEY: Key(PUBLIC_KEY, "laptop", None)} == there(here)
        assert (KEY, 1, True) == (
            status.fingerprint,
            status.applied_generation,
            status.is_true("Ready"),
        )
        assert await here.rests()

    play_scene(scene)


def test_it_waits_for_its_gateway(play_scene: Play) -> None:
    """And is let in by itself when that is connected."""

    async def scene(here: World) -> None:
        await here.make_vps(connects=False)
        await here.make_key()
        await here.until_phase(AuthorizedKey, "k", "Waiting")
        rests = await here.rests()
        here.gateway.start()
        await here.until_phase(AuthorizedKey, "k", "Authorized")

        assert (True, [KEY]) == (rests, list(there(here)))

    play_scene(scene)


def test_it_stays_in_while_its_gateway_is_away(play_scene: Play) -> None:
    """The droplet lets it in whether its gateway is connected or not."""

    async def scene(here: World) -> None:
        await authorized(here)
        here.gateway.unplug()
        await asyncio.sleep(60)

        assert ("Authorized", "Authorized") == await here.phase(AuthorizedKey, "k")
        assert await here.rests()

    play_scene(scene)


def test_it_is_put_there_anew_with_every_hello(play_scene: Play) -> None:
    """Whatever became of the droplet meanwhile."""

    async def scene(here: World) -> None:
        await authorized(here)
        here.gateway.machine.revoke(KEY)
        await here.gateway.restart()
        await asyncio.sleep(10)

        assert [KEY] == list(there(here))

    play_scene(scene)


def test_it_ends_to_the_second(play_scene: Play) -> None:
    """It is revoked at the moment, and the row says so."""

    async def scene(here: World) -> None:
        key = await authorized(here, ends_in=600.0)
        end = key.spec.expires_at
        assert end is not None
        await asyncio.sleep((end - here.store.clock.now()).total_seconds() - 0.01)
        before = (await here.phase(AuthorizedKey, "k"))[0], list(there(here))
        await asyncio.sleep(0.5)
        status = (await here.key()).status
        revoked = [each.at for each in here.hub.sent if each.message["type"] == "ssh.revoke"]

        assert ("Authorized", [KEY]) == before
        assert ("Expired", {}) == (status.phase, there(here))
        assert status.expired_at is not None
        assert status.expired_at - end < timedelta(seconds=0.1)
        assert revoked[0] - end.timestamp() < 0.1
        assert await here.rests()

    play_scene(scene)


def test_it_ends_in_a_gateway_that_is_away_too(play_scene: Play) -> None:
    """By that one's clock; on its return it is told once, in case its clock is wrong."""

    async def scene(here: World) -> None:
        await authorized(here, ends_in=600.0)
        here.gateway.unplug()
        await asyncio.sleep(700)
        status = (await here.key()).status
        sent = here.hub.of_type("ssh.revoke")
        here.gateway.plug()
        await asyncio.sleep(60)

        assert ("Expired", [], {}) == (status.phase, sent, there(here))
        assert 1 == len(here.hub.of_type("ssh.revoke"))
        assert await here.rests()

    play_scene(scene)


def test_what_is_over_is_never_let_in(play_scene: Play) -> None:
    """An end that lies in the past is an end."""

    async def scene(here: World) -> None:
        await here.make_vps()
        await here.make_key(ends_in=-1.0)
        await here.until_phase(AuthorizedKey, "k", "Expired")
        await here.delete(AuthorizedKey, "k")
        await here.until_gone(AuthorizedKey, "k")

        assert [] == here.hub.of_type("ssh.authorize", "ssh.revoke")

    play_scene(scene)


def test_another_end_lets_it_in_again(play_scene: Play) -> None:
    """What is over is over only for as long as its row says so."""

    async def scene(here: World) -> None:
        await authorized(here, ends_in=60.0)
        await here.until_phase(AuthorizedKey, "k", "Expired")
        await here.edit(AuthorizedKey, "k", expires_at=None)
        await here.until_phase(AuthorizedKey, "k", "Authorized")

        assert [KEY] == list(there(here))
        assert (await here.key()).status.expired_at is None

    play_scene(scene)


def test_an_edit_reaches_the_gateway(play_scene: Play) -> None:
    """Its label and its end are told once each."""

    async def scene(here: World) -> None:
        await authorized(here)
        end = here.store.clock.now() + timedelta(hours=1)
        await here.edit(AuthorizedKey, "k", label="desk", expires_at=end)
        await here.until_phase(AuthorizedKey, "k", "Authorized")
        told = there(here)[KEY]

        assert ("desk", end.isoformat().replace("+00:00", "Z")) == (told.label, told.expires_at)
        assert 2 == len(here.hub.of_type("ssh.authorize"))

    play_scene(scene)


@pytest.mark.parametrize("away", [False, True])
def test_another_key_replaces_it(play_scene: Play, *, away: bool) -> None:
    """The old one is not left behind, wherever the gateway was at the time."""

    async def scene(here: World) -> None:
        await authorized(here)
        if away:
            here.gateway.unplug()
            await asyncio.sleep(60)
        await here.edit(AuthorizedKey, "k", public_key=OTHER_KEY)
        await asyncio.sleep(5)
        here.gateway.plug()
        await here.until_phase(AuthorizedKey, "k", "Authorized")

        assert [OTHER] == list(there(here))
        assert OTHER == (await here.key()).status.fingerprint

    play_scene(scene)


def test_it_cannot_be_moved(play_scene: Play) -> None:
    """To name another VPS is refused, and nothing changes on either."""

    async def scene(here: World) -> None:
        await authorized(here)
        await here.make_vps("two")
        await here.edit(AuthorizedKey, "k", vps="two")
        await asyncio.sleep(5)
        retry = (await here.key()).status.retry

        assert retry is not None
        assert ("Blocked", "VpsIsFixed") == (retry.kind, retry.reason)
        assert ([KEY], {}) == (list(there(here)), there(here, "two"))

    play_scene(scene)


def test_without_a_vps_it_is_blocked(play_scene: Play) -> None:
    """Until there is one of that name."""

    async def scene(here: World) -> None:
        await here.make_key()
        await asyncio.sleep(5)
        before = await here.phase(AuthorizedKey, "k")
        await here.make_vps()
        await here.until_phase(AuthorizedKey, "k", "Authorized")

        assert ("Blocked", "NoVps") == before

    play_scene(scene)


@pytest.mark.parametrize("away_for", [None, 5.0, 60.0])
def test_it_goes_with_its_row(play_scene: Play, away_for: float | None) -> None:
    """Revoked where that can be told; else the next hello sees to it."""

    async def scene(here: World) -> None:
        await authorized(here)
        if away_for is not None:
            here.gateway.unplug()
            await asyncio.sleep(away_for)
        await here.delete(AuthorizedKey, "k")
        await asyncio.sleep(3)
        gone, left = await here.is_gone(AuthorizedKey, "k"), list(there(here))
        here.gateway.plug()
        await asyncio.sleep(60)

        assert (True, [KEY] if away_for else []) == (gone, left)
        assert {} == there(here)

    play_scene(scene)


def test_it_goes_with_its_vps(play_scene: Play) -> None:
    """What is in a droplet that is destroyed need not be revoked."""

    async def scene(here: World) -> None:
        await authorized(here)
        await here.delete(Vps, VPS)
        await here.until_gone(Vps, VPS)

        assert await here.is_gone(AuthorizedKey, "k")
        assert [] == here.hub.of_type("ssh.revoke")

    play_scene(scene)


def test_a_key_that_comes_again_is_let_in_again(play_scene: Play) -> None:
    """Also within the ten minutes for which the hub answers the same command as before."""

    async def scene(here: World) -> None:
        await authorized(here)
        for _ in range(3):
            await here.delete(AuthorizedKey, "k")
            await here.until_gone(AuthorizedKey, "k")
            await here.make_key()
            await here.until_phase(AuthorizedKey, "k", "Authorized")

            assert [KEY] == list(there(here))

    play_scene(scene)
