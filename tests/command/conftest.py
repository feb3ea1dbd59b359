"""The command under test: a database, no terminal, no local stack."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from crds.store import Store
from tests.command.invoking import Invoker, quiet
from tests.simulation.world import world
from tests.support.postgres import Databases
from tests.support.virtual_time import run

LIVED = timedelta(minutes=10)


@pytest.fixture
def invoker(database_url: str) -> Invoker:
    """The command on this test's own database."""
    return Invoker(DATABASE_URL=database_url)


@pytest.fixture
def write(database_url: str) -> Callable[[Callable[[Store], Coroutine[Any, Any, Any]]], Any]:
    """Do something with the store of this test's own database."""

    def done(what: Callable[[Store], Coroutine[Any, Any, Any]]) -> Any:
        async def main() -> Any:
            async with Store.opened(database_url, pool_size=1) as store:
                return await what(store)

        return asyncio.run(main())

    return done


@pytest.fixture(scope="session")
def lived_in(databases: Databases) -> Iterator[str]:
    """A database that controllers have worked on: alice has a running workspace."""
    with databases.fresh() as url:
        with quiet():
            run(lambda: _live(url), start=datetime.now(UTC) - LIVED, limit_seconds=3600)
        yield url


async def _live(url: str) -> None:
    async with world(url) as here:
        await here.register()
        await here.wish()
        await here.until_phase("Running")
        await here.until_answered()
        # Events are written a little later than what they are about.
        await here.quiesce()


@pytest.fixture
def documents(tmp_path: Path) -> Callable[[str], str]:
    """Write wishes into a file and get its path."""

    def written(text: str) -> str:
        path = tmp_path / "wishes.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return written


@pytest.fixture
def lived_in_copy(lived_in: str, databases: Databases) -> Iterator[str]:
    """A copy of that database, of this test's own."""
    names = (
        sql.Identifier("lived_in_copy"),
        sql.Identifier(str(conninfo_to_dict(lived_in)["dbname"])),
    )
    with psycopg.connect(databases.server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
        yield databases.server.url("lived_in_copy")
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(names[0]))
