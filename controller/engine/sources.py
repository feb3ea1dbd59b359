"""Where keys come from: the log of changes, the clock, and whoever observes something."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from zlib import crc32

import structlog

from controller.engine.queue import Backoff, Priority
from controller.engine.router import Route, Router
from crds.errors import ExpiredError
from crds.meta import Key
from crds.store import WatchEvent

log = structlog.get_logger("invoker.source")

_QUIET_SECONDS = 5.0

Mapper = Callable[[WatchEvent], Iterable[Route]]
Predicate = Callable[[WatchEvent], bool]


class Watchable(Protocol):
    """What a source needs of the store."""

    def watch(self, kinds: Collection[str] | None, since: int) -> AsyncIterator[WatchEvent]:
        """Every change strictly after a version."""

    async def keys(self, kind: str) -> tuple[Sequence[Key], int]:
        """All keys of a kind, and the version that they are a snapshot of."""


def wish_changed(event: WatchEvent) -> bool:
    """Whether more than the status changed: a controller's own writes must not wake it."""
    return event.type != "MODIFIED" or event.spec_changed


def any_change(event: WatchEvent) -> bool:  # noqa: ARG001 - a predicate
    """Every change."""
    return True


@dataclass(slots=True)
class _Feeds:
    """What is registered for one kind."""

    own: list[tuple[str, Predicate]] = field(default_factory=list)
    mapped: list[tuple[Mapper, Predicate]] = field(default_factory=list)


