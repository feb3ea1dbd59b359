"""Shares keys among replicas: a fixed number of shards, each a lease.

Every replica keeps a lease on its membership too, so that all can count the living. Each takes
its fair share of the shards, gives up what it has beyond once no worker is busy with it, and
takes over what the dead left.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from zlib import crc32

import structlog

from controller.engine.leases import LeaseKeeper
from controller.engine.reconciler import Grip
from crds.errors import FencedError
from crds.meta import Key

log = structlog.get_logger("invoker.shards")

SHARD, REPLICA = "shard/", "replica/"
_REMEMBERED_DURATIONS = 10
"""For so many of its durations a dead membership's row stays, then anybody removes it."""

OnShards = Callable[[frozenset[int]], None]


def _ignore(_: frozenset[int]) -> None:
    """Nobody wants to know."""


class Shards:
    """This replica's share of the keys.

    Args:
        keeper: Holds the leases; used for nothing else.
        count: How many shards there are; the same on all replicas, for ever.
        rng: Draws the order in which free shards are tried.
        on_acquire: Told which shards became ours, or are surely ours again.
        on_loss: Told which shards take no new work here any more.
    """

    def __init__(
        self,
        keeper: LeaseKeeper,
        *,
        rng: random.Random,
        count: int = 16,
        on_acquire: OnShards = _ignore,
        on_loss: OnShards = _ignore,
    ) -> None:
        self.count = count
        self.on_acquire = on_acquire
        self.on_loss = on_loss
        self._keeper = keeper
        self._rng = rng
        self._busy: Counter[int] = Counter()
        self._leaving: set[int] = set()
        self._names = [f"{SHARD}{number}" for number in range(count)]
        self._membership = f"{REPLICA}{keeper.holder}"
        self._wake = asyncio.Event()
        self._now = asyncio.get_running_loop().time
        self._renew_at = self._now()

    def shard_of(self, key: Key) -> int:
        """The shard of a key: an account and all that it has are in one."""
        return crc32((key.namespace or key.name).encode()) % self.count

    def held(self) -> frozenset[int]:
        """The shards that take new work here."""
        valid = self._keeper.valid
        return frozenset(n for n in self._mine() if valid(self._names[n])) - self._leaving

    def owns(self, key: Key) -> bool:
        """Whether new work on a key may begin here."""
        shard = self.shard_of(key)
        return shard not in self._leaving and self._keeper.valid(self._names[shard])

    def begin(self, key: Key) -> Grip | None:
        """Take a key in hand, which keeps its shard here until `end`; None if it is not ours."""
        shard = self.shard_of(key)
        if shard in self._leaving:
            return None
        try:
            fence = self._keeper.fence(self._names[shard])
        except FencedError:
            return None
        self._busy[shard] += 1
        return Grip(
            fence,
            partial(self._keeper.check, fence.lease, fence.epoch),
            partial(self._keeper.remaining, fence.lease),
        )

    def end(self, key: Key) -> None:
        """Put a key back."""
        shard = self.shard_of(key)
        self._busy[shard] -= 1
        if shard in self._leaving and not self._busy[shard]:
            self._wake.set()

    @property
    def member(self) -> bool:
        """Whether the last renewal was in time, so that the others count us in."""
        return self._keeper.valid(self._membership)

    async def run(self) -> None:
        """Keep the share for ever; `shut_down` gives it up."""
        while True:
            try:
                await self._tick()
            except Exception as error:  # noqa: BLE001 - the guards stop us if it lasts
                log.warning("cannot keep leases", error=type(error).__name__, detail=str(error))
            await self._rest()

    async def shut_down(self) -> None:
        """Give everything up at once; call it when no worker is busy and `run` has ended."""
        mine = frozenset(self._mine())
        try:
            await self._keeper.release(list(self._keeper.held()))
        finally:
            self.on_loss(mine)

    def _mine(self) -> set[int]:
        """The shards in hand, with those that are leaving and those not surely ours."""
        return {int(n.removeprefix(SHARD)) for n in self._keeper.held() if n.startswith(SHARD)}

    async def _rest(self) -> None:
        """Sleep until something has to be done: a renewal, a death, a hand-over."""
        until = min(self._renew_at, self._keeper.next_death((SHARD, REPLICA)))
        try:
            async with asyncio.timeout_at(until):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _tick(self) -> None:
        if self._now() >= self._renew_at:
            await self._renew()
        await self._keeper.look(SHARD)
        await self._keeper.look(REPLICA)
        if self._membership not in self._keeper.held():
            await self._keeper.acquire(self._membership)
        await self._hand_over()
        await self._balance()
        await self._keeper.forget(self._long_dead())

    async def _renew(self) -> None:
        timing, begun = self._keeper.timing, self._now()
        # Should it fail, it is tried again sooner.
        self._renew_at = begun + timing.renew_every / 3
        lost, lapsed = await self._keeper.renew()
        self._renew_at = begun + timing.renew_every
        gone = self._numbers(lost)
        self._leaving -= gone
        if gone:
            log.warning("shards lost", shards=sorted(gone))
            self.on_loss(gone)
        if back := self._numbers(lapsed) - self._leaving:
            # Keys may have been turned away while it was not sure.
            self.on_acquire(back)

    def _numbers(self, names: set[str]) -> frozenset[int]:
        return frozenset(int(n.removeprefix(SHARD)) for n in names if n.startswith(SHARD))

    async def _hand_over(self) -> None:
        """Release what is leaving and idle."""
        idle = {shard for shard in self._leaving if not self._busy[shard]}
        if idle:
            self._leaving -= idle
            log.info("shards handed over", shards=sorted(idle))
            await self._keeper.release([self._names[shard] for shard in idle])

    async def _balance(self) -> None:
        limit = self._limit()
        surplus = len(self._mine() - self._leaving) - limit
        if surplus > 0:
            self._let_go(surplus)
            await self._hand_over()
            return
        if surplus < 0:
            self._keep_after_all(-surplus)
            await self._take(limit)

    def _limit(self) -> int:
        """How many shards to have: the fair share rounded up, or down while somebody lacks."""
        alive = {self._keeper.holder}
        for sight in self._keeper.seen(REPLICA):
            if self._keeper.live(sight) and sight.record.holder is not None:
                alive.add(sight.record.holder)
        have = Counter(s.record.holder for s in self._keeper.seen(SHARD) if self._keeper.live(s))
        low, rest = divmod(self.count, len(alive))
        lacking = any(have[other] < low for other in alive - {self._keeper.holder})
        return low if lacking or not rest else low + 1

    def _let_go(self, surplus: int) -> None:
        """Take no new work on some shards, the idle ones first."""
        mine = sorted(self._mine() - self._leaving, key=lambda shard: self._busy[shard])
        leaving = frozenset(mine[:surplus])
        self._leaving |= leaving
        self.on_loss(leaving)

    def _keep_after_all(self, wanted: int) -> None:
        """Keep shards that were leaving, now that the share has grown."""
        kept = frozenset(sorted(self._leaving)[:wanted])
        if kept:
            self._leaving -= kept
            self.on_acquire(kept)

    async def _take(self, limit: int) -> None:
        """Acquire free shards up to the limit, unless renewing is more urgent."""
        free = sorted(set(range(self.count)) - self._mine())
        self._rng.shuffle(free)
        taken: set[int] = set()
        try:
            for shard in free:
                if len(self._mine() - self._leaving) >= limit or self._now() >= self._renew_at:
                    break
                if await self._keeper.acquire(self._names[shard]):
                    taken.add(shard)
        finally:
            if taken:
                log.info("shards acquired", shards=sorted(taken))
                self.on_acquire(frozenset(taken))

    def _long_dead(self) -> list[str]:
        now = self._now()
        return [
            sight.record.name
            for sight in self._keeper.seen(REPLICA)
            if not self._keeper.live(sight)
            and sight.record.holder != self._keeper.holder
            and now > sight.since + _REMEMBERED_DURATIONS * sight.record.duration_seconds
        ]
