"""What gateways report wakes whom it concerns, once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from psycopg import OperationalError

from controller import mapping
from controller.gateways.watch import Dependents, GatewayWatch
from crds.authorized_key import AuthorizedKey, AuthorizedKeySpec
from crds.meta import Key, ObjectMeta
from crds.session import Session, SessionSpec
from crds.store import LocalDoorbell, Store, WatchEvent
from crds.store.database import Database, make_pool
from crds.store.observations import (
    CONNECTION,
    HEALTH,
    HELLO,
    Observation,
    agent_subject,
    session_error_subject,
    session_subject,
)
from crds.vps import Vps, VpsSpec
from tests.gateways.hub_scene import PUBLIC_KEY
from tests.support.virtual_time import clock, run

POLL_SECONDS: Final = 30.0
VPS: Final = Key("Vps", "a", "one")
SESSION: Final = Key("Session", "a", "s")


class FailingDatabase(Database):
    """A database that fails when told to."""

    failures = 0

    async def fetch(self, query: str, *parameters: object) -> Any:
        """Run a statement, or fail."""
        if self.failures and ("gateway_observations" in query or "unnest" in query):
            self.failures -= 1
            raise OperationalError("the database is away")
        return await super().fetch(query, *parameters)


class Scene:
    """A store, who watches it, and whom that woke."""

    def __init__(self, database: FailingDatabase) -> None:
        self.database = database
        self.store = Store(database, clock(), LocalDoorbell(), poll_seconds=POLL_SECONDS)
        self.woken: list[Key] = []
        self.watch = GatewayWatch(self.store, self.woken.append)
        self.dependents = Dependents(self.store, self.woken.append)

    async def make(self, namespace: str = "a") -> tuple[UUID, UUID]:
        """An account's Vps with a session and a key; returns the uids of the first two."""
        meta = ObjectMeta(name="one", namespace=namespace)
        vps = await self.store.create(Vps(metadata=meta, spec=VpsSpec()))
        meta = ObjectMeta(name="s", namespace=namespace)
        session = await self.store.create(Session(metadata=meta, spec=SessionSpec(vps="one")))
        spec = AuthorizedKeySpec(vps="one", public_key=PUBLIC_KEY)
        meta = ObjectMeta(name="k", namespace=namespace)
        await self.store.create(AuthorizedKey(metadata=meta, spec=spec))
        return vps.uid, session.uid

    async def report(self, gateway: UUID, subject: str, number: int, ago: float = 0.0) -> None:
        """Note what a gateway said."""
        now = self.store.clock.now() - timedelta(seconds=ago)
        await self.store.observations.record(
            [Observation(gateway, subject, number, "kind", now, None)], now
        )

    async def look(self) -> list[Key]:
        """Look once; returns whom that woke."""
        self.woken.clear()
        await self.watch.look()
        return sorted(self.woken)


def play(url: str, scene: Callable[[Scene], Awaitable[None]]) -> None:
    """Run a scene on virtual time."""

    async def main() -> None:
        async with make_pool(url, 2) as pool:
            await scene(Scene(FailingDatabase(pool)))

    run(main, limit_seconds=10_000)


@pytest.mark.parametrize("subject", [CONNECTION, HELLO, agent_subject("codex")])
def test_news_of_a_gateway_wake_its_vps(database_url: str, subject: str) -> None:
    """Once, however often they are seen."""

    async def scene(here: Scene) -> None:
        vps, _ = await here.make()
        await here.report(vps, subject, 1)

        assert [VPS] == await here.look()
        assert [] == await here.look()
        await here.report(vps, subject, 2)
        assert [VPS] == await here.look()

    play(database_url, scene)


def test_news_of_a_session_wake_that(database_url: str) -> None:
    """Its beginning, its end and its trouble are its own."""

    async def scene(here: Scene) -> None:
        vps, session = await here.make()
        await here.report(vps, session_subject(session), 1)

        assert [SESSION] == await here.look()
        await here.report(vps, session_error_subject(session), 2)
        assert [SESSION] == await here.look()

    play(database_url, scene)


def test_a_session_that_nobody_wishes_for_is_its_gateways_trouble(database_url: str) -> None:
    """So is one that is somebody else's: a gateway wakes nothing beyond its account."""

    async def scene(here: Scene) -> None:
        vps, _ = await here.make()
        other, theirs = await here.make("b")
        for number, subject in enumerate((uuid4(), theirs, other), start=1):
            await here.report(vps, session_subject(subject), number)
            assert [VPS] == await here.look()

    play(database_url, scene)


def test_health_wakes_nobody(database_url: str) -> None:
    """It comes all the time."""

    async def scene(here: Scene) -> None:
        vps, _ = await here.make()
        await here.report(vps, HEALTH, 1)

        assert [] == await here.look()

    play(database_url, scene)


