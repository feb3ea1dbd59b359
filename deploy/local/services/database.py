"""Connections to the environment's database, and transactions under the role of a token."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import psycopg

_AT_ONCE: Final = 10
"""PostgREST's default for the size of its pool."""

_CONNECT_SECONDS: Final = 3
_WAIT_SECONDS: Final = 10.0

Connection = psycopg.AsyncConnection[Any]


class Database:
    """A few connections, made when they are needed and kept for the next who needs one.

    The driver's own pool waits for a database that is down; this one says so at once.

    Args:
        url: Where the database is, with role and password.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: list[Connection] = []
        self._places = asyncio.Semaphore(_AT_ONCE)

    @contextlib.asynccontextmanager
    async def transaction(
        self, role: str | None = None, claims: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Connection]:
        """A transaction, committed at the end, rolled back by an exception.

        Args:
            role: Whom it acts as; the role of the connection when None.
            claims: What policies are told of whoever asks.

        Raises:
            psycopg.OperationalError: The database does not answer.
            psycopg.Error: The role does not exist or may not be taken.
        """
        async with self._places:
            connection = await self._begun(role, claims)
            try:
                yield connection
                await connection.commit()
            except BaseException:
                with contextlib.suppress(psycopg.OperationalError):
                    await connection.rollback()
                raise
            finally:
                await self._give_back(connection)

    async def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            await self._idle.pop().close()

    async def _begun(self, role: str | None, claims: Mapping[str, Any] | None) -> Connection:
        """A connection in a new transaction; one whose server has gone is not noticed before."""
        while self._idle:
            connection = self._idle.pop()
            try:
                await _become(connection, role, claims)
            except psycopg.OperationalError:
                await connection.close()
            except BaseException:
                await self._give_back(connection)
                raise
            else:
                return connection
        connection = await psycopg.AsyncConnection.connect(
            self._url, connect_timeout=_CONNECT_SECONDS
        )
        try:
            await _become(connection, role, claims)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _give_back(self, connection: Connection) -> None:
        if connection.broken or connection.closed:
            await connection.close()
            return
        if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            with contextlib.suppress(psycopg.OperationalError):
                await connection.rollback()
        self._idle.append(connection)


async def _become(
    connection: Connection, role: str | None, claims: Mapping[str, Any] | None
) -> None:
    if role is None:
        await connection.execute("select")
        return
    await connection.execute(
        "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
        [role, json.dumps(claims or {})],
    )


def require(url: str, relation: str) -> None:
    """Wait for the database to have a table, as images do that bring their tables up to date.

    Ends the process when it does not come in time: the machine's restart policy tries again.

    Args:
        url: Where the database is.
        relation: The table.
    """
    until = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            with psycopg.connect(url, connect_timeout=_CONNECT_SECONDS) as connection:
                found = connection.execute("select to_regclass(%s)", [relation]).fetchone()
        except psycopg.OperationalError as error:
            # What the driver says names host, port and role; never the password.
            problem = str(error).strip()
        else:
            if found is not None and found[0] is not None:
                return
            problem = f"there is no table {relation}"
        if time.monotonic() > until:
            sys.exit(f"the database is not usable: {problem}")
        time.sleep(0.2)
