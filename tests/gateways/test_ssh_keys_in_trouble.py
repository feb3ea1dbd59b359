"""SSH keys that several rows hold, and through crashes and lost answers."""

from __future__ import annotations

import asyncio

import pytest

from crds.authorized_key import AuthorizedKey
from tests.gateways.conftest import Play
from tests.gateways.gateway_steps import KEY, OTHER, authorized, there
from tests.gateways.gateway_world import OTHER_KEY, World


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
        await authorized(here, ends_in=1200.0)
        await here.make_key("l", ends_in=600.0)
        await asyncio.sleep(601)
        between = (await here.phase(AuthorizedKey, "l"))[0], there(here)[KEY].label
        await asyncio.sleep(600)

        assert (("Expired", "k"), {}) == (between, there(here))
        assert 1 == len(here.hub.of_type("ssh.revoke"))

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


def test_rows_of_one_key_do_not_overtake_each_other(play_scene: Play) -> None:
    """A command that is long on its way does not bring back what another row wished before."""

    async def scene(here: World) -> None:
        await authorized(here, ends_in=600.0)
        await here.make_key("l", ends_in=1200.0)
        await here.until_phase(AuthorizedKey, "l", "Authorized")
        here.roads.delay = 2.0
        await here.edit(AuthorizedKey, "k", label="late")
        await asyncio.sleep(0.5)
        await here.edit(AuthorizedKey, "l", label="new")
        await asyncio.sleep(60)

        assert "new" == there(here)[KEY].label

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
        asked = len(here.hub.of_type("ssh.authorize"))
        here.gateway.faults.refusing.clear()
        await here.gateway.restart()
        await here.until_phase(AuthorizedKey, "k", "Authorized")

        assert (True, 2) == (rests, asked)

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

        assert (1, [OTHER]) == (here.roads.crashes, list(there(here)))

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

        assert (2, {}) == (here.roads.crashes, there(here))

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
