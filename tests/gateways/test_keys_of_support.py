"""Support's keys end a day after they were made at the latest, whatever their rows say."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from crds.authorized_key import AuthorizedKey
from tests.gateways.conftest import Play
from tests.gateways.gateway_steps import KEY, authorized, there
from tests.gateways.gateway_world import World

DAY = timedelta(days=1)


def _end(here: World) -> datetime:
    """When the gateway lets the key in no longer, by its own clock."""
    return datetime.fromisoformat(str(there(here)[KEY].expires_at))


def test_a_key_of_support_ends_within_a_day(play_scene: Play) -> None:
    """The gateway is told of that end, so that it keeps to it whoever is away."""

    async def scene(here: World) -> None:
        key = await authorized(here, type="support", ends_in=3 * DAY.total_seconds())
        made = key.metadata.creation_timestamp

        assert made is not None
        assert made + DAY == _end(here)
        assert await here.rests()

    play_scene(scene)


def test_it_cannot_be_prolonged_beyond_that(play_scene: Play) -> None:
    """Whoever edits its end puts nothing off; a user's own key is let in for as long as wished."""

    async def scene(here: World) -> None:
        key = await authorized(here, type="support", ends_in=600.0)
        made, end = key.metadata.creation_timestamp, key.spec.expires_at
        assert made is not None
        assert end is not None
        later = end + 30 * DAY
        ends = [_end(here)]
        for type_ in ("support", "user"):
            await here.edit(AuthorizedKey, "k", expires_at=later, type=type_)
            await asyncio.sleep(10)
            ends.append(_end(here))

        assert [end, made + DAY, later] == ends

    play_scene(scene)
