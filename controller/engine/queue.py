"""The work queue: keys, each at most once, each in at most one hand.

The semantics are those of controller-runtime's priority queue: a key that waits is not queued
twice, a key that is added while a worker has it waits until the worker is done, the highest
priority goes first, and within a priority the first come is the first served.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from controller.engine.delays import Delays
from controller.engine.lanes import Lane
from controller.engine.stats import QueueStats
from crds.meta import Key

_STAMP_SECONDS = 0.001
"""Keys queued within this span share one time stamp, and with it the stamp's memory."""


class Priority(IntEnum):
    """Who waits for the outcome."""

    USER = 100
    EVENT = 50
    RETRY = 20
    RESYNC = 0
    INITIAL = -100


class ShutDownError(Exception):
    """The queue hands out nothing more."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff.

    The numbers are gentler than client-go's 5 ms base, whose targets are not paid clouds.

    Attributes:
        base: Seconds after the first failure.
        factor: By how much each further failure multiplies.
        cap: Seconds that are never exceeded.
    """

    base: float = 0.5
    factor: float = 2.0
    cap: float = 300.0

    def seconds(self, attempt: int, rng: random.Random) -> float:
        """The wait after the `attempt`-th failure: between half and all of the exponential."""
        # The exponent is bounded, for a float is.
        full = min(self.cap, self.base * self.factor ** min(attempt - 1, 64))
        return full * rng.uniform(0.5, 1.0)


class Item(NamedTuple):
    """A key in a worker's hand.

    Attributes:
        key: The key.
        priority: The highest that it was added with.
        attempt: How many times it failed in a row before.
        queued_at: When it began to wait, on the loop's clock, within a millisecond.
    """

    key: Key
    priority: Priority
    attempt: int
    queued_at: float


class _Stamp(NamedTuple):
    """How a waiting key waits; shared by keys that were queued together."""

    priority: Priority
    queued_at: float


