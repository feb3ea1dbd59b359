"""Databases for tests: one server a test process, one fresh database a test."""

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from crds.store import migrate
from deploy.local.postgres import EmbeddedPostgres

TEMPLATE: Final = "template_invoker"
FAST: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "300",
    "shared_buffers": "64MB",
    # Copying a template must not wait for, nor bring about, a checkpoint.
    "checkpoint_timeout": "1h",
    "max_wal_size": "4GB",
}
"""Nothing here has to survive a power cut."""


class Databases:
    """Hands out databases that are copies of a migrated template."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.server = server
        self._numbers = itertools.count(1)
        self._has_template = False

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """Yield the URL of a new migrated database, dropped afterwards with its sessions."""
        self._make_template()
        name = f"test_{next(self._numbers)}"
        self._run("create database {} template {}", name, TEMPLATE)
        try:
            yield self.server.url(name)
        finally:
            self._run("drop database if exists {} with (force)", name)

    @contextmanager
    def empty(self) -> Iterator[str]:
        """Yield the URL of a new database without our schema, dropped afterwards."""
        name = f"test_{next(self._numbers)}"
        self._run("create database {} template template0", name)
        try:
            yield self.server.url(name)
        finally:
            self._run("drop database if exists {} with (force)", name)

    def _make_template(self) -> None:
        if self._has_template:
            return
        self._run("create database {}", TEMPLATE)
        asyncio.run(migrate(self.server.url(TEMPLATE)))
        self._has_template = True

    def _run(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextmanager
def serving() -> Iterator[EmbeddedPostgres]:
    """Run a throw-away server: fast, not durable, removed afterwards.

    Not in pytest's own temporary directory: that is closed to the user PostgreSQL runs as.
    """
    data_dir = Path(tempfile.mkdtemp(prefix="invoker-pg-"))
    try:
        with EmbeddedPostgres(data_dir, settings=FAST) as server:
            yield server
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)
