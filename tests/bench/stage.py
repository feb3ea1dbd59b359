"""Where benches run: a durable PostgreSQL, scratch databases, loops, child processes."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg
import uvloop
from psycopg import sql

from crds.store import migrate
from deploy.local.postgres import EmbeddedPostgres

T = TypeVar("T")

ROOT: Final = Path(__file__).parents[2]
STATE: Final = ROOT / ".invoker"
SERVER_SETTINGS: Final = {"max_connections": "200", "shared_buffers": "256MB"}
"""Durable: fsync and synchronous_commit stay as PostgreSQL has them, which is on."""
# For benches on virtual time, whose figures no disk can change.
FAST: Final = "&options=-c%20synchronous_commit%3Doff"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Stage:
    """What every bench is given; goes to the bench's own process by pickling.

    Attributes:
        url: The server's maintenance database.
        folder: For files that benches of one run share.
        scale: Parts of the full sizes: 1 for a whole run.
        runs: Of how many runs a median is taken.
    """

    url: str
    folder: Path
    scale: float = 1.0
    runs: int = 3

    def size(self, full: int, least: int = 1) -> int:
        """So many in a whole run, fewer in a quick one."""
        return max(least, round(full * self.scale))

    def database_url(self, name: str) -> str:
        """The URL of a database of this server."""
        head, _, tail = self.url.partition("/postgres?")
        return f"{head}/{name}?{tail}"

    @contextmanager
    def database(self, template: str = "bench_template") -> Iterator[str]:
        """Yield the URL of a new database with our schema, dropped afterwards."""
        if template == "bench_template":
            self.make_template(template, lambda url: asyncio.run(migrate(url)))
        name = f"bench_{os.getpid()}_{next(_numbers)}"
        self._run("create database {} template {}", name, template)
        try:
            yield self.database_url(name)
        finally:
            self._run("drop database if exists {} with (force)", name)

    def make_template(self, name: str, fill: Any, template: str = "template0") -> None:
        """Make a database once a run; `fill` is called with its URL."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            query = "select 1 from pg_database where datname = %s"
            if connection.execute(query, [name]).fetchone():
                return
        draft = f"{name}_draft"
        self._run("drop database if exists {} with (force)", draft)
        self._run("create database {} template {}", draft, template)
        fill(self.database_url(draft))
        self._run("alter database {} rename to {}", draft, name)

    def _run(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextmanager
def staged(*, scale: float, runs: int) -> Iterator[Stage]:
    """Run a throw-away server with durable settings beside the other state, and a stage on it."""
    STATE.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=STATE))
    try:
        with EmbeddedPostgres(folder / "pg", settings=SERVER_SETTINGS) as server:
            yield Stage(server.url("postgres"), folder, scale, runs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run on the loop of production."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


@asynccontextmanager
async def child(module: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run one of our modules as a process that has said a line: it is ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", f"tests.bench.{module}", *arguments),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 26,
    )
    try:
        await said(process)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def said(process: asyncio.subprocess.Process) -> str:
    """The next line that a child says.

    Raises:
        RuntimeError: It ended instead.
    """
    if process.stdout is None:
        raise RuntimeError("the child has no output")
    line = (await process.stdout.readline()).decode().strip()
    if not line:
        raise RuntimeError(f"the child ended with {await process.wait()}")
    return line


async def tell(process: asyncio.subprocess.Process, line: str) -> None:
    """Say a line to a child."""
    if process.stdin is None:
        raise RuntimeError("the child has no input")
    process.stdin.write(f"{line}\n".encode())
    await process.stdin.drain()
