"""SSH keys are let in for as long as their rows wish it, to the second."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from crds.authorized_key import AuthorizedKey, fingerprint_of
from crds.vps import Vps
from deploy.local.simulators.gateways.machine import Key
from tests.gateways.conftest import Play
from tests.gateways.gateway_world import OTHER_KEY, PUBLIC_KEY, VPS, World

KEY = fingerprint_of(PUBLIC_KEY)
OTHER = fingerprint_of(OTHER_KEY)


async def authorized(here: World, **spec: object) -> AuthorizedKey:
    """A key that is let in."""
    await here.make_vps()
    await here.make_key(**spec)  # type: ignore[arg-type]  # a spec's fields
    await here.until_phase(AuthorizedKey, "k", "Authorized")
    return await here.key()


def there(here: World, vps: str = VPS) -> dict[str, Key]:
    """What is let in."""
    return here.gateways[vps].machine.keys


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
        key = await authorized(here, ends_in=3600.0)
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

        assert [] == here.hub.sent

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
        assert 2 == len(here.hub.sent)

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


def test_two_rows_hold_one_key(play_scene: Play) -> None:
    """It stays for as long as one of them does, as that one wishes."""

    async def scene(here: World) -> None:
        await authorized(here, label="first")
        await here.make_key("l", label="second", ends_in=3600.0)
        await here.until_phase(AuthorizedKey, "l", "Authorized")
        both = there(here)[KEY]
        await here.delete(AuthorizedKey, "k")
        await here.until_gone(AuthorizedKey, "k")
        one = there(here)[KEY]
        await here.delete(AuthorizedKey, "l")
        await here.until_gone(AuthorizedKey, "l")

        assert ("first", None) == (both.label, both.expires_at)
        assert ("second", True) == (one.label, one.expires_at is not None)
        assert {} == there(here)

    play_scene(scene)


def test_the_end_of_one_row_is_not_the_end_of_another(play_scene: Play) -> None:
    """Whichever of them was told last."""

    async def scene(here: World) -> None:
        await authorized(here, ends_in=7200.0)
        await here.make_key("l", ends_in=600.0)
        await here.until_phase(AuthorizedKey, "l", "Expired", within=700.0)
        await asyncio.sleep(60)
        between = there(here)[KEY].label
        await here.until_phase(AuthorizedKey, "k", "Expired", within=8000.0)

        assert ("k", {}) == (between, there(here))

    play_scene(scene)


def test_rows_of_one_key_that_change_at_once_agree(play_scene: Play) -> None:
    """What the gateway has in the end is the wish of the one that ends last."""

    async def scene(here: World) -> None:
        await here.make_vps()
        for number in range(8):
            await here.make_key(f"k{number}", ends_in=1000.0 + number)
        await asyncio.sleep(10)
        made = there(here)[KEY].label
        for number in range(4, 8):
            await here.delete(AuthorizedKey, f"k{number}")
        await asyncio.sleep(10)

        assert ("k7", "k3") == (made, there(here)[KEY].label)

    play_scene(scene)


def test_a_refusal_is_shown_and_not_asked_for_again(play_scene: Play) -> None:
    """Until its row is edited or its gateway comes back."""

    async def scene(here: World) -> None:
        await here.make_vps()
        here.gateway.faults.refusing["ssh.authorize"] = "no-space"
        await here.make_key()
        await here.until_phase(AuthorizedKey, "k", "Failed")
        rests = await here.rests()
        await here.edit(AuthorizedKey, "k", label="again")
        await asyncio.sleep(5)
        asked = len(here.hub.sent)
        here.gateway.faults.refusing.clear()
        await here.gateway.restart()
        await here.until_phase(AuthorizedKey, "k", "Authorized")

        assert (True, 2) == (rests, asked)

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
    """Revoked where that can be told; else the next hello sees to it (tidy)."""

    async def scene(here: World) -> None:
        await authorized(here)
        if away_for is not None:
            here.gateway.unplug()
            await asyncio.sleep(away_for)
        await here.delete(AuthorizedKey, "k")
        await asyncio.sleep(3)

        assert await here.is_gone(AuthorizedKey, "k")
        assert ([KEY] if away_for else []) == list(there(here))

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


@pytest.mark.parametrize("sent", [False, True])
def test_a_crash_leaves_no_key_behind(play_scene: Play, *, sent: bool) -> None:
    """What was asked for is on record, so an edit takes it away."""

    async def scene(here: World) -> None:
        await here.make_vps()
        here.roads.crash = ("ssh.authorize", sent)
        await here.make_key()
        await asyncio.sleep(1)
        await here.edit(AuthorizedKey, "k", public_key=OTHER_KEY)
        await here.until_phase(AuthorizedKey, "k", "Authorized")

        assert (None, [OTHER]) == (here.roads.crash, list(there(here)))

    play_scene(scene)


def test_a_crash_at_its_end_ends_it(play_scene: Play) -> None:
    """Of its time, or of its row."""

    async def scene(here: World) -> None:
        await authorized(here, ends_in=60.0)
        here.roads.crash = ("ssh.revoke", True)
        await here.until_phase(AuthorizedKey, "k", "Expired")
        await here.edit(AuthorizedKey, "k", expires_at=None)
        await here.until_phase(AuthorizedKey, "k", "Authorized")
        here.roads.crash = ("ssh.revoke", False)
        await here.delete(AuthorizedKey, "k")
        await here.until_gone(AuthorizedKey, "k")

        assert (None, {}) == (here.roads.crash, there(here))

    play_scene(scene)


def test_a_lost_answer_is_asked_for_again(play_scene: Play) -> None:
    """With the same id."""

    async def scene(here: World) -> None:
        await here.make_vps()
        here.gateway.faults.lost_answers = 1
        await here.make_key()
        await here.until_phase(AuthorizedKey, "k", "Authorized")

        assert 1 == len({each["id"] for each in here.hub.of_type("ssh.authorize")})

    play_scene(scene)


def test_an_outage_does_not_stay_on_a_row(play_scene: Play) -> None:
    """A key that is in is shown as that, once its gateway is known to be away."""

    async def scene(here: World) -> None:
        await authorized(here)
        here.gateway.faults.deaf = True
        here.gateway.unplug()
        here.gateway.plug()
        await asyncio.sleep(40)
        doubted = (await here.key()).status.retry
        here.gateway.unplug()
        await here.until_phase(AuthorizedKey, "k", "Authorized")

        assert doubted is not None
        assert (await here.key()).status.is_true("Ready")

    play_scene(scene)
