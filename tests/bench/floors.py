"""Bare PostgreSQL: what the store's work costs when nothing of ours is around it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from crds.store.database import Database, make_pool

NOTIFYING = """
CREATE TABLE bare (id int PRIMARY KEY, body jsonb NOT NULL);
INSERT INTO bare SELECT n, '{}' FROM generate_series(0, 9999) n;
CREATE FUNCTION tell_bare() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_notify('bare', NEW.id::text); RETURN NULL; END $$;
CREATE TRIGGER tell AFTER UPDATE ON bare FOR EACH ROW EXECUTE FUNCTION tell_bare();
"""
# The least that gives a write its place in an order that readers can follow: the lock last but
# one, then the row and the log; nothing is notified, nothing checked, nothing answered.
VERSIONING = """
CREATE TABLE versioned (uid uuid PRIMARY KEY, version bigint NOT NULL, spec jsonb NOT NULL);
CREATE TABLE versioned_log (version bigint PRIMARY KEY, uid uuid NOT NULL, object jsonb NOT NULL);
CREATE SEQUENCE versions AS bigint;
CREATE FUNCTION write_versioned(of_uid uuid, new_spec jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE place bigint;
BEGIN
  PERFORM 1 FROM versioned WHERE uid = of_uid FOR UPDATE;
  PERFORM pg_advisory_xact_lock(1);
  place := nextval('versions');
  UPDATE versioned SET version = place, spec = new_spec WHERE uid = of_uid;
  INSERT INTO versioned_log VALUES (place, of_uid, new_spec);
  RETURN place;
END $$;
CREATE TABLE statuses (uid uuid PRIMARY KEY, status jsonb NOT NULL);
"""


@asynccontextmanager
async def bare_database(url: str, size: int) -> AsyncIterator[Database]:
    """A pool of so many connections, in autocommit as the store's."""
    async with make_pool(url, size) as pool:
        yield Database(pool)


def make(url: str, statements: str) -> None:
    """Make the bare tables."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())


@asynccontextmanager
async def listening(url: str, heard: dict[str, float]) -> AsyncIterator[None]:
    """LISTEN on the bare channel and note when each row was first heard of."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("LISTEN bare")

        async def listen() -> None:
            async for notify in connection.notifies():
                heard.setdefault(notify.payload, time.monotonic())

        task = asyncio.create_task(listen())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
