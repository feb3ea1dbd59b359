"""Tokens: how fast a provider may be asked, and who goes first (DESIGN.md, law 10).

Each action on each object has a bucket of its own, as the provider counts, and all actions
together share a wide one. Time is the running loop's.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

from controller.providers.call import Priority

PATIENCE = 30.0
"""Seconds of a provider's pause that a call sits out; a longer one is the caller's to plan for."""
UNTOLD_PAUSE = 5.0
"""Seconds of pause after a 429 that does not say how long."""
SWEEP = 2
"""Buckets looked at for eviction with each token; more than one, so that the table shrinks."""
EPSILON = 1e-6
"""Tokens forgiven to a timer that rings a clock's resolution early."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_second` tokens a second, and `burst` of them at once."""

    per_second: float
    burst: float


class Bucket:
    """One token bucket with its queue of waiters.

    Args:
        rate: How fast it fills and how much it holds.
        now: The loop's time; it begins full.
    """

    __slots__ = ("_at", "_paused_until", "_rate", "_timer", "_tokens", "_turn", "_waiters")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._at = now
        self._paused_until = now
        self._waiters: list[tuple[Priority, int, asyncio.Future[None]]] = []
        self._turn = count()
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, priority: Priority) -> bool:
        """Take one token, waiting for it behind everybody more urgent or as urgent and earlier.

        Returns:
            Whether it had to wait.
        """
        loop = asyncio.get_running_loop()
        if not self._waiters and self._grant(loop.time()):
            return False
        waiter: asyncio.Future[None] = loop.create_future()
        heappush(self._waiters, (priority, next(self._turn), waiter))
        self._serve(loop)
        waited = not waiter.done()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.give_back()
            raise
        return waited

    def give_back(self) -> None:
        """Return a token that was not used."""
        self._tokens = min(self._rate.burst, self._tokens + 1)
        self._serve(asyncio.get_running_loop())

    def pause(self, seconds: float, now: float) -> None:
        """Give nothing for a while; then one at once and the rest at the bucket's rate."""
        self._refill(now)
        self._paused_until = max(self._paused_until, now + seconds)
        self._tokens, self._at = min(1.0, self._tokens + 1), self._paused_until

    def paused_for(self, now: float) -> float:
        """Seconds until the pause ends; 0 without one."""
        return max(0.0, self._paused_until - now)

    def left(self, now: float) -> float:
        """Tokens that could be taken at once."""
        self._refill(now)
        return 0.0 if now < self._paused_until else self._tokens

    def idle(self, now: float) -> bool:
        """Whether forgetting the bucket changes nothing: full, not paused, nobody waits."""
        return not self._waiters and self.left(now) >= self._rate.burst

    def _refill(self, now: float) -> None:
        if now > self._at:
            gained = (now - self._at) * self._rate.per_second
            self._tokens = min(self._rate.burst, self._tokens + gained)
            self._at = now

    def _grant(self, now: float) -> bool:
        self._refill(now)
        if now < self._paused_until or self._tokens < 1 - EPSILON:
            return False
        self._tokens = max(0.0, self._tokens - 1)
        return True

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        while self._waiters:
            waiter = self._waiters[0][2]
            if waiter.done():
                heappop(self._waiters)
            elif self._grant(now):
                heappop(self._waiters)
                waiter.set_result(None)
            else:
                break
        if self._waiters and self._timer is None:
            self._timer = loop.call_at(self._next(now), self._ring, loop)

    def _next(self, now: float) -> float:
        missing = max(0.0, 1 - self._tokens) / self._rate.per_second
        return max(now, self._paused_until, self._at + missing)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        self._serve(loop)


class Budget:
    """What may be asked of one provider.

    Args:
        default: The rate of an action on one object.
        wide: The rate of all actions together.
        rates: Where an action has another rate than the default.
        patience: Seconds of a pause that `ProviderClient` sits out before it raises.
    """

    def __init__(
        self,
        *,
        default: Rate,
        wide: Rate,
        rates: Mapping[str, Rate] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.patience = patience
        self._default = default
        self._wide_rate = wide
        self._rates = dict(rates or {})
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()
        self._wide: Bucket | None = None

    def __len__(self) -> int:
        return len(self._buckets)

    async def take(self, action: str, subject: str, priority: Priority) -> bool:
        """Take a token of the action's bucket and one of the wide bucket.

        Args:
            action: What is asked.
            subject: The object that the provider counts it under.
            priority: The place among the waiters; first come first served within one.

        Returns:
            Whether it had to wait.
        """
        own = self._bucket(action, subject)
        waited = await own.take(priority)
        try:
            return await self._whole().take(priority) or waited
        except asyncio.CancelledError:
            own.give_back()
            raise

    def pause(self, action: str, subject: str, seconds: float | None) -> None:
        """Stop one bucket after a 429, the others untouched."""
        now = asyncio.get_running_loop().time()
        seconds = UNTOLD_PAUSE if seconds is None else seconds
        self._bucket(action, subject).pause(seconds, now)

    def paused_for(self, action: str, subject: str) -> float:
        """Seconds until the bucket's pause ends; 0 without one."""
        bucket = self._buckets.get((action, subject))
        return 0.0 if bucket is None else bucket.paused_for(asyncio.get_running_loop().time())

    def left(self) -> float:
        """Tokens in the wide bucket now; for metrics."""
        if self._wide is None:
            return self._wide_rate.burst
        try:
            now = asyncio.get_running_loop().time()
        except RuntimeError:  # asked from outside the loop: as of the last call
            now = self._wide._at  # noqa: SLF001 - same module
        return self._wide.left(now)

    def _whole(self) -> Bucket:
        if self._wide is None:
            self._wide = Bucket(self._wide_rate, asyncio.get_running_loop().time())
        return self._wide

    def _bucket(self, action: str, subject: str) -> Bucket:
        now = asyncio.get_running_loop().time()
        key = (action, subject)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = Bucket(self._rates.get(action, self._default), now)
            self._buckets[key] = bucket
        self._sweep(key, now)
        return bucket

    def _sweep(self, using: tuple[str, str], now: float) -> None:
        """Evict what is full; looking at the oldest few keeps the cost constant."""
        for _ in range(min(SWEEP, len(self._buckets))):
            key, bucket = next(iter(self._buckets.items()))
            if key != using and bucket.idle(now):
                del self._buckets[key]
            else:
                self._buckets.move_to_end(key)
