"""What gateways report wakes those whom it concerns, and so does what a Vps makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import anyio
import structlog
from psycopg import Error as DatabaseError

from controller.engine.router import Route
from crds.authorized_key import AuthorizedKey
from crds.meta import Key
from crds.session import Session
from crds.store import Store, WatchEvent
from crds.store.observations import session_of

# What comes within this span is one look.
GATHER_SECONDS: Final = 0.25
# So far back a look goes: a report is noted by its teller's clock, and may be seen late.
OVERLAP: Final = timedelta(seconds=60)
# Most looks go back no further than this: when all gateways come back at once, each of them would
# read again what a minute brought.
NEAR: Final = timedelta(seconds=10)
FAR_EVERY: Final = timedelta(seconds=15)
RETRY_SECONDS: Final = 5.0
DEPENDENTS: Final = (Session.KIND, AuthorizedKey.KIND)

log = structlog.get_logger("invoker.gateways")


class GatewayWatch:
    """Looks for news of gateways, and wakes the Session or the Vps that each is about.

    Looks whenever it rings, and once in a while although it does not: whoever notes a report need
    not ring. Health is no news; nor is what was seen before.

    Args:
        store: Where the reports and the rows are.
        wake: Called with the key of a Vps or a Session that there is news of.
    """

    def __init__(self, store: Store, wake: Callable[[Key], None]) -> None:
        self._store = store
        self._wake = wake
        self._known: dict[tuple[UUID, str], int] = {}
        self._far_at: datetime | None = None

    async def run(self) -> None:
        """Look for ever."""
        while True:
            heard = self._store.doorbell.rings()
            try:
                await self.look()
            except DatabaseError as error:
                log.warning("cannot look for news", error=type(error).__name__)
            except Exception:
                log.exception("cannot look for news")
            await anyio.sleep(GATHER_SECONDS)
            await self._store.doorbell.wait(heard, self._store.poll_seconds)

    async def look(self) -> None:
        """Look once."""
        now = self._store.clock.now()
        far = self._far_at is None or now >= self._far_at + FAR_EVERY
        news = await self._store.observations.news(now - (OVERLAP if far else NEAR))
        fresh = [about for about, sequence in news.items() if sequence > self._known.get(about, -1)]
        if fresh:
            subjects = {uid for about in fresh for uid in _concerned(about)}
            keys = await self._store.keys_of(subjects)
            for key in dict.fromkeys(_whom(keys, about) for about in fresh):
                if key is not None:
                    self._wake(key)
        self._known = news if far else self._known | news
        self._far_at = now if far else self._far_at


class Dependents:
    """Wakes the Sessions and AuthorizedKeys of a Vps whose gateway came, went or began anew.

    Args:
        store: Where they are.
        wake: Called with their keys.
    """

    def __init__(self, store: Store, wake: Callable[[Key], None]) -> None:
        self._store = store
        self._wake = wake
        self._due: set[tuple[str, str]] = set()
        self._rung = asyncio.Event()

    def note(self, event: WatchEvent) -> tuple[Route, ...]:
        """Remember a Vps that changed, for `run` to find what depends on it."""
        self._due.add((event.key.namespace, event.key.name))
        self._rung.set()
        return ()

    async def run(self) -> None:
        """Wake for ever."""
        while True:
            await self._rung.wait()
            self._rung = asyncio.Event()
            due, self._due = self._due, set()
            try:
                await self._wake_all(due)
            except DatabaseError as error:
                log.warning("cannot find dependents", error=type(error).__name__)
                await self._remember(due)
            except Exception:
                log.exception("cannot find dependents")
                await self._remember(due)

    async def _wake_all(self, due: set[tuple[str, str]]) -> None:
        for key in await self._store.keys_naming(DEPENDENTS, "vps", due):
            self._wake(key)

    async def _remember(self, due: set[tuple[str, str]]) -> None:
        self._due |= due
        await anyio.sleep(RETRY_SECONDS)
        self._rung.set()


def _concerned(about: tuple[UUID, str]) -> Iterator[UUID]:
    """Whom news may be for: its gateway, and a session."""
    gateway, subject = about
    yield gateway
    session = session_of(subject)
    if session is not None:
        yield session


def _whom(keys: Mapping[UUID, Key], about: tuple[UUID, str]) -> Key | None:
    """Whom news is for; a session that nobody wishes for is its gateway's trouble.

    So is one that is somebody else's: gateways may say what they like.
    """
    gateway, *others = [keys.get(uid) for uid in _concerned(about)]
    if gateway is None:
        return None
    wanted = (Session.KIND, gateway.namespace)
    return next((key for key in others if key and (key.kind, key.namespace) == wanted), gateway)
