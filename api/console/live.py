"""Live updates: one stream a page, which says only what differs from what the page shows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Final, Protocol

import psycopg
import structlog

from api.console.rendering import Rendering
from crds.clock import Clock
from crds.errors import ExpiredError, StoreError
from crds.meta import Key

log = structlog.get_logger(__name__)

# At most four batches a second; what happens in between goes with the next.
GAP_SECONDS: Final = 0.25
# After a look of one second at least so many pass: one page costs the database but a part of it.
REST_PER_LOOK: Final = 4.0
HEARTBEAT_SECONDS: Final = 15.0
CHECK_SECONDS: Final = 30.0
RETRY_MILLISECONDS: Final = 2000
AGAIN_SECONDS: Final = 1.0
HEARTBEAT: Final = b": still here\n\n"
SESSION_ENDED: Final = b"event: end\ndata: session\n\n"
RESTARTING: Final = b"event: again\ndata: restart\n\n"
EVENT_STREAM: Final = "text/event-stream"
UNAVAILABLE: Final = (StoreError, psycopg.Error, OSError, TimeoutError)


class View(Protocol):
    """What a page shows."""

    @property
    def period(self) -> float:
        """After so many seconds it is looked at again although nothing was told."""

    def concerns(self, key: Key) -> bool:
        """Whether a change of an object may show."""

    async def render(self) -> Rendering:
        """The page's changing parts as they are now."""


class Waker:
    """Says that a page may have changed: keeps no changes, only that there were some.

    Args:
        follow: Tells the keys of what changed after a version, for ever.
        newest: The newest version.
        concerns: Which keys matter.
    """

    def __init__(
        self,
        follow: Callable[[int], AsyncIterator[Collection[Key]]],
        newest: Callable[[], Awaitable[int]],
        concerns: Callable[[Key], bool],
    ) -> None:
        self._follow = follow
        self._newest = newest
        self._concerns = concerns
        self._woken = asyncio.Event()
        self.ended = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Waker]:
        """Listen for as long as the context lasts, from this moment on."""
        task = asyncio.create_task(self._listen(await self._newest()))
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - a poll's period
        """Return when something may have changed, or after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()

    async def _listen(self, since: int) -> None:
        while True:
            try:
                async for keys in self._follow(since):
                    if any(self._concerns(key) for key in keys):
                        self._woken.set()
            except ExpiredError:
                # Too far behind, or the database was restored: look again, and go on from there.
                self._woken.set()
            except Exception as error:  # noqa: BLE001 - the page is looked at periodically all the same
                log.warning("a page's stream lost the feed", error=type(error).__name__)
            else:
                # The process is about to stop.
                self.ended = True
                self._woken.set()
                return
            await asyncio.sleep(AGAIN_SECONDS)
            since = await self._newest_or(since)

    async def _newest_or(self, since: int) -> int:
        try:
            return await self._newest()
        except Exception:  # noqa: BLE001 - the next round tries again
            return since


async def updates(
    view: View,
    waker: Waker,
    alive: Callable[[], Awaitable[bool]],
    seen: str = "",
) -> AsyncGenerator[bytes, None]:
    """A stream of server-sent events for one page.

    Args:
        view: What the page shows.
        waker: Says when it may have changed; running.
        alive: Whether the session still is.
        seen: The fingerprint of what the page shows, as it or an earlier stream told.

    Yields:
        Events named `patch` with the regions and lists that differ and, as their id, the
        fingerprint of everything; comments as heartbeats; one named `end` when the session ends.
    """
    yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
    watcher = Watcher(view, alive, seen)
    while not waker.ended:
        if (part := await watcher.look()) is not None:
            yield part
        if await watcher.over():
            yield SESSION_ENDED
            return
        await asyncio.sleep(watcher.rest)
        await waker.wait(view.period)
    yield RESTARTING


class Watcher:
    """Looks at a page again and again, and remembers what was told of it.

    Args:
        view: What the page shows.
        alive: Whether the session still is.
        seen: The fingerprint of what the page shows.

    Attributes:
        rest: Seconds until the next look, at least.
    """

    def __init__(self, view: View, alive: Callable[[], Awaitable[bool]], seen: str) -> None:
        self._view = view
        self._alive = alive
        self._seen = seen
        self._shown: dict[str, str] = {}
        self._told = self._checked = Clock.monotonic()
        self.rest = GAP_SECONDS

    async def look(self) -> bytes | None:
        """What differs from what was told; a heartbeat if it is time for one; or nothing."""
        begun = Clock.monotonic()
        rendering = await _rendered(self._view)
        now = Clock.monotonic()
        # A page that takes long to look at is looked at less often.
        self.rest = max(GAP_SECONDS, (now - begun) * REST_PER_LOOK)
        part = None if rendering is None else self._difference(rendering)
        if part is None and now - self._told >= HEARTBEAT_SECONDS:
            part = HEARTBEAT
        if part is not None:
            self._told = now
        return part

    async def over(self) -> bool:
        """Whether the session has ended; asked every so often."""
        now = Clock.monotonic()
        if now - self._checked < CHECK_SECONDS:
            return False
        self._checked = now
        return not await _allowed(self._alive)

    def _difference(self, rendering: Rendering) -> bytes | None:
        digests = rendering.digests()
        if not self._shown and rendering.fingerprint == self._seen:
            # The page shows this already: a connection that broke goes on where it was.
            self._shown = digests
        changed = {name for name, each in digests.items() if each != self._shown.get(name)}
        self._shown = digests
        return _patch(rendering, changed) if changed else None


async def _rendered(view: View) -> Rendering | None:
    """The page's parts; None when they cannot be had at this moment."""
    try:
        return await view.render()
    except UNAVAILABLE as error:
        log.warning("a page could not be looked at", error=type(error).__name__)
        return None


async def _allowed(alive: Callable[[], Awaitable[bool]]) -> bool:
    """Whether the session is alive; while the database is away there is nothing to see either."""
    try:
        return await alive()
    except UNAVAILABLE:
        return True


def _patch(rendering: Rendering, changed: set[str]) -> bytes:
    data = {
        "regions": {name: rendering.regions[name] for name in rendering.regions if name in changed},
        "lists": {name: ids for name, ids in rendering.lists.items() if f"{name}[]" in changed},
    }
    body = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event: patch\nid: {rendering.fingerprint}\ndata: {body}\n\n".encode()
