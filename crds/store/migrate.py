"""Migrations: plain SQL files in dbmate's format, applied one by one under a session lock."""

from __future__ import annotations

from importlib.resources import files
from typing import NamedTuple

import psycopg

# Any number that nothing else in this database locks.
LOCK = 7309452
UP, DOWN = "-- migrate:up", "-- migrate:down"


class MigrationError(Exception):
    """The database cannot be brought to this version; the message says why."""


class Migration(NamedTuple):
    """One step: its version (the digits of the file name), its name, and its SQL."""

    version: str
    name: str
    sql: str


def migrations() -> list[Migration]:
    """All steps, in order."""
    found = []
    for file in files(__package__).joinpath("migrations").iterdir():
        if file.name.endswith(".sql"):
            text = file.read_text(encoding="utf-8")
            up = text.partition(UP)[2].partition(DOWN)[0]
            found.append(Migration(file.name.partition("_")[0], file.name, up))
    return sorted(found)


async def migrate(url: str) -> list[str]:
    """Bring the database up to date; any number of processes may do so at once.

    Args:
        url: The database.

    Returns:
        The names of the steps that were applied, in order.

    Raises:
        MigrationError: The database is newer than this program, or a step failed; a failed step
            leaves nothing behind.
    """
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (version text PRIMARY KEY)"
        )
        cursor = await connection.execute("SELECT version FROM schema_migrations")
        applied = {row[0] for row in await cursor.fetchall()}
        steps = migrations()
        if unknown := applied - {step.version for step in steps}:
            raise MigrationError(
                f"the database has migrations that this version does not know: {sorted(unknown)}"
            )
        pending = [step for step in steps if step.version not in applied]
        for step in pending:
            await _apply(connection, step)
        return [step.name for step in pending]


async def _apply(connection: psycopg.AsyncConnection, step: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(step.sql)
            await connection.execute(
                "INSERT INTO schema_migrations (version) VALUES (%s)", (step.version,)
            )
    except psycopg.Error as error:
        raise MigrationError(f"{step.name}: {error}") from error
