"""The census: what the whole organisation has, by complete lists that many questions share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Literal

from controller.providers import Call
from controller.providers.fly import GONE_VOLUME_STATES, TERMINAL_STATES, Fly
from crds.clock import Clock

Noun = Literal["app", "volume", "machine"]


class Census:
    """Answers whether a list of the whole organisation shows something.

    Args:
        fly: The provider.
        clock: The wall time.
    """

    def __init__(self, fly: Fly, clock: Clock) -> None:
        self._clock = clock
        self._fly = fly
        self._takers: dict[Noun, Callable[[Call], Awaitable[set[str] | None]]] = {
            "app": self._apps,
            "volume": self._volumes,
            "machine": self._machines,
        }
        self._taking: dict[Noun, asyncio.Lock] = {noun: asyncio.Lock() for noun in self._takers}
        self._taken: dict[Noun, tuple[datetime, set[str]]] = {}

    async def lacks(self, noun: Noun, name: str, *, since: datetime, call: Call) -> bool:
        """Whether a complete list that began at `since` or later does not show a thing.

        Args:
            noun: What it is.
            name: An app's name, or a volume's or machine's id.
            since: The earliest beginning of a list that counts.
            call: On whose behalf a new list is read, if one is needed.

        Returns:
            False also when no complete list could be had: nothing follows from such a one.

        Raises:
            ProviderError: The list was not read to its end.
        """
        async with self._taking[noun]:
            taken = self._taken.get(noun)
            if taken is None or taken[0] < since:
                began = self._clock.now()
                found = await self._takers[noun](call)
                if found is None:
                    return False
                self._taken[noun] = taken = (began, found)
        return name not in taken[1]

    async def _apps(self, call: Call) -> set[str] | None:
        return {app.name async for page in self._fly.list_apps(call=call) for app in page}

    async def _volumes(self, call: Call) -> set[str] | None:
        found: set[str] = set()
        async for page in self._fly.iter_org_volumes(call=call):
            if page.error_regions:
                return None
            found |= {v.id for v in page.volumes if v.state not in GONE_VOLUME_STATES}
        return found

    async def _machines(self, call: Call) -> set[str] | None:
        found: set[str] = set()
        async for page in self._fly.iter_org_machines(call=call):
            if page.error_regions:
                return None
            found |= {m.id for m in page.machines if m.state not in TERMINAL_STATES}
        return found
