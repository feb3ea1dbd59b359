"""A seeded asyncio loop on virtual time, beside real sockets.

Hours pass in milliseconds, because the clock jumps to the next timer as soon as nothing else
can happen: nothing is ready, no answer is awaited from a socket, no executor is at work.
Task steps that are ready together run in an order drawn from the seed.
PostgreSQL answers at no time (`virtual_queries`), so that the machine's pace decides nothing.

The loop replaces ``BaseEventLoop._run_once``, a private method; a test watches that it is there.
"""

# ruff: noqa: SLF001 - the loop works on asyncio's own handles

import asyncio
import heapq
import itertools
import math
import random
import select
import selectors
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import Context
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

import psycopg.waiting

from crds.clock import Clock
from deploy.local.virtual_queries import at_no_time

START: Final = datetime(2030, 1, 1, tzinfo=UTC)
SETTLE_SECONDS: Final = 0.02
"""Real time that the first answer of a socket waits for the others, so that order is less luck.

PostgreSQL does not need it, but for statements that wait for each other's locks.
"""
LOST_SECONDS: Final = 30.0
"""Real time that an idle connection gets to speak up before the loop is called deadlocked.

Longer than any machine is busy with something else.
"""
SPINNING_SECONDS: Final = 0.001
"""Real time that those who spin leave to the one whose answer is awaited."""
ROUNDS_AT_ONE_INSTANT: Final = 1_000_000
ROUNDS_WITHOUT_REST: Final = 100

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_Event = tuple[selectors.SelectorKey, int]


class VirtualTimeError(AssertionError):
    """The program under test can never end, or not in the time it was given."""


class DeadlockError(VirtualTimeError):
    """Nothing is ready, no timer runs, no answer is awaited."""


class LimitError(VirtualTimeError):
    """The virtual time or the rounds at one instant are used up."""