class WorkQueue:
    """A queue of keys for the workers of one controller, on the loop that runs when it is made.

    Args:
        rng: Draws the jitter.
        backoff: How failures space out.
    """

    def __init__(self, *, rng: random.Random, backoff: Backoff | None = None) -> None:
        self.stats = QueueStats()
        self._rng = rng
        self._backoff = backoff or Backoff()
        self._lanes = {priority: Lane() for priority in sorted(Priority, reverse=True)}
        self._waiting: dict[Key, _Stamp] = {}
        self._stamps: dict[Priority, _Stamp] = {}
        self._taken: dict[Key, float] = {}
        self._again: dict[Key, Priority] = {}
        self._failures: dict[Key, int] = {}
        self._delays = Delays(self._enter)
        self._getters: deque[asyncio.Future[None]] = deque()
        self._shut = False
        self._now = asyncio.get_running_loop().time

    def __len__(self) -> int:
        """How many keys could be taken now; delayed ones are not among them."""
        return len(self._waiting)

    @property
    def delayed(self) -> int:
        """How many keys are due later."""
        return len(self._delays)

    @property
    def taken(self) -> Mapping[Key, float]:
        """The keys in workers' hands, and when each was taken, on the loop's clock."""
        return self._taken

    def add(self, key: Key, *, priority: Priority = Priority.EVENT, delay: float = 0.0) -> None:
        """Queue a key, now or later; ignored after `shut_down`.

        A key that is added again keeps its place unless the new priority is higher or the new
        time earlier.

        Args:
            key: The key.
            priority: Higher goes first.
            delay: Seconds until it is due; does not delay a key that is due already.
        """
        if self._shut:
            return
        if delay <= 0:
            self._enter(key, priority)
        elif key not in self._waiting and key not in self._again:
            self._delays.put(key, self._now() + delay, priority)

    def add_after_failure(
        self,
        key: Key,
        *,
        priority: Priority = Priority.RETRY,
        after: float | None = None,
        backoff: Backoff | None = None,
    ) -> tuple[int, float]:
        """Queue a key that failed, later each time.

        Args:
            key: The key.
            priority: Of the next try.
            after: Seconds that somebody asked us to wait (Retry-After); never shortened,
                and lengthened by up to a tenth so that not all come back at once.
            backoff: Instead of the queue's own.

        Returns:
            How many times it has failed in a row, and the seconds until the next try.
        """
        attempt = self._failures[key] = self._failures.get(key, 0) + 1
        self.stats.retries += 1
        if after is None:
            delay = (backoff or self._backoff).seconds(attempt, self._rng)
        else:
            delay = after * self._rng.uniform(1.0, 1.1)
        self.add(key, priority=priority, delay=delay)
        return attempt, delay

    async def get(self) -> Item:
        """Take the next key; hand it back with `done`.

        Raises:
            ShutDownError: The queue hands out nothing more.
        """
        while not self._waiting and not self._shut:
            await self._wait()
        if self._shut:
            raise ShutDownError
        return self._take()

    def done(self, key: Key) -> None:
        """Hand a key back; it waits again if it was added meanwhile.

        Raises:
            KeyError: Nobody has it.
        """
        self.stats.work_duration.observe(self._now() - self._taken.pop(key))
        if self._again:
            priority = self._again.pop(key, None)
            if priority is not None and not self._shut:
                self._enqueue(key, priority)

    def forget(self, key: Key) -> None:
        """Forget a key's failures."""
        self._failures.pop(key, None)

    def attempts(self, key: Key) -> int:
        """How many times a key has failed in a row."""
        return self._failures.get(key, 0)

    def drop(self, unwanted: Callable[[Key], bool]) -> None:
        """Forget all that waits, now or later, of the keys that are unwanted."""
        for key in [key for key in self._waiting if unwanted(key)]:
            self._lanes[self._waiting.pop(key).priority].leave(key)
        for keyed in (self._again, self._failures):
            for key in [key for key in keyed if unwanted(key)]:
                del keyed[key]
        self._delays.drop(unwanted)

    def shut_down(self) -> None:
        """Hand out nothing more and take nothing in; what is taken may still be handed back."""
        self._shut = True
        self._delays.stop()
        while self._getters:
            self._wake()

    def _enter(self, key: Key, priority: Priority) -> None:
        """Queue a key that is due, or remember it until its worker is done."""
        if self._delays:
            delayed = self._delays.pop(key)
            priority = priority if delayed is None else max(priority, delayed)
        if key in self._taken:
            self._again[key] = max(priority, self._again.get(key, priority))
            return
        stamp = self._waiting.get(key)
        if stamp is None:
            self._enqueue(key, priority)
        elif priority > stamp.priority:
            self._lanes[stamp.priority].leave(key)
            self._waiting[key] = _Stamp(priority, stamp.queued_at)
            self._lanes[priority].append(key)

    def _enqueue(self, key: Key, priority: Priority) -> None:
        self.stats.adds += 1
        self._waiting[key] = self._stamp(priority)
        self._lanes[priority].append(key)
        if self._getters:
            self._wake()

    def _take(self) -> Item:
        key = self._first()
        stamp = self._waiting.pop(key)
        now = self._now()
        self._taken[key] = now
        self.stats.queue_duration.observe(now - stamp.queued_at)
        attempt = self._failures.get(key, 0) if self._failures else 0
        return Item(key, stamp.priority, attempt, stamp.queued_at)

    def _first(self) -> Key:
        for lane in self._lanes.values():
            key = lane.first()
            if key is not None:
                return key
        raise AssertionError("a waiting key stands in a lane")

    def _stamp(self, priority: Priority) -> _Stamp:
        now = self._now()
        stamp = self._stamps.get(priority)
        if stamp is None or now - stamp.queued_at > _STAMP_SECONDS:
            stamp = self._stamps[priority] = _Stamp(priority, now)
        return stamp

    async def _wait(self) -> None:
        getter = asyncio.get_running_loop().create_future()
        self._getters.append(getter)
        try:
            await getter
        except asyncio.CancelledError:
            if getter.done() and not getter.cancelled():
                self._wake()  # it was woken for a key that somebody else has to take now
            elif getter in self._getters:
                self._getters.remove(getter)
            raise

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
