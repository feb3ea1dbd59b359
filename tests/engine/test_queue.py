"""The work queue."""

import asyncio
import random
from contextlib import suppress
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.engine import Backoff, Priority, ShutDownError, WorkQueue
from crds.meta import Key
from tests.engine.fakes import key, queue
from tests.support.virtual_time import VirtualTimeLoop, run

A, B, C = key("a"), key("b"), key("c")
KEYS = st.sampled_from([key(name) for name in "abcdef"])
PRIORITIES = st.sampled_from(list(Priority))


async def _drain(work: WorkQueue) -> list[Key]:
    """Take and hand back until nothing waits."""
    taken = []
    while len(work):
        item = await work.get()
        taken.append(item.key)
        work.done(item.key)
    return taken


class _Due(NamedTuple):
    due: float
    number: int
    priority: Priority


class QueueMachine(RuleBasedStateMachine):
    """The queue against a model that is too slow to be wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.queue = self.loop.run_until_complete(self._make())
        self.number = 0
        self.waiting: dict[Key, tuple[Priority, int]] = {}
        self.delayed: dict[Key, _Due] = {}
        self.taken: set[Key] = set()
        self.again: dict[Key, Priority] = {}
        self.failures: dict[Key, int] = {}

    @staticmethod
    async def _make() -> WorkQueue:
        return queue(backoff=Backoff(base=1, cap=20))

    def teardown(self) -> None:
        """Close the loop."""
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def _next(self) -> int:
        self.number += 1
        return self.number

    def _enter(self, key: Key, priority: Priority) -> None:
        if key in self.delayed:
            priority = max(priority, self.delayed.pop(key).priority)
        if key in self.taken:
            self.again[key] = max(priority, self.again.get(key, priority))
        elif key not in self.waiting or priority > self.waiting[key][0]:
            self.waiting[key] = (priority, self._next())

    def _delay(self, key: Key, priority: Priority, due: float) -> None:
        if key in self.waiting or key in self.again:
            return
        old = self.delayed.get(key)
        if old is None:
            self.delayed[key] = _Due(due, self._next(), priority)
        else:
            priority = max(priority, old.priority)
            kept = old._replace(priority=priority)
            self.delayed[key] = kept if old.due <= due else _Due(due, self._next(), priority)

    @rule(key=KEYS, priority=PRIORITIES)
    def add(self, key: Key, priority: Priority) -> None:
        """Add a key now."""
        self.queue.add(key, priority=priority)
        self._enter(key, priority)

    @rule(key=KEYS, priority=PRIORITIES, delay=st.sampled_from([1.0, 5.0, 30.0]))
    def add_later(self, key: Key, priority: Priority, delay: float) -> None:
        """Add a key later."""
        self.loop.run_until_complete(self._call(key, priority, delay))
        self._delay(key, priority, self.loop.time() + delay)

    async def _call(self, key: Key, priority: Priority, delay: float) -> None:
        self.queue.add(key, priority=priority, delay=delay)

    @precondition(lambda self: self.waiting)
    @rule()
    def take(self) -> None:
        """The highest priority comes first, and within it the first that came."""
        best = min(self.waiting, key=lambda k: (-self.waiting[k][0], self.waiting[k][1]))

        item = self.loop.run_until_complete(self.queue.get())

        assert (best, self.waiting.pop(best)[0]) == (item.key, item.priority)
        assert self.failures.get(best, 0) == item.attempt
        self.taken.add(best)

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), fails=st.booleans())
    def hand_back(self, data: st.DataObject, *, fails: bool) -> None:
        """What was added meanwhile waits again, what failed is due later."""
        key = data.draw(st.sampled_from(sorted(self.taken)))
        if fails:
            self.loop.run_until_complete(self._fail(key))
        else:
            self.queue.forget(key)
            self.failures.pop(key, None)
        self.queue.done(key)
        self.taken.discard(key)
        if key in self.again:
            self.waiting[key] = (self.again.pop(key), self._next())

    async def _fail(self, key: Key) -> None:
        attempt, delay = self.queue.add_after_failure(key)
        self.failures[key] = self.failures.get(key, 0) + 1
        self._delay(key, Priority.RETRY, self.loop.time() + delay)
        assert self.failures[key] == attempt
        assert delay <= 20

    @rule(seconds=st.sampled_from([0.5, 1.0, 7.0, 40.0]))
    def pass_time(self, seconds: float) -> None:
        """What came due waits, in the order of the due times."""
        # A little more, so that no due time falls on the very end.
        self.loop.run_until_complete(asyncio.sleep(seconds + 1e-6))
        due = [key for key, each in self.delayed.items() if each.due <= self.loop.time()]
        for each in sorted(due, key=lambda key: self.delayed[key][:2]):
            self._enter(each, self.delayed.pop(each).priority)

    @rule(key=KEYS)
    def drop(self, key: Key) -> None:
        """What is dropped is nowhere, except in the hand that has it."""
        self.loop.run_until_complete(self._drop(key))
        for mapping in (self.waiting, self.delayed, self.again, self.failures):
            mapping.pop(key, None)

    async def _drop(self, key: Key) -> None:
        self.queue.drop(lambda each: each == key)

    @invariant()
    def counts_agree(self) -> None:
        """No key is lost, none is there twice, none in two hands."""
        assert len(self.waiting) == len(self.queue)
        assert len(self.delayed) == self.queue.delayed
        assert self.taken == set(self.queue.taken)


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


def test_one_hand_a_key() -> None:
    """Under many workers and re-adds no key is in two hands, and the last add is seen."""

    async def main() -> tuple[int, dict[Key, int]]:
        work, rng = queue(), random.Random(5)  # noqa: S311 - to repeat
        hands: set[Key] = set()
        worst = 0
        last_seen: dict[Key, int] = {}
        wished: dict[Key, int] = {}

        async def worker() -> None:
            nonlocal worst
            with suppress(ShutDownError):
                while True:
                    item = await work.get()
                    worst = max(worst, int(item.key in hands))
                    hands.add(item.key)
                    seen = wished[item.key]
                    await asyncio.sleep(rng.random())
                    last_seen[item.key] = seen
                    hands.discard(item.key)
                    work.done(item.key)

        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(worker())
            for number in range(500):
                chosen = key(rng.choice("abcdefghij"))
                wished[chosen] = number
                work.add(chosen, priority=rng.choice(list(Priority)))
                await asyncio.sleep(rng.random() / 5)
            await asyncio.sleep(60)
            work.shut_down()
        assert wished == last_seen
        return worst, last_seen

    for seed in range(5):
        worst, seen = run(main, seed=seed, limit_seconds=600)

        assert worst == 0
        assert len(seen) == 10


def test_promotion_keeps_fifo() -> None:
    """A key that stepped out of a lane and came back stands at its end."""

    async def main() -> list[Key]:
        work = queue()
        for each in (A, B, C):
            work.add(each, priority=Priority.INITIAL)
        work.add(A, priority=Priority.USER)
        first = await work.get()
        work.done(first.key)
        work.add(A, priority=Priority.INITIAL)
        return [first.key, *await _drain(work)]

    assert run(main, limit_seconds=1) == [A, B, C, A]


def test_many_promotions_leave_nothing_behind() -> None:
    """A lane that is never served does not grow with keys that step out of it."""

    async def main() -> int:
        work = queue()
        for _ in range(1000):
            work.add(A, priority=Priority.INITIAL)
            work.add(A, priority=Priority.USER)
            work.done((await work.get()).key)
        return len(work._lanes[Priority.INITIAL]._keys)

    assert run(main, limit_seconds=1) <= 64


def test_immediate_add_beats_a_delay() -> None:
    """A key that is due in an hour is due now when it is added now."""

    async def main() -> tuple[float, int]:
        work = queue()
        work.add(A, delay=3600)
        work.add(A)
        item = await work.get()
        return asyncio.get_running_loop().time() - item.queued_at, work.delayed

    assert run(main, limit_seconds=1) == (0.0, 0)


def test_delays_use_one_timer() -> None:
    """A hundred thousand delayed keys cost one timer, not as many."""

    async def main() -> int:
        work = queue()
        for number in range(1000):
            work.add(key(f"k{number}"), delay=1000 - number / 2)
        loop = asyncio.get_running_loop()
        alive = [each for each in loop._scheduled if not each._cancelled]  # type: ignore[attr-defined]  # the loop's timers
        work.shut_down()
        return len(alive)

    assert run(main, limit_seconds=1) == 1


def test_backoff_grows_with_jitter_up_to_the_cap() -> None:
    """The n-th wait is between half and all of base * 2^(n-1), and never above the cap."""

    async def main() -> list[tuple[int, float]]:
        work = queue()
        return [work.add_after_failure(A) for _ in range(2000)]

    waits = run(main, limit_seconds=1)

    assert [number for number, _ in waits] == list(range(1, 2001))
    for attempt, delay in waits:
        full = min(300.0, 0.5 * 2.0 ** min(attempt - 1, 64))
        assert full / 2 <= delay <= full


def test_retry_after_is_never_shortened() -> None:
    """When somebody says how long to wait, that is waited, and not all come at once."""

    async def main() -> list[float]:
        work = queue()
        return [work.add_after_failure(key(f"k{n}"), after=30)[1] for n in range(50)]

    waits = run(main, limit_seconds=1)

    assert min(waits) >= 30
    assert max(waits) <= 33
    assert len(set(waits)) == 50


def test_shut_down_ends_the_wait() -> None:
    """Waiting workers are told, nothing more is handed out, what is in hand may be returned."""

    async def main() -> list[str]:
        work = queue()
        work.add(A)
        item = await work.get()
        waiters = [asyncio.ensure_future(work.get()) for _ in range(3)]
        await asyncio.sleep(1)
        work.shut_down()
        answers = await asyncio.gather(*waiters, return_exceptions=True)
        work.done(item.key)
        work.add(B)
        work.add(C, delay=1)
        return [type(answer).__name__ for answer in answers] + [str(len(work) + work.delayed)]

    assert run(main, limit_seconds=5) == ["ShutDownError"] * 3 + ["0"]


def test_cancelled_getter_passes_its_wake_up_on() -> None:
    """A worker that is cancelled in the moment it is woken does not take the key with it."""

    async def main() -> Key:
        work = queue()
        first = asyncio.ensure_future(work.get())
        second = asyncio.ensure_future(work.get())
        await asyncio.sleep(1)
        work.add(A)
        first.cancel()
        async with asyncio.timeout(5):
            return (await second).key

    for seed in range(10):
        assert run(main, seed=seed, limit_seconds=60) == A


def test_done_without_get_is_an_error() -> None:
    """Handing back what nobody has is a bug, and says so."""

    async def main() -> None:
        queue().done(A)

    with pytest.raises(KeyError):
        run(main, limit_seconds=1)