def test_a_gateway_that_nobody_knows_wakes_nobody(database_url: str) -> None:
    """Its Vps is gone."""

    async def scene(here: Scene) -> None:
        await here.report(uuid4(), HELLO, 1)

        assert [] == await here.look()

    play(database_url, scene)


def test_what_is_seen_late_is_not_missed(database_url: str) -> None:
    """A report that was noted by another clock, or committed behind a newer one."""

    async def scene(here: Scene) -> None:
        vps, session = await here.make()
        await here.report(vps, HELLO, 2)
        await here.look()
        await here.report(vps, session_subject(session), 1, ago=9)
        little = await here.look()
        await here.report(vps, session_error_subject(session), 1, ago=30)
        soon = await here.look()
        await asyncio.sleep(15)
        late = await here.look()

        assert ([SESSION], [], [SESSION]) == (little, soon, late)

    play(database_url, scene)


def test_what_could_not_be_told_is_told_again(database_url: str) -> None:
    """A look that failed half-way has seen nothing."""

    async def scene(here: Scene) -> None:
        vps, _ = await here.make()
        await here.report(vps, HELLO, 1)
        with pytest.MonkeyPatch.context() as patch:

            async def fail(_: object) -> dict[UUID, Key]:
                raise OperationalError("the database is away")

            patch.setattr(here.store, "keys_of", fail)
            with pytest.raises(OperationalError):
                await here.look()

        assert [VPS] == await here.look()

    play(database_url, scene)


def test_it_looks_when_it_rings_and_once_in_a_while(database_url: str) -> None:
    """Whoever notes a report need not ring; a database that was away ends nothing."""

    async def scene(here: Scene) -> None:
        vps, _ = await here.make()
        task = asyncio.ensure_future(here.watch.run())
        await asyncio.sleep(5)
        here.database.failures = 1
        await here.report(vps, HELLO, 1)
        here.store.doorbell.ring()
        await asyncio.sleep(1)
        failed = list(here.woken)
        here.store.doorbell.ring()
        await asyncio.sleep(1)
        rung = list(here.woken)
        await here.report(vps, HELLO, 2)
        await asyncio.sleep(POLL_SECONDS + 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert ([], [VPS], [VPS, VPS]) == (failed, rung, here.woken)

    play(database_url, scene)


def test_many_rings_at_once_are_few_looks(database_url: str) -> None:
    """Every write rings, whatever it is about."""

    async def scene(here: Scene) -> None:
        looks = 0
        look = here.watch.look

        async def counted() -> None:
            nonlocal looks
            looks += 1
            await look()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(here.watch, "look", counted)
            task = asyncio.ensure_future(here.watch.run())
            for _ in range(100):
                await asyncio.sleep(0.01)
                here.store.doorbell.ring()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        assert looks <= 5

    play(database_url, scene)


def event(type_: Any, now: dict[str, Any], before: dict[str, Any] | None = None) -> WatchEvent:
    """A change of the Vps."""
    return WatchEvent(type_, 1, VPS, uuid4(), spec_changed=False, object=now, previous=before)


def test_what_of_a_vps_concerns_what_is_in_it() -> None:
    """That it is there, that it goes, and its gateway; nothing else of its status does."""
    away: dict[str, Any] = {"metadata": {}, "status": {"gateway": {"connected": False}}}
    there = {"metadata": {}, "status": {"gateway": {"connected": True}}}
    going = {"metadata": {"deletionTimestamp": "2030-01-01T00:00:00Z"}, "status": away["status"]}
    other = {"metadata": {}, "status": {**away["status"], "phase": "Offline"}}

    assert mapping.gateway_changed(event("ADDED", away))
    assert mapping.gateway_changed(event("DELETED", away))
    assert mapping.gateway_changed(event("MODIFIED", there, away))
    assert mapping.gateway_changed(event("MODIFIED", going, away))
    assert not mapping.gateway_changed(event("MODIFIED", other, away))


def test_a_vps_wakes_what_is_in_it(database_url: str) -> None:
    """Its sessions and keys, nobody else's; a database that was away is asked again."""

    async def scene(here: Scene) -> None:
        await here.make()
        await here.make("b")
        here.database.failures = 1
        task = asyncio.ensure_future(here.dependents.run())
        noted = here.dependents.note(event("DELETED", {}))
        await asyncio.sleep(1)
        early = list(here.woken)
        await asyncio.sleep(10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert ((), []) == (noted, early)
        assert [Key("AuthorizedKey", "a", "k"), SESSION] == sorted(here.woken)

    play(database_url, scene)
