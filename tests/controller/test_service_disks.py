"""Disks of services that begin as copies of others."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest.mock import patch

from crds.machine import Machine, VolumeSpec
from tests.controller.service_scenes import Play, found, live, play, until, until_gone, wish
from tests.simulation.world import World

__all__ = ["play"]


async def _source(here: World, size_gb: int = 10) -> str:
    """A disk to begin as a copy of: that of another row in the same app."""
    await wish(here, "pg", volume=VolumeSpec(size_gb=size_gb))
    row = await until(here, "Running", "pg")
    assert row.status.volume is not None
    return row.status.volume.id


async def _copy(here: World, source: str, size_gb: int = 10) -> Machine:
    """A row whose disk is a copy, when it is well."""
    await wish(here, "pg-2", volume=VolumeSpec(size_gb=size_gb, source=source))
    return await until(here, "Running", "pg-2")


def test_copy_of_a_disk_is_waited_for(play: Play) -> None:
    """No machine is made on a disk that does not have its contents yet."""

    async def scene(here: World) -> None:
        source = await _source(here)
        create, asked = here.fly.create_volume, []

        def hydrating(app: str, body: dict[str, Any]) -> dict[str, Any]:
            asked.append(body.pop("source_volume_id"))
            made = create(app, body)
            here.fly.volumes[made["id"]].state = "hydrating"
            return made | {"state": "hydrating"}

        with patch.object(here.fly, "create_volume", hydrating):
            await wish(here, "pg-2", volume=VolumeSpec(size_gb=10, source=source))
            await here.pass_time(timedelta(minutes=20))
        assert 1 == len(live(here))
        for volume in here.fly.volumes.values():
            volume.state = "created"
        await until(here, "Running", "pg-2")

        assert [source] == asked

    play(scene)


def test_copy_is_never_smaller_than_what_it_is_a_copy_of(play: Play) -> None:
    """A smaller wish is told to be refused, as for every disk, and holds nothing up."""

    async def scene(here: World) -> None:
        row = await _copy(here, await _source(here, 20), 10)

        assert row.status.volume is not None
        assert 20 == row.status.volume.size_gb
        assert row.status.is_true("ShrinkRefused")

    play(scene)


def test_copy_of_what_is_gone_is_not_an_empty_disk(play: Play) -> None:
    """Nothing is made in its place, and the row says what it waits for."""

    async def scene(here: World) -> None:
        await wish(here, volume=VolumeSpec(size_gb=10, source="vol_gone"))
        await here.pass_time(timedelta(minutes=5))
        row = await found(here)

        assert row.status.retry is not None
        assert ("Blocked", "SourceMissing") == (row.status.retry.kind, row.status.retry.reason)
        assert not here.fly.volumes

    play(scene)


def test_lost_copy_is_made_anew_without_its_source(play: Play) -> None:
    """Who had a complete copy and lost it begins empty, as everything does that loses its disk."""

    async def scene(here: World) -> None:
        copied = await _copy(here, await _source(here))
        await until_gone(here, "pg")
        instance, volume = copied.status.instance, copied.status.volume
        assert instance is not None
        assert volume is not None
        await here.fly.monkey_destroy(instance.id)
        here.fly.monkey_delete_volume(volume.id)
        await here.until_event("VolumeLost", within=3600)
        row = await until(here, "Running", "pg-2")

        assert row.status.volume is not None
        assert [row.status.volume.id] == list(here.fly.volumes)

    play(scene)
