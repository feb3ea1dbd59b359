"""The observer: what the whole organisation looks like, by page instead of by object."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import anyio
import structlog

from controller.census import Census
from controller.machine import names
from controller.providers import Call, Priority, ProviderError
from controller.providers.fly import Fly, OrgMachine
from crds.clock import Clock
from crds.meta import Key

PERIOD_SECONDS = 10.0
# Fly's late updates: each look reaches back so far before the last one (PROVIDERS.md).
OVERLAP = timedelta(seconds=60)
# A full look finds what an incremental one cannot: that something is gone.
FULL_EVERY = timedelta(minutes=10)
FULL_AGAIN = timedelta(minutes=1)
# Evidence older than this decides nothing.
FRESH_SECONDS = 60.0

log = structlog.get_logger("invoker.observer")


class View(NamedTuple):
    """A Fly machine as last listed."""

    state: str
    version: str
    updated_at: datetime | None
    key: Key | None
    region: str


class Observer:
    """Lists the organisation's machines and wakes the keys of those that changed.

    Args:
        fly: The provider.
        clock: The wall time.
        installation: Whose marks count.
        wake: Called with the key of every machine that is not as last listed.

    Attributes:
        census: Complete lists, for those who have to know that something is gone.
    """

    def __init__(
        self, fly: Fly, clock: Clock, installation: str, wake: Callable[[Key], None]
    ) -> None:
        self.census = Census(fly, clock)
        self._fly = fly
        self._clock = clock
        self._installation = installation
        self._wake = wake
        self._views: dict[str, View] = {}
        # When the last look began; when the last one did that lacked no region; its lacks.
        self._looked_at: datetime | None = None
        self._complete_at: datetime | None = None
        self._lacking: frozenset[str] = frozenset()
        self._full_at: datetime | None = None
        self._tried_full_at: datetime | None = None

    def view(self, instance: str) -> View | None:
        """A machine as last listed, or None when that was too long ago or it was not there.

        Nor is there a view of what is in a region that the last look lacked.
        """
        if self._looked_at is None:
            return None
        age = (self._clock.now() - self._looked_at).total_seconds()
        view = self._views.get(instance) if age <= FRESH_SECONDS else None
        return None if view is None or view.region in self._lacking else view

    async def run(self) -> None:
        """Look every few seconds, for ever; an outage is waited out."""
        while True:
            await self.try_to_look()
            await anyio.sleep(PERIOD_SECONDS)

    async def try_to_look(self) -> None:
        """Look once; what goes wrong is logged."""
        try:
            await self.look()
        except ProviderError as error:
            log.warning("cannot observe", error=str(error))
        except Exception:
            log.exception("cannot observe")

    async def look(self) -> None:
        """Look once: at everything now and then, else at what changed lately.

        Raises:
            ProviderError: The list was not read to its end; what was seen of it counts.
        """
        began = self._clock.now()
        full = self._is_full_look_due(began)
        since = None if full or self._complete_at is None else self._complete_at - OVERLAP
        listed: set[str] = set()
        lacking: set[str] = set()
        call = Call(Priority.HEALTH)
        async for page in self._fly.iter_org_machines(since, call=call):
            lacking.update(page.error_regions)
            for machine in page.machines:
                listed.add(machine.id)
                self._see(machine)
        self._looked_at, self._lacking = began, frozenset(lacking)
        if lacking:
            log.warning("regions are lacking", regions=sorted(lacking))
            return
        self._complete_at = began
        if full:
            self._full_at = began
            self._drop_all_but(listed)

    def _is_full_look_due(self, now: datetime) -> bool:
        """Whether to look at everything: now and then, and after one that lacked a region soon."""
        if self._full_at is not None and now < self._full_at + FULL_EVERY:
            return False
        if self._tried_full_at is not None and now < self._tried_full_at + FULL_AGAIN:
            return False
        self._tried_full_at = now
        return True

    def _see(self, machine: OrgMachine) -> None:
        key = self._key(machine)
        view = View(machine.state, machine.version, machine.updated_at, key, machine.region)
        before = self._views.get(machine.id)
        self._views[machine.id] = view
        if before != view and key is not None:
            self._wake(key)

    def _drop_all_but(self, listed: set[str]) -> None:
        """Forget what a full list did not show; its object looks for itself."""
        for instance in self._views.keys() - listed:
            key = self._views.pop(instance).key
            if key is not None:
                self._wake(key)

    def _key(self, machine: OrgMachine) -> Key | None:
        uid: UUID | None = names.marked_uid(self._installation, machine.metadata)
        if uid is None:
            return None
        return Key(
            "Machine",
            machine.metadata.get(names.NAMESPACE_MARK, ""),
            machine.metadata.get(names.NAME_MARK, ""),
        )
