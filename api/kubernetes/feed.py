"""The feed: one reader of the log for everybody who watches, and the newest changes in memory."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable
from contextlib import aclosing, asynccontextmanager

import psycopg
import structlog

from api.kubernetes.objects import change_of
from api.kubernetes.served import Batch, Change
from crds.errors import ExpiredError
from crds.store import Store, WatchEvent

log = structlog.get_logger(__name__)

# So many changes are kept; who is further behind reads the log by themselves.
KEEP = 2000
# Changes of this span go out together: a hundred watchers are woken once, not once a write.
GATHER_SECONDS = 0.02
RETRY_SECONDS = 1.0


class Feed:
    """Follows the log once and tells any number of followers.

    Args:
        store: Whose log.
        keep: How many changes stay in memory.
    """

    def __init__(self, store: Store, *, keep: int = KEEP) -> None:
        self._store = store
        self._kept: deque[Change] = deque(maxlen=keep)
        # The version after which everything that happened is kept, and the newest one read.
        self._since = 0
        self._newest = 0
        self._reading = False
        self._ended = False
        self._moved = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Feed]:
        """Follow the log for as long as the context lasts."""
        task = asyncio.create_task(self._follow_log())
        try:
            yield self
        finally:
            self.end()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @property
    def newest(self) -> int:
        """The newest version that was read."""
        return self._newest

    @property
    def ended(self) -> bool:
        """Whether the process is about to stop."""
        return self._ended

    def end(self) -> None:
        """Let every follower come to its end: the process is about to stop."""
        self._ended = True
        self._wake()

    async def follow(self, kinds: Collection[str] | None, since: int) -> AsyncIterator[Batch]:
        """Every change strictly after a version, in order, until the process stops.

        Args:
            kinds: Only these kinds; None: all.
            since: A resourceVersion from a list or a change.

        Yields:
            Changes as they come, together with the version up to which they are complete.
            One without changes tells that nothing of these kinds happened up to it.

        Raises:
            ExpiredError: The version is compacted, or not there yet.
        """
        while not self._ended:
            moved = self._moved
            if since > self._newest and not await self._has_been(since):
                # Also for who follows already: the database may be a backup by now.
                raise ExpiredError(f"version {since} has not been yet")
            if not self._reading or since < self._since:
                # Too far behind for the memory, or it is not to be trusted: read the log.
                async with aclosing(self._catch_up(since)) as behind:
                    while (batch := await self._next(behind)) is not None:
                        since = batch.resource_version
                        yield _only(kinds, batch.changes, since)
            elif since < self._newest:
                changes = self._after(since)
                since = self._newest
                yield _only(kinds, changes, since)
            else:
                await moved.wait()

    async def _has_been(self, version: int) -> bool:
        try:
            return version <= await self._store.log.newest()
        except psycopg.OperationalError:
            return True  # nobody can say; it is asked again once the log is read again

    @staticmethod
    async def _next(behind: AsyncGenerator[Batch, None]) -> Batch | None:
        """The next batch; None at the end, and when the database went away for a moment."""
        try:
            return await anext(behind, None)
        except psycopg.OperationalError:
            await asyncio.sleep(RETRY_SECONDS)
            return None

    async def _catch_up(self, since: int) -> AsyncGenerator[Batch, None]:
        """Read the log until the memory takes over."""
        async with aclosing(self._store.log.batches(since)) as batches:
            async for events in batches:
                changes = _changes(events)
                if changes:
                    since = changes[-1].resource_version
                yield Batch(changes, since)
                if self._ended or (self._reading and since >= self._since):
                    return

    def _after(self, since: int) -> list[Change]:
        first = bisect_right(self._kept, since, key=lambda change: change.resource_version)
        # A deque is slow in its middle: what is new is at its end.
        return [self._kept[place] for place in range(first, len(self._kept))]

    async def _follow_log(self) -> None:
        while True:
            try:
                await self._read()
            except Exception as error:  # noqa: BLE001 - whatever it is: followers read by themselves
                log.warning("the feed broke", error=type(error).__name__)
            self._reading = False
            self._wake()
            await asyncio.sleep(RETRY_SECONDS)

    async def _read(self) -> None:
        self._kept.clear()
        self._since = self._newest = await self._store.log.newest()
        self._reading = True
        self._wake()
        async with aclosing(self._store.log.batches(self._newest)) as batches:
            async for events in batches:
                if events:
                    self._keep(_changes(events))
                    await asyncio.sleep(GATHER_SECONDS)

    def _keep(self, changes: list[Change]) -> None:
        dropped = len(self._kept) + len(changes) - (self._kept.maxlen or 0)
        if dropped > 0:
            every = [*self._kept, *changes]
            self._since = every[dropped - 1].resource_version
        self._kept.extend(changes)
        self._newest = changes[-1].resource_version
        self._wake()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()


def _changes(events: Iterable[WatchEvent]) -> list[Change]:
    return [change for event in events if (change := change_of(event)) is not None]


def _only(kinds: Collection[str] | None, changes: Collection[Change], version: int) -> Batch:
    wanted = [each for each in changes if kinds is None or each.object["kind"] in kinds]
    return Batch(wanted, version)