class _Selector(selectors.DefaultSelector):
    """Remembers the order of registration, which repeats; file numbers need not."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self.order: dict[int, int] = {}

    def register(self, fileobj: Any, events: int, data: object = None) -> selectors.SelectorKey:
        key = super().register(fileobj, events, data)
        self._count += 1
        self.order[key.fd] = self._count
        return key

    def ordered(self, timeout: float | None) -> list[_Event]:
        """What is ready, oldest registration first."""
        return sorted(self.select(timeout), key=lambda event: self.order[event[0].fd])

    def await_one(self, files: Iterable[int], seconds: float) -> bool:
        """Wait until one of these is ready, whatever the others are; returns whether it is."""
        late = select.poll()
        for fd in files:
            late.register(fd, _poll_mask(self.get_map()[fd].events))
        return bool(late.poll(max(0.0, seconds) * 1000))


class _Timer(asyncio.TimerHandle):
    """A timer that comes after those of the same moment which were set before it.

    A heap alone keeps no order among equals: it depends on what else is in it, such as timeouts
    that psycopg reckons by the machine's clock.
    """

    __slots__ = ("order",)
    order: int

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, _Timer):
            return NotImplemented
        return (self.when(), self.order) < (other.when(), other.order)


def _poll_mask(events: int) -> int:
    reading = select.POLLIN if events & selectors.EVENT_READ else 0
    return reading | (select.POLLOUT if events & selectors.EVENT_WRITE else 0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps.

    Args:
        seed: Decides the order of task steps that are ready together.
        start: The wall time at which the loop's clock reads 0.
        limit_seconds: Virtual seconds after which the loop gives up.
    """

    # The base class's own, which its stubs do not tell.
    _ready: deque[Any]
    _scheduled: list[Any]
    _stopping: bool
    _timer_cancelled_count: int
    _process_events: Callable[[list[_Event]], None]
    _check_closed: Callable[[], None]

    def __init__(
        self, *, seed: int = 0, start: datetime = START, limit_seconds: float = math.inf
    ) -> None:
        self._now = 0.0
        self._poller = _Selector()
        super().__init__(self._poller)
        self.start = start
        self.limit_seconds = limit_seconds
        self._random = random.Random(seed)  # noqa: S311 - an order to repeat, not a secret
        # What is registered by now is the loop's own wake-up pipe.
        self._idle = self._files()
        self._outside = 0
        self._rounds = self._restless = 0
        self._resting: list[asyncio.Future[None]] = []
        self._orders = itertools.count()

    def time(self) -> float:
        """Virtual seconds since `start`."""
        return self._now

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call at a moment of the loop's time, after what was to be called then before."""
        self._check_closed()
        timer = _Timer(when, callback, args, self, context)
        timer.order = next(self._orders)
        timer._scheduled = True  # type: ignore[attr-defined] # asyncio's own
        heapq.heappush(self._scheduled, timer)
        return timer

    def mark_idle(self, fd: int) -> None:
        """Never wait for this file: it speaks only when it has news, as LISTEN does."""
        self._idle.add(fd)

    def mark_busy(self, fd: int) -> None:
        """Take back `mark_idle`; call it when the file is closed, its number is used again."""
        self._idle.discard(fd)

    async def rest(self) -> None:
        """Return when nothing else can be done at this instant, or something never ends."""
        rested = self.create_future()
        self._resting.append(rested)
        await rested

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Hold the clock while something works that the loop cannot see."""
        self._outside += 1
        try:
            yield
        finally:
            self._outside -= 1

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run in a thread; the clock waits for it."""
        future = super().run_in_executor(executor, func, *args)
        self._outside += 1
        future.add_done_callback(self._came_back)
        return future

    async def shutdown_default_executor(self, *args: Any) -> None:
        """Join the threads; the clock waits for them."""
        with self.outside():
            await super().shutdown_default_executor(*args)

    def _came_back(self, _: object) -> None:
        self._outside -= 1

    def _run_once(self) -> None:
        self._drop_cancelled_timers()
        events = self._poll()
        self._process_events(events)
        self._take_due_timers()
        self._shuffle()
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _drop_cancelled_timers(self) -> None:
        while self._scheduled and self._scheduled[0]._cancelled:
            self._forget(heapq.heappop(self._scheduled))
        if self._timer_cancelled_count > len(self._scheduled) // 2:
            for handle in self._scheduled:
                if handle._cancelled:
                    handle._scheduled = False
            self._scheduled = [h for h in self._scheduled if not h._cancelled]
            heapq.heapify(self._scheduled)
            self._timer_cancelled_count = 0

    def _forget(self, handle: Any) -> None:
        self._timer_cancelled_count -= 1
        handle._scheduled = False

    def _poll(self) -> list[_Event]:
        self._rounds += 1
        self._restless += 1
        if self._rounds > ROUNDS_AT_ONE_INSTANT:
            self._give_up(f"spins: {self._rounds} rounds without the clock moving", LimitError)
        if self._ready or self._stopping or self._timer_due():
            # Sockets are looked at when all else rests: when an answer came is luck.
            # Now and then they are looked at all the same, for those who spin until it comes.
            return self._glance() if self._restless >= ROUNDS_WITHOUT_REST else []
        self._restless = 0
        if self._wake_resting():
            return []
        if self._busy_files() or self._outside:
            return self._answers()
        return self._poller.ordered(0) or self._jump()

    def _glance(self) -> list[_Event]:
        """Give those who spin what they spin for; the machine's time is not theirs."""
        self._restless = 0
        if self._wake_resting():
            return []
        if not self._busy_files() and not self._outside:
            return self._poller.ordered(0)
        self._rounds = 0
        return self._poller.ordered(SPINNING_SECONDS)

    def _wake_resting(self) -> bool:
        rested, self._resting = self._resting, []
        awaited = [each for each in rested if not each.done()]
        for each in awaited:
            each.set_result(None)
        return bool(awaited)

    def _timer_due(self) -> bool:
        return bool(self._scheduled) and self._scheduled[0]._when <= self._now

    def _busy_files(self) -> set[int]:
        return self._files() - self._idle

    def _files(self) -> set[int]:
        return {key.fd for key in self._poller.get_map().values()}

    def _answers(self) -> list[_Event]:
        """Wait for the first answer, and shortly for all others that are awaited."""
        events = self._poller.ordered(None)
        deadline = time.monotonic() + SETTLE_SECONDS
        awaited = self._busy_files()
        while late := awaited - {key.fd for key, _ in events}:
            if not self._poller.await_one(late, deadline - time.monotonic()):
                break
            events = self._poller.ordered(0)
        return events

    def _jump(self) -> list[_Event]:
        if not self._scheduled:
            return self._last_resort()
        if self._scheduled[0]._when > self.limit_seconds:
            self._give_up(f"is not done after {self.limit_seconds} virtual seconds", LimitError)
        self._now = self._scheduled[0]._when
        self._rounds = 0
        return []

    def _last_resort(self) -> list[_Event]:
        events = self._poller.ordered(LOST_SECONDS if len(self._idle) > 1 else 0)
        if not events:
            self._give_up("is deadlocked: no timer, no awaited answer", DeadlockError)
        return events

    def _give_up(self, why: str, error: type[VirtualTimeError]) -> None:
        # What cleans up after the error gets a fresh allowance.
        self.limit_seconds = math.inf
        self._rounds = 0
        tasks = "\n  ".join(sorted(repr(task) for task in asyncio.all_tasks(self)))
        raise error(f"at {self._now} s the loop {why}; its tasks:\n  {tasks}")

    def _take_due_timers(self) -> None:
        while self._timer_due():
            handle = heapq.heappop(self._scheduled)
            handle._scheduled = False
            self._ready.append(handle)

    def _shuffle(self) -> None:
        """Shuffle the steps of tasks; other callbacks keep their order among themselves.

        Transports rely on it: `connection_made` before the first byte.
        """
        if not self._ready:
            return
        handles = list(self._ready)
        others = iter([handle for handle in handles if not _is_step(handle)])
        self._random.shuffle(handles)
        self._ready = deque(handle if _is_step(handle) else next(others) for handle in handles)


