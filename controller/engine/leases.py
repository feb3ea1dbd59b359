"""Leases as one replica holds and sees them.

Nobody compares clocks between machines. The holder trusts a lease until its duration, less a
margin, has passed since it *began* to renew. Anybody else believes it dead only after it was
seen unchanged for its whole duration, on the own clock, since it was *read*. A renewal is
committed after it was begun and read after it was committed, so the holder stops first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from crds.errors import FencedError
from crds.store import Fence, LeaseRecord

Now = Callable[[], float]


class LeaseTable(Protocol):
    """The leases of the store."""

    async def list(self, prefix: str) -> Sequence[LeaseRecord]:
        """Every lease whose name begins so."""

    async def acquire(
        self, name: str, holder: str, *, seen: LeaseRecord | None, duration: float
    ) -> LeaseRecord | None:
        """Take a lease over if it still is what was seen; None when somebody was quicker."""

    async def renew(self, records: Sequence[LeaseRecord]) -> Sequence[LeaseRecord]:
        """Renew; what is missing in the answer was lost."""

    async def release(self, records: Sequence[LeaseRecord]) -> None:
        """Give leases up."""

    async def forget(self, names: Sequence[str]) -> None:
        """Remove rows of leases that nobody will hold again."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long leases live.

    With the defaults a dead replica's keys are taken over 10 to 13 seconds after its last sign
    of life, and a holder survives two renewals that fail.

    Attributes:
        duration: Seconds that a lease lives without renewal.
        renew_every: Seconds between renewals.
        margin: Seconds before its end at which the holder stops; covers an effect on its way
            and clocks that run at different speeds.
    """

    duration: float = 10.0
    renew_every: float = 3.0
    margin: float = 1.0

    def __post_init__(self) -> None:
        """Check that a holder can renew before it stops.

        Raises:
            ValueError: It cannot.
        """
        if self.renew_every >= self.duration - self.margin:
            raise ValueError("renew_every must be less than duration - margin")


@dataclass(slots=True)
class Held:
    """A lease in hand; `until` is when its holder stops, on the loop's clock."""

    record: LeaseRecord
    until: float


@dataclass(frozen=True, slots=True)
class Sight:
    """A lease as last seen changed, and when, on the loop's clock."""

    record: LeaseRecord
    since: float


class LeaseKeeper:
    """The leases that one replica holds, and what it has seen of all others.

    Args:
        table: The leases of the store.
        holder: The replica's name, never used by another process.
        timing: How long leases live.
        now: The loop's clock.
    """

    def __init__(self, table: LeaseTable, holder: str, timing: Timing, now: Now) -> None:
        self.holder = holder
        self.timing = timing
        self._table = table
        self._now = now
        self._held: dict[str, Held] = {}
        self._seen: dict[str, Sight] = {}

    def held(self) -> Collection[str]:
        """The names of the leases in hand, surely ours or not."""
        return self._held.keys()

    def valid(self, name: str) -> bool:
        """Whether a lease is surely ours."""
        held = self._held.get(name)
        return held is not None and self._now() < held.until

    def remaining(self, name: str) -> float:
        """Seconds for which a lease is surely ours without renewal; 0 when it is not."""
        held = self._held.get(name)
        return 0.0 if held is None else max(0.0, held.until - self._now())

    def fence(self, name: str) -> Fence:
        """What writes under a lease carry.

        Raises:
            FencedError: It is not surely ours.
        """
        self.check(name)
        return Fence(name, self._held[name].record.epoch)

    def check(self, name: str, epoch: int | None = None) -> None:
        """Pass only while a lease is surely ours.

        Args:
            name: The lease.
            epoch: The epoch that it must still have; None for any.

        Raises:
            FencedError: It is not, or it was lost and taken again since that epoch.
        """
        if not self.valid(name):
            raise FencedError(f"{name} is not surely ours")
        if epoch is not None and self._held[name].record.epoch != epoch:
            raise FencedError(f"{name} was lost and taken again")

    def seen(self, prefix: str) -> list[Sight]:
        """What was last seen of the leases whose names begin so."""
        return [sight for name, sight in self._seen.items() if name.startswith(prefix)]

    def live(self, sight: Sight) -> bool:
        """Whether somebody holds a lease, as far as can be told from here."""
        record = sight.record
        if record.holder is None:
            return False
        if record.holder == self.holder:
            # Ours, or nobody's any more: what we do not hold we have stopped using.
            return self.valid(record.name)
        return self._now() < sight.since + record.duration_seconds

    def next_death(self, prefixes: Iterable[str]) -> float:
        """When the first of the others' leases is dead unless it is renewed; inf for never."""
        return min(
            (
                sight.since + sight.record.duration_seconds
                for prefix in prefixes
                for sight in self.seen(prefix)
                if self.live(sight) and sight.record.holder != self.holder
            ),
            default=float("inf"),
        )

    async def look(self, prefix: str) -> None:
        """Read the leases whose names begin so."""
        async with asyncio.timeout(self.timing.renew_every):
            records = await self._table.list(prefix)
        gone = {sight.record.name for sight in self.seen(prefix)}
        for record in records:
            gone.discard(record.name)
            self._sight(record)
        for name in gone:
            del self._seen[name]

    async def renew(self) -> tuple[set[str], set[str]]:
        """Renew all leases in hand.

        Returns:
            The names of those that were lost, and of those that were not surely ours for a
            moment before they were renewed.
        """
        begun = self._now()
        records = [held.record for held in self._held.values()]
        if not records:
            return set(), set()
        async with asyncio.timeout(self.timing.renew_every):
            renewed = await self._table.renew(records)
        lost = {record.name for record in records} - {record.name for record in renewed}
        for name in lost:
            self._held.pop(name, None)
        return lost, {record.name for record in renewed if self._prolong(record, begun)}

    async def acquire(self, name: str) -> bool:
        """Take a lease that nobody holds, as last seen; returns whether that went well."""
        sight = self._seen.get(name)
        if sight is not None and self.live(sight):
            return False
        begun = self._now()
        async with asyncio.timeout(self.timing.renew_every):
            record = await self._table.acquire(
                name,
                self.holder,
                seen=None if sight is None else sight.record,
                duration=self.timing.duration,
            )
        if record is None:
            return False
        self._sight(record)
        self._held[name] = Held(record, self._end(begun))
        return True

    async def release(self, names: Iterable[str]) -> None:
        """Give leases up; they are out of hand even when the store cannot be told."""
        given = [held.record for name in list(names) if (held := self._held.pop(name, None))]
        if given:
            async with asyncio.timeout(self.timing.renew_every):
                await self._table.release(given)

    async def forget(self, names: Iterable[str]) -> None:
        """Remove the rows of dead leases."""
        dead = list(names)
        if dead:
            async with asyncio.timeout(self.timing.renew_every):
                await self._table.forget(dead)

    def _prolong(self, record: LeaseRecord, begun: float) -> bool:
        """Note a renewal; returns whether the lease had lapsed."""
        held = self._held.get(record.name)
        if held is None or held.record.epoch != record.epoch:
            return False
        lapsed = self._now() >= held.until
        held.record, held.until = record, self._end(begun)
        self._sight(record)
        return lapsed

    def _end(self, begun: float) -> float:
        return begun + self.timing.duration - self.timing.margin

    def _sight(self, record: LeaseRecord) -> None:
        old = self._seen.get(record.name)
        if old is None or old.record != record:
            self._seen[record.name] = Sight(record, self._now())
