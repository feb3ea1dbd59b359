"""Observations that were lost, with a report or with the database: the next ones say the same."""

from __future__ import annotations

import asyncio

from crds.session import Session
from crds.vps import Vps
from tests.gateways.conftest import Play
from tests.gateways.gateway_steps import running
from tests.gateways.gateway_world import USER, VPS, World


def test_a_connection_whose_beginning_was_lost_is_one(play_scene: Play) -> None:
    """Where a backup says that a gateway is away, its next health says that it is there."""

    async def scene(here: World) -> None:
        await running(here)
        await here.store.database.execute(
            "UPDATE gateway_observations SET kind = 'disconnected', sequence = "
            "(SELECT max(sequence) FROM gateway_observations) WHERE subject = 'connection'"
        )
        here.resync()
        await asyncio.sleep(1)
        before = (await here.store.get(Vps, VPS, USER)).status
        await asyncio.sleep(31)
        here.resync()
        await here.make_session("new")
        await here.until_phase(Session, "new", "Running")

        assert not before.gateway.connected

    play_scene(scene)


def test_a_hello_alone_is_a_connection(play_scene: Play) -> None:
    """The hub tells of a connection once, also when that is lost; its hello is as good."""

    async def scene(here: World) -> None:
        await running(here)
        await here.store.database.execute(
            "DELETE FROM gateway_observations WHERE subject = 'connection'"
        )
        here.resync()
        await here.make_session("new")
        await here.until_phase(Session, "new", "Running")

    play_scene(scene)
