"""A scratch database beside the real one, gone afterwards whatever happens."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from crds.store import migrate

PREFIX = "invoker_plan_"
# What a plan that was killed has left is dropped by a later one; no plan takes so long.
LEFT_SECONDS = 3600

Form = Literal["database", "schema"]


class ScratchError(Exception):
    """There is no room for a scratch copy; the message says what is missing."""


class Scratch(NamedTuple):
    """Where the copy is.

    Attributes:
        url: How to connect to it; a libpq connection string.
        form: A database of its own, or a schema of its own in the real one.
        name: Of the database or schema.
    """

    url: str
    form: Form
    name: str


@contextmanager
def scratch(url: str) -> Iterator[Scratch]:
    """An empty, migrated scratch database; a schema where no database may be made.

    Args:
        url: The real database, on whose server it is made.

    Raises:
        ScratchError: Neither may be made.
    """
    # The name says when, for those who find it left over.
    name = f"{PREFIX}{time.time():.0f}_{secrets.token_hex(4)}"
    try:
        made = _make(url, name)
        asyncio.run(migrate(made.url))
        yield made
    finally:
        # On a connection of its own: an interrupted one is not to be relied on.
        with psycopg.connect(url, autocommit=True) as connection:
            _drop(connection, "database", name)
            _drop(connection, "schema", name)


def _make(url: str, name: str) -> Scratch:
    with psycopg.connect(url, autocommit=True) as connection:
        _drop_left(connection)
        try:
            _run(connection, "CREATE DATABASE {} TEMPLATE template0", name)
        except pg.InsufficientPrivilege:
            return _make_schema(connection, url, name)
        return Scratch(make_conninfo(url, dbname=name), "database", name)


def _make_schema(connection: psycopg.Connection, url: str, name: str) -> Scratch:
    try:
        _run(connection, "CREATE SCHEMA {}", name)
    except pg.InsufficientPrivilege:
        raise ScratchError(
            "a plan needs a scratch copy: grant CREATEDB to the role, or CREATE on the database"
        ) from None
    # Nothing else is on the path: what is missing in the copy must not be found in the original.
    return Scratch(make_conninfo(url, options=f"-c search_path={name}"), "schema", name)


def _drop(connection: psycopg.Connection, form: Form, name: str) -> None:
    if form == "database":
        _run(connection, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
    else:
        _run(connection, "DROP SCHEMA IF EXISTS {} CASCADE", name)


def _drop_left(connection: psycopg.Connection) -> None:
    """Drop what killed plans left long ago."""
    found = connection.execute(
        "SELECT 'database', datname::text FROM pg_database "
        "WHERE starts_with(datname, %(prefix)s) AND pg_has_role(datdba, 'USAGE') "
        "UNION ALL SELECT 'schema', nspname::text FROM pg_namespace "
        "WHERE starts_with(nspname, %(prefix)s) AND pg_has_role(nspowner, 'USAGE')",
        {"prefix": PREFIX},
    ).fetchall()
    for form, name in found:
        made_at = name.removeprefix(PREFIX).partition("_")[0]
        if made_at.isdigit() and int(made_at) < time.time() - LEFT_SECONDS:
            _drop(connection, form, name)


def _run(connection: psycopg.Connection, statement: str, name: str) -> None:
    connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
