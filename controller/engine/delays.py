"""Keys that are due later, on one timer."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from crds.meta import Key

P = TypeVar("P", bound=int)


class Delay(NamedTuple, Generic[P]):
    """When a key is due, on the loop's clock; `number` tells apart and keeps the order."""

    due: float
    number: int
    priority: P


class Delays(Generic[P]):
    """A heap of due times, each key at most once.

    Args:
        on_due: Called with each key and its priority once it is due.
    """

    def __init__(self, on_due: Callable[[Key, P], None]) -> None:
        self._on_due = on_due
        self._heap: list[tuple[float, int, Key]] = []
        self._delays: dict[Key, Delay[P]] = {}
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many keys are delayed."""
        return len(self._delays)

    def __contains__(self, key: Key) -> bool:
        """Whether a key is delayed."""
        return key in self._delays

    def put(self, key: Key, due: float, priority: P) -> None:
        """Delay a key; the earlier of two due times and the higher of two priorities win."""
        old = self._delays.get(key)
        if old is not None:
            priority = max(priority, old.priority)
            if old.due <= due:
                self._delays[key] = old._replace(priority=priority)
                return
        delay = Delay(due, next(self._numbers), priority)
        self._delays[key] = delay
        heapq.heappush(self._heap, (due, delay.number, key))
        self._arm()

    def pop(self, key: Key) -> P | None:
        """Forget a key's delay; returns the priority that it had."""
        delay = self._delays.pop(key, None)
        if delay is None:
            return None
        if len(self._heap) > 2 * len(self._delays) + 64:
            self._compact()
        return delay.priority

    def drop(self, unwanted: Callable[[Key], bool]) -> None:
        """Forget the delays of the keys that are unwanted."""
        self._delays = {key: at for key, at in self._delays.items() if not unwanted(key)}
        self._compact()

    def stop(self) -> None:
        """Forget everything."""
        self._delays.clear()
        self._compact()

    def _compact(self) -> None:
        self._heap = [entry for entry in self._heap if self._lives(entry)]
        heapq.heapify(self._heap)
        self._arm()

    def _lives(self, entry: tuple[float, int, Key]) -> bool:
        delay = self._delays.get(entry[2])
        return delay is not None and delay.number == entry[1]

    def _arm(self) -> None:
        """Have the one timer go off when the first key is due."""
        due = self._heap[0][0] if self._heap else None
        if self._timer is not None:
            if self._timer.when() == due:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            if self._lives(entry):
                self._on_due(entry[2], self._delays.pop(entry[2]).priority)
        self._arm()