def _is_step(handle: Any) -> bool:
    return isinstance(getattr(handle._callback, "__self__", None), asyncio.Task)


@contextmanager
def _steady_psycopg() -> Iterator[None]:
    """Keep psycopg from yielding by the machine's clock, which no seed repeats."""
    before = psycopg.waiting.MAX_BUSY_TIME
    psycopg.waiting.MAX_BUSY_TIME = math.inf
    try:
        yield
    finally:
        psycopg.waiting.MAX_BUSY_TIME = before


def run(
    main: Callable[[], Coroutine[Any, Any, T]],
    *,
    seed: int = 0,
    start: datetime = START,
    limit_seconds: float,
) -> T:
    """Run a program to its end on virtual time, and clean up behind it.

    Args:
        main: The program.
        seed: Decides the order of task steps that are ready together.
        start: The wall time at which the loop's clock reads 0.
        limit_seconds: Virtual seconds that the program may take.

    Returns:
        What the program returns.

    Raises:
        LimitError: It took longer, or spun at one instant.
        DeadlockError: It can never end.
    """

    def factory() -> asyncio.AbstractEventLoop:
        return VirtualTimeLoop(seed=seed, start=start, limit_seconds=limit_seconds)

    with (
        at_no_time(_running_virtual_loop),
        _steady_psycopg(),
        asyncio.Runner(loop_factory=factory) as runner,
    ):
        return runner.run(main())


def running_loop() -> VirtualTimeLoop:
    """The virtual loop that runs the caller.

    Raises:
        TypeError: The caller runs on another loop.
    """
    loop = _running_virtual_loop()
    if loop is None:
        raise TypeError("this loop runs on the machine's own clock")
    return loop


def _running_virtual_loop() -> VirtualTimeLoop | None:
    loop = asyncio.get_running_loop()
    return loop if isinstance(loop, VirtualTimeLoop) else None


def clock() -> Clock:
    """The product's clock, anchored at the start of the running loop."""
    return Clock(running_loop().start, 0.0)
