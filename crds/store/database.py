"""Statements on a pool of connections, each its own transaction."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

# Nobody waits longer for a row that an open transaction holds: an operator may have gone to lunch.
LOCK_TIMEOUT_MS = 5000

Pool = AsyncConnectionPool[AsyncConnection[DictRow]]


def make_pool(url: str, size: int) -> Pool:
    """A pool, not yet open, of connections in autocommit whose rows are dicts."""
    return AsyncConnectionPool(
        url,
        connection_class=AsyncConnection[DictRow],
        min_size=size,
        max_size=size,
        kwargs={
            "autocommit": True,
            "row_factory": dict_row,
            "options": f"-c lock_timeout={LOCK_TIMEOUT_MS}",
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
