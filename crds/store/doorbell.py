"""The doorbell: says that the log may have grown. Missing a ring costs a poll, never an event."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol
from uuid import uuid4

import psycopg

from crds.store.database import Database

CHANNEL = "invoker"
# One NOTIFY for all commits of this span: one a commit would serialise them.
GATHER_SECONDS = 0.001
RECONNECT_SECONDS = 1.0


class Doorbell(Protocol):
    """Wakes whoever tails the log."""

    def ring(self) -> None:
        """Say that the log may have grown."""

    def rings(self) -> int:
        """How often it has rung; hand it to `wait` to miss none in between."""

    async def wait(self, heard: int, timeout: float) -> int:  # noqa: ASYNC109 - a poll's period
        """Return when it has rung more often than `heard`, or after `timeout` seconds."""


class LocalDoorbell:
    """A doorbell within one process."""

    def __init__(self) -> None:
        self._count = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        """Wake everybody who waits."""
        self._count += 1
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    def rings(self) -> int:
        """How often it has rung."""
        return self._count

    async def wait(self, heard: int, timeout: float) -> int:  # noqa: ASYNC109 - a poll's period
        """Wait for a ring beyond `heard`, or `timeout` seconds."""
        if self._count > heard:
            return self._count
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await waiting
        finally:
            self._waiting.discard(waiting)
        return self._count


class PostgresDoorbell(LocalDoorbell):
    """A doorbell between processes, on NOTIFY; within this process it rings at once."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database
        self._name = uuid4().hex
        self._dirty = asyncio.Event()

    def ring(self) -> None:
        """Wake this process at once and the others within a few milliseconds."""
        super().ring()
        self._dirty.set()

    @asynccontextmanager
    async def running(self, url: str) -> AsyncIterator[None]:
        """Listen to the others and tell them, for as long as the context lasts.

        Args:
            url: The database; the listening connection is not one of the pool's.
        """
        tasks = [asyncio.create_task(self._listen(url)), asyncio.create_task(self._tell())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, url: str) -> None:
        while not _is_cancelled():
            with contextlib.suppress(psycopg.Error, OSError):
                async with await psycopg.AsyncConnection.connect(url, autocommit=True) as listener:
                    await listener.execute(f"LISTEN {CHANNEL}")
                    super().ring()  # whatever rang while nobody listened
                    async for heard in listener.notifies():
                        if heard.payload != self._name:
                            super().ring()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _tell(self) -> None:
        while not _is_cancelled():
            await self._dirty.wait()
            self._dirty.clear()
            with contextlib.suppress(psycopg.Error, OSError):
                await self._database.fetch("SELECT pg_notify(%s, %s)", CHANNEL, self._name)
            await asyncio.sleep(GATHER_SECONDS)


def _is_cancelled() -> bool:
    """Whether the running task was told to end; psycopg may turn that into an error of its own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
