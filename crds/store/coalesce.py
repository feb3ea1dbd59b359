"""One statement for many callers: whoever asks while one is under way joins the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

W = TypeVar("W")
R = TypeVar("R")


class Coalescer(Generic[W, R]):
    """Gathers single wishes into batches.

    A lone wish is served at once; under load a batch grows to what came in during the last one.
    A wish whose asker was cancelled before its batch began is not served.

    Args:
        flush: Serves a batch and returns one answer for each wish, in order.
        limit: The most wishes in one batch.
        gather_seconds: How long a batch waits for company.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[W]], Awaitable[Sequence[R]]],
        *,
        limit: int = 500,
        gather_seconds: float = 0.0,
    ) -> None:
        self._flush = flush
        self._limit = limit
        self._gather_seconds = gather_seconds
        self._waiting: list[tuple[W, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    async def submit(self, wish: W) -> R:
        """Hand in one wish and wait for its answer.

        Raises:
            Exception: Whatever the flush of its batch raised.
        """
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((wish, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._serve())
        return await answer

    async def _serve(self) -> None:
        try:
            while self._waiting:
                if self._gather_seconds:
                    await asyncio.sleep(self._gather_seconds)
                batch = self._waiting[: self._limit]
                del self._waiting[: self._limit]
                # Whoever gave up meanwhile does not want it any more.
                wanted = [(wish, answer) for wish, answer in batch if not answer.done()]
                if wanted:
                    await self._serve_batch(wanted)
        finally:
            self._task = None
            for _, answer in self._waiting:
                answer.cancel()
            self._waiting.clear()

    async def _serve_batch(self, batch: list[tuple[W, asyncio.Future[R]]]) -> None:
        try:
            results = await self._flush([wish for wish, _ in batch])
        except asyncio.CancelledError:
            for _, answer in batch:
                answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it belongs to those who asked
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
        else:
            for (_, answer), result in zip(batch, results, strict=True):
                if not answer.done():
                    answer.set_result(result)
