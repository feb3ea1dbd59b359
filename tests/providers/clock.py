"""A loop whose clock jumps to the next timer, for tests without a database."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


class JumpingLoop(asyncio.SelectorEventLoop):
    """Nobody waits: when nothing is ready, it is already later."""

    _ready: Any
    _scheduled: Any
    _timer_cancelled_count: int

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def time(self) -> float:
        """Return the jumping clock's time."""
        return self.now

    def _run_once(self) -> None:
        while self._scheduled and self._scheduled[0].cancelled():
            heapq.heappop(self._scheduled)._scheduled = False
            self._timer_cancelled_count -= 1
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0].when())
        super()._run_once()  # type: ignore[misc]  # private to asyncio


def run(test: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine function on a jumping loop and return its result."""

    async def main() -> T:
        return await test()

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main())


def now() -> float:
    """Return the loop's time."""
    return asyncio.get_running_loop().time()
