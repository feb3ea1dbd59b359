"""Statements on a pool of connections, each its own transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

# Nobody waits longer for a row that an open transaction holds: an operator may have gone to lunch.
LOCK_TIMEOUT_MS = 5000
# No statement of ours takes this long; one that does has lost its server or its mind.
STATEMENT_TIMEOUT_MS = 60_000
# Leases are renewed every three seconds, on connections that nothing else waits for.
LEASE_TIMEOUT_MS = 2500
LEASE_CONNECTIONS = 2
# A server that does not answer any more, as after the loss of its network, is noticed by these
# (libpq's parameters; in seconds, the last in milliseconds).
TCP = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}

T = TypeVar("T")


class Pool(AsyncConnectionPool[AsyncConnection[DictRow]]):
    """Connections, for people who may be cancelled at any step, and more than once.

    Whoever is cancelled again while psycopg's own pool still sees to the first time (as scopes of
    anyio do, until their task ends) leaves its condition locked; whoever comes to give that one a
    connection waits for ever, with the lock of the whole pool in hand.
    A cancellation that comes together with the connection is lost altogether in Python 3.11.
    So waiting happens in tasks of the pool's own, which are cancelled once at most.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._errands: set[asyncio.Task[Any]] = set()

    async def getconn(self, timeout: float | None = None) -> AsyncConnection[DictRow]:  # noqa: ASYNC109 - psycopg's signature
        """Take a connection; whoever is cancelled gets none, and none is lost."""
        if self._pool and not self._lock.locked():
            return await super().getconn(timeout)
        errand = self._errand(super().getconn(timeout))
        try:
            return await asyncio.shield(errand)
        except asyncio.CancelledError:
            errand.cancel()
            errand.add_done_callback(self._bring_back)
            raise

    async def putconn(self, conn: AsyncConnection[DictRow]) -> None:
        """Give a connection back, which happens even if its user is cancelled meanwhile."""
        at_rest = conn.pgconn.transaction_status == TransactionStatus.IDLE
        if at_rest and not self._waiting and not self._lock.locked():
            await super().putconn(conn)
        else:
            await asyncio.shield(self._errand(super().putconn(conn)))

    def _errand(self, errand: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(errand)
        # The loop itself holds tasks but weakly.
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        return task

    def _bring_back(self, errand: asyncio.Task[AsyncConnection[DictRow]]) -> None:
        if not errand.cancelled() and errand.exception() is None:
            self._errand(super().putconn(errand.result()))


def make_pool(url: str, size: int) -> Pool:
    """A pool, not yet open, of connections in autocommit whose rows are dicts."""
    return _pool(url, size, size, LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS)


def make_lease_pool(url: str) -> Pool:
    """A pool for leases alone, not yet open; it connects when there are any."""
    return _pool(url, 0, LEASE_CONNECTIONS, LEASE_TIMEOUT_MS, LEASE_TIMEOUT_MS)


def _pool(url: str, least: int, most: int, lock_ms: int, statement_ms: int) -> Pool:
    return Pool(
        url,
        connection_class=AsyncConnection[DictRow],
        min_size=least,
        max_size=most,
        kwargs={
            "autocommit": True,
            "row_factory": dict_row,
            "options": f"-c lock_timeout={lock_ms} -c statement_timeout={statement_ms}",
            **TCP,
        },
        max_lifetime=float("inf"),
        open=False,
    )


class Database:
    """Runs statements; queries are built from our own constants, values are parameters."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def fetch(self, query: str, *parameters: object) -> Sequence[DictRow]:
        """Run a statement that answers with rows."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(query, parameters)
            return await cursor.fetchall()

    async def execute(self, query: str, *parameters: object) -> int:
        """Run a statement; returns how many rows it touched."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(query, parameters)
            return cursor.rowcount
