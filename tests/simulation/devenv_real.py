"""A dev environment's database as a real PostgreSQL, one cluster a disk."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from controller.devenv.psql import text_of
from deploy.local.postgres import SOCKET_PORT
from deploy.local.services.cluster import Cluster
from deploy.local.simulators.clock import Now
from tests.simulation.devenv_disks import Disk, Ran, fits
from tests.simulation.devenv_world import DevEnvWorld

BEGIN: Final = text_of("move_begin.sh")
COPY_SECONDS: Final = 60
TABLES: Final = (
    "select relname::text, relrowsecurity from pg_class "
    "where relnamespace = 'public'::regnamespace and relkind = 'r' order by 1"
)


@cache
def place() -> Path:
    """A directory that the server's own user reaches; it is gone when this process is."""
    path = Path(tempfile.mkdtemp(prefix="invoker-simulation-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    path.chmod(0o711)
    return path


@cache
def template() -> Path:
    """A cluster that is through its first start."""
    return Cluster.template(place() / "template")


class RealDisk:
    """A cluster; time stands still while it works."""

    def __init__(self) -> None:
        self._data = Path(tempfile.mkdtemp(dir=place()))
        self._cluster = Cluster(self._data, template=template())
        self._running = False
        self._verifiers: dict[str, str] | None = None

    @property
    def running(self) -> bool:
        """Whether the server runs."""
        return self._running

    def boot(self) -> None:
        """Start the server."""
        if not self._running:
            self._cluster.start()
            self._running, self._verifiers = True, None

    def halt(self, *, politely: bool) -> None:
        """Stop the server."""
        if not self._running:
            return
        self._running = False
        if not politely and self._cluster.process is not None:
            self._cluster.process.send_signal(signal.SIGQUIT)
            self._cluster.process.wait()
        self._cluster.stop()

    def remove(self) -> None:
        """Stop it and delete what it kept."""
        self.halt(politely=False)
        shutil.rmtree(self._data, ignore_errors=True)

    def run(self, command: list[str], stdin: str, find: Callable[[str], Disk | None]) -> Ran:
        """Run a command as the machine would; a copy that it begins runs to its end."""
        begins = command[0] == "sh" and BEGIN in command[2]
        if begins:
            stdin = self._led(stdin, find)
        ran = self._ask(command, stdin)
        if begins:
            lock = self._data / "invoker-move" / "lock"
            subprocess.run(["flock", str(lock), "true"], check=True, timeout=COPY_SECONDS)  # noqa: S603, S607 - of util-linux, as the scripts use it
        self._verifiers = None
        return ran.returncode, ran.stdout, ran.stderr

    def _ask(self, command: list[str], stdin: str) -> subprocess.CompletedProcess[str]:
        path = f"{self._cluster.commands}:{os.environ['PATH']}"
        return subprocess.run(  # noqa: S603 - what the controller says
            command,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env={"PATH": path, "PGPORT": str(SOCKET_PORT)},
        )

    def _led(self, stdin: str, find: Callable[[str], Disk | None]) -> str:
        """Lead the copy to the other cluster's socket, if its password is right."""
        host, _, password = stdin.splitlines()
        source = find(host)
        there = "/nowhere"
        if isinstance(source, RealDisk) and source.lets_in("supabase_admin", password):
            there = str(source._cluster.socket_dir)
        return f"{there}\n{SOCKET_PORT}\n{password}\n"

    def lets_in(self, role: str, password: str) -> bool:
        """Whether a role may log in with a password."""
        if self._verifiers is None:
            rows = self.sql("select rolname, coalesce(rolpassword, '') from pg_authid")
            self._verifiers = dict(rows)
        return fits(self._verifiers.get(role, ""), password)

    def rows(self) -> dict[str, int]:
        """How many rows every table has."""
        count = sql.SQL("select count(*) from public.{}")
        return {name: self.sql(count.format(sql.Identifier(name)))[0][0] for name in self.secured()}

    def insert(self, table: str, number: int) -> None:
        """Add so many rows to a table with a sequence and a policy."""
        name = sql.Identifier(table)
        if table not in self.rows():
            for statement in (
                "create table {} (id serial primary key, owner uuid default gen_random_uuid())",
                "alter table {} enable row level security",
                "create policy own on {} using (owner = auth.uid())",
            ):
                self.sql(sql.SQL(statement).format(name))
        rows = sql.SQL(
            "insert into {} (owner) select gen_random_uuid() from generate_series(1, {})"
        )
        self.sql(rows.format(name, number))

    def open_table(self, table: str) -> None:
        """Switch row-level security off by hand."""
        name = sql.Identifier(table)
        self.sql(sql.SQL("alter table {} disable row level security").format(name))

    def secured(self) -> dict[str, bool]:
        """Which tables are under row-level security."""
        return dict(self.sql(TABLES))

    def kept(self) -> list[tuple[Any, ...]]:
        """What a move has to bring along besides rows: sequences, policies, passwords."""
        return [
            *self.sql("select sequencename::text, last_value::text from pg_sequences order by 1"),
            *self.sql("select tablename::text, policyname::text, qual from pg_policies order by 1"),
            *self.sql(
                "select rolname::text, rolpassword from pg_authid "
                "where rolname in ('developer') order by 1"
            ),
        ]

    def sql(self, statement: str | sql.Composed) -> list[tuple[Any, ...]]:
        """What somebody with a client of their own asks."""
        with psycopg.connect(self._cluster.url(), autocommit=True) as connection:
            cursor = connection.execute(
                statement.encode() if isinstance(statement, str) else statement
            )
            return cursor.fetchall() if cursor.description else []


class RealDevEnvWorld(DevEnvWorld):
    """A world in which the database is a real one."""

    @staticmethod
    def make(now: Now, volume: str) -> Disk:
        """An empty disk of a database."""
        del now, volume
        return RealDisk()
