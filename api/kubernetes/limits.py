"""How much may be under way at once, so that no client keeps everybody else from being served."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from api.kubernetes.errors import ApiError
from api.settings import Settings

# Whoever finds every seat taken waits for so long, and is then asked to come back.
PATIENCE_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 1
# A list without a limit is in memory as a whole, several times over, until it is sent.
LISTS: Final = 8
LISTS_EACH: Final = 4


class Seats:
    """Places for things that are under way.

    Args:
        total: For how many there is place.
        each: For how many of one client.
        patience_seconds: How long a client waits for a place.
    """

    def __init__(
        self, total: int, each: int, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._total, self._each, self._patience = total, each, patience_seconds
        self._taken: Counter[str] = Counter()
        self._freed = asyncio.Event()

    async def take(self, client: str) -> Callable[[], None]:
        """Take a place; returns what gives it back.

        Raises:
            ApiError: 429, there was none for so long.
        """
        try:
            async with asyncio.timeout(self._patience):
                while not self._is_free_for(client):
                    await self._freed.wait()
        except TimeoutError:
            message = (
                "the server has received too many requests and has asked us to try again later"
            )
            raise ApiError(429, "TooManyRequests", message, retry_after=RETRY_SECONDS) from None
        self._taken[client] += 1
        return lambda: self._give_back(client)

    @asynccontextmanager
    async def taken(self, client: str) -> AsyncIterator[None]:
        """A place for as long as the context lasts.

        Raises:
            ApiError: 429, there was none for so long.
        """
        give_back = await self.take(client)
        try:
            yield
        finally:
            give_back()

    def _is_free_for(self, client: str) -> bool:
        return self._taken[client] < self._each and self._taken.total() < self._total

    def _give_back(self, client: str) -> None:
        self._taken[client] -= 1
        self._taken += Counter()  # forgets those who have none
        self._freed.set()
        self._freed = asyncio.Event()


@dataclass(frozen=True, slots=True)
class Limits:
    """The seats of a door.

    Attributes:
        requests: Everything but what streams.
        lists: Lists without a limit, and what watches begin with.
        watches: Watches.
    """

    requests: Seats
    lists: Seats
    watches: Seats

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Those that the settings say."""
        return cls(
            Seats(settings.kubernetes_requests, settings.kubernetes_requests_each),
            Seats(LISTS, LISTS_EACH),
            # Who may not watch at present is told at once: a watch does not end soon.
            Seats(
                settings.kubernetes_watches, settings.kubernetes_watches_each, patience_seconds=0
            ),
        )


Listing = Callable[[], AbstractAsyncContextManager[None]]
