"""Sessions and keys through a droplet's whole life, with everything that a replica runs.

Slow, because each test lives minutes or hours of that life.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from crds.authorized_key import AuthorizedKey, AuthorizedKeySpec, fingerprint_of
from crds.meta import ObjectMeta, Resource
from crds.session import Session, SessionSpec
from crds.store.observations import HELLO
from tests.gateways.gateway_world import PUBLIC_KEY
from tests.gateways.protocol_schemas import check
from tests.simulation.processes import USER
from tests.vps.vps_scene import NAME, VpsScene, play, settled

pytestmark = pytest.mark.slow

KEY = fingerprint_of(PUBLIC_KEY)


async def make(here: VpsScene) -> UUID:
    """Wish for a session and a key on the Vps; returns the session's uid."""
    here.hub.check = check
    session = Session(metadata=_meta("s"), spec=SessionSpec(vps=NAME))
    spec = AuthorizedKeySpec(vps=NAME, public_key=PUBLIC_KEY)
    await here.store.create(AuthorizedKey(metadata=_meta("k"), spec=spec))
    return (await here.store.create(session)).uid


async def until(here: VpsScene, kind: type[Resource], name: str, phase: str) -> Any:
    """Let time pass until a row is in a phase; returns its status."""

    async def holds() -> bool:
        return (await here.store.get(kind, name, USER)).status.phase == phase

    await here.until(holds, f"{name} is {phase}", every=1.0)
    return (await here.store.get(kind, name, USER)).status


def _meta(name: str) -> ObjectMeta:
    return ObjectMeta(name=name, namespace=USER)


def test_power_takes_a_session_and_brings_it_back(database_url: str) -> None:
    """Off, it waits; on, it is begun anew, and the key is let in again.

    Nothing is left when the Vps is deleted, and the hub had nothing to complain of.
    """

    async def scene(here: VpsScene) -> None:
        await settled(here)
        session = await make(here)
        await until(here, Session, "s", "Running")
        await until(here, AuthorizedKey, "k", "Authorized")
        await here.wish(power="Stopped")
        await here.until_phase("Off")
        await until(here, Session, "s", "Waiting")
        await here.wish(power="Running")
        status = await until(here, Session, "s", "Running")
        await here.until_ready()
        vps = await here.vps()
        gateway = here.droplets.of(vps.uid)
        assert gateway is not None

        assert (1, [str(session)]) == (status.starts, list(gateway.machine.sessions))
        assert [KEY] == list(gateway.machine.keys)
        await here.delete()
        await here.until_gone()
        assert [] == here.ours()
        assert {} == await here.store.observations.of(vps.uid)
        assert [] == [
            row for kind in (Session, AuthorizedKey) for row in await here.store.rows(kind)
        ]
        assert [] == here.hub.complaints

    play(database_url, scene)


def test_another_droplet_is_not_taken_for_the_one_that_is_gone(database_url: str) -> None:
    """When the user destroys it in the control panel, all that was in it begins anew."""

    async def scene(here: VpsScene) -> None:
        await settled(here)
        session = await make(here)
        await until(here, Session, "s", "Running")
        await until(here, AuthorizedKey, "k", "Authorized")
        before = here.droplet().id
        await here.cloud.monkey_destroy(before)

        async def holds() -> bool:
            return [before] != [each.id for each in here.ours()] and bool(here.ours())

        await here.until(holds, "another droplet")
        await here.until_ready()
        await until(here, Session, "s", "Running")
        await asyncio.sleep(60)
        gateway = here.droplets.of((await here.vps()).uid)
        assert gateway is not None

        assert [str(session)] == list(gateway.machine.sessions)
        assert [KEY] == list(gateway.machine.keys)

    play(database_url, scene)


def test_a_session_that_is_deleted_in_an_outage_is_gone_behind_it(database_url: str) -> None:
    """Its row goes at once; its gateway, which still had it, is told at its return."""

    async def scene(here: VpsScene) -> None:
        vps = await settled(here)
        await make(here)
        await until(here, Session, "s", "Running")
        gateway = here.droplets.of(vps.uid)
        assert gateway is not None
        gateway.unplug()
        await until(here, Session, "s", "Waiting")
        for kind, name in ((Session, "s"), (AuthorizedKey, "k")):
            await here.store.delete(kind, name, USER)
        await asyncio.sleep(5)
        rows = [await here.store.find(Session, "s", USER)]
        rows += [await here.store.find(AuthorizedKey, "k", USER)]  # type: ignore[list-item]  # as long as it is None
        had = len(gateway.machine.sessions), list(gateway.machine.keys)
        gateway.plug()
        await asyncio.sleep(60)

        assert ([None, None], (1, [KEY])) == (rows, had)
        assert ({}, {}) == (gateway.machine.sessions, gateway.machine.keys)

    play(database_url, scene)


def test_what_is_in_a_droplet_rests(database_url: str) -> None:
    """A session and a key as wished cost no write and no command, resyncs included."""

    async def scene(here: VpsScene) -> None:
        vps = await settled(here)
        await make(here)
        await until(here, Session, "s", "Running")
        await until(here, AuthorizedKey, "k", "Authorized")
        await asyncio.sleep(300)
        before = await here.writes(), len(here.hub.sent)
        hello = (await here.store.observations.of(vps.uid, HELLO))[HELLO].sequence
        await asyncio.sleep(3600)

        assert before == (await here.writes(), len(here.hub.sent))
        assert hello == (await here.store.observations.of(vps.uid, HELLO))[HELLO].sequence

    play(database_url, scene)
