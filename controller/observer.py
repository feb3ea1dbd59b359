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
# Evidence older than this decides nothing.
FRESH_SECONDS = 60.0

log = structlog.get_logger("invoker.observer")


class View(NamedTuple):
    """A Fly machine as last listed."""

    state: str
    version: str
    updated_at: datetime | None
    key: Key | None


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
        self._looked_at: datetime | None = None
        self._full_at: datetime | None = None

    def view(self, instance: str) -> View | None:
        """A machine as last listed, or None when that was too long ago or it was not there."""
        if self._looked_at is None:
            return None
        age = (self._clock.now() - self._looked_at).total_seconds()
        return self._views.get(instance) if age <= FRESH_SECONDS else None

    async def run(self) -> None:
        """Look every few seconds, for ever; an outage is waited out."""
        while True:
            try:
                await self.look()
            except ProviderError as error:
                log.warning("cannot observe", error=str(error))
            await anyio.sleep(PERIOD_SECONDS)

    async def look(self) -> None:
        """Look once: at everything now and then, else at what changed lately.

        Raises:
            ProviderError: The list was not read to its end; what was seen of it counts.
        """
        began = self._clock.now()
        full = self._full_at is None or began >= self._full_at + FULL_EVERY
        since = None if full or self._looked_at is None else self._looked_at - OVERLAP
        listed: set[str] = set()
        complete = True
        call = Call(Priority.HEALTH)
        async for page in self._fly.iter_org_machines(since, call=call):
            complete = complete and not page.error_regions
            for machine in page.machines:
                listed.add(machine.id)
                self._see(machine)
        self._looked_at = began
        if full and complete:
            self._full_at = began
            self._drop_all_but(listed)

    def _see(self, machine: OrgMachine) -> None:
        key = self._key(machine)
        view = View(machine.state, machine.version, machine.updated_at, key)
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