class WatchSource:
    """Tails the log of changes and feeds many controllers.

    All keys come once at the beginning, whenever the log was compacted past us, and when
    `relist` is called; every later change comes as it becomes visible.

    Args:
        store: The store.
        router: Where the keys go.
        rng: Draws the jitter of reconnects.
        backoff: How reconnects space out.
        silence: Seconds without any event after which the watch is opened anew, in case it
            has frozen; nothing is lost by it.
    """

    def __init__(
        self,
        store: Watchable,
        router: Router,
        *,
        rng: random.Random,
        backoff: Backoff | None = None,
        silence: float = 60.0,
    ) -> None:
        self._store = store
        self._router = router
        self._rng = rng
        self._backoff = backoff or Backoff(cap=15.0)
        self._silence = silence
        self._feeds: dict[str, _Feeds] = {}
        self._since: int | None = None
        self._failures = 0
        self._to_list = asyncio.Event()
        self._wanted: list[Callable[[Key], bool]] = []

    @property
    def synced(self) -> bool:
        """Whether the initial list was queued."""
        return self._since is not None

    @property
    def alive(self) -> bool:
        """Whether the last attempt to reach the log went well."""
        return self.synced and not self._failures

    def feed(self, kind: str, controller: str, *, predicate: Predicate = wish_changed) -> None:
        """Feed a kind's keys, listed and changed, to the controller that reconciles it."""
        self._feeds.setdefault(kind, _Feeds()).own.append((controller, predicate))

    def map(self, kind: str, mapper: Mapper, *, predicate: Predicate = any_change) -> None:
        """Feed what a mapper makes of a kind's changes: owners, dependents, referrers."""
        self._feeds.setdefault(kind, _Feeds()).mapped.append((mapper, predicate))

    def relist(self, wanted: Callable[[Key], bool]) -> None:
        """Queue all keys that are wanted, soon: those of a shard that was acquired."""
        self._wanted.append(wanted)
        self._to_list.set()

    async def run(self) -> None:
        """Feed for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._relist())

    async def _follow(self) -> None:
        while True:
            try:
                if self._since is None:
                    self._since = await self._list(lambda _: True)
                await self._tail(self._since)
            except ExpiredError:
                log.info("watch expired, listing again", since=self._since)
                self._since = None
            except Exception as error:  # noqa: BLE001 - whatever ails the log, feeding goes on
                await self._rest("watch failed", error)

    async def _tail(self, since: int) -> None:
        events = aiter(self._store.watch(tuple(self._feeds), since))
        while True:
            # After a failure, a quiet moment is enough to call the watch alive again.
            patience = min(self._silence, _QUIET_SECONDS) if self._failures else self._silence
            try:
                async with asyncio.timeout(patience):
                    event = await anext(events)
            except (TimeoutError, StopAsyncIteration):
                self._failures = 0
                return
            self._failures = 0
            self._dispatch(event)
            self._since = event.resource_version

    def _dispatch(self, event: WatchEvent) -> None:
        feeds = self._feeds.get(event.key.kind)
        if feeds is None or event.type == "BOOKMARK":
            return
        for name, predicate in feeds.own:
            if predicate(event):
                # A wish: somebody waits for what comes of it.
                self._router.push(name, event.key, priority=Priority.USER)
        for mapper, predicate in feeds.mapped:
            if predicate(event):
                self._map(mapper, event)

    def _map(self, mapper: Mapper, event: WatchEvent) -> None:
        try:
            for name, key in mapper(event):
                self._router.push(name, key)
        except Exception:
            # One object that a mapper trips over must not stop the events of all others.
            log.exception("mapping failed", key=str(event.key))

    async def _relist(self) -> None:
        while True:
            await self._to_list.wait()
            self._to_list.clear()
            wanted, self._wanted = self._wanted, []
            try:
                await self._list(_any_of(wanted))
            except Exception as error:  # noqa: BLE001 - tried again, as all of this
                self._wanted += wanted
                await self._rest("list failed", error)
                self._to_list.set()

    async def _list(self, wanted: Callable[[Key], bool]) -> int:
        """Queue all wanted keys; returns a version after which nothing is missed."""
        versions = [0] if not self._feeds else []
        for kind, feeds in self._feeds.items():
            keys, version = await self._store.keys(kind)
            versions.append(version)
            for key in filter(wanted, keys):
                for name, _ in feeds.own:
                    self._router.push(name, key, priority=Priority.INITIAL)
        self._failures = 0
        return min(versions)

    async def _rest(self, what: str, error: Exception) -> None:
        self._failures += 1
        seconds = self._backoff.seconds(self._failures, self._rng)
        log.warning(what, error=type(error).__name__, retry_in=round(seconds, 1))
        await asyncio.sleep(seconds)


class TimerSource:
    """Queues every object of a kind once a period, spread evenly over it.

    A key has its own place in the period, so that resyncs neither come as a herd nor bunch up.

    Args:
        store: The store.
        router: Where the keys go.
        kind: The kind.
        controller: The controller.
        period: Seconds in which every object comes once.
        rng: Draws where in the period the keys stand.
        slots: Into how many portions the period is cut.
    """

    def __init__(
        self,
        store: Watchable,
        router: Router,
        *,
        kind: str,
        controller: str,
        period: float,
        rng: random.Random,
        slots: int = 256,
    ) -> None:
        self._store = store
        self._router = router
        self._kind = kind
        self._controller = controller
        self._period = period
        self._slots = slots
        self._salt = rng.randbytes(4)

    async def run(self) -> None:
        """Resync for ever."""
        start = asyncio.get_running_loop().time()
        while True:
            portions = await self._portions()
            for number, keys in enumerate(portions):
                await _sleep_until(start + self._period * number / self._slots)
                for key in keys:
                    self._router.push(self._controller, key, priority=Priority.RESYNC)
            start += self._period
            await _sleep_until(start)

    async def _portions(self) -> list[list[Key]]:
        """All keys, by the slot in which they stand."""
        portions: list[list[Key]] = [[] for _ in range(self._slots)]
        try:
            keys, _ = await self._store.keys(self._kind)
        except Exception as error:  # noqa: BLE001 - the next period lists again
            log.warning("resync skipped", kind=self._kind, error=type(error).__name__)
            return portions
        for key in keys:
            portions[crc32(str(key).encode() + self._salt) % self._slots].append(key)
        return portions


def _any_of(predicates: Sequence[Callable[[Key], bool]]) -> Callable[[Key], bool]:
    return lambda key: any(predicate(key) for predicate in predicates)


async def _sleep_until(when: float) -> None:
    await asyncio.sleep(max(0.0, when - asyncio.get_running_loop().time()))
