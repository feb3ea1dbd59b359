"""Machines whose commands are real processes beside a real PostgreSQL."""

import asyncio
import os
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import psycopg

from controller.devenv.psql import Psql
from controller.providers import Call
from controller.providers.fly import Fly, Ran
from crds.connection import Keys
from deploy.local.postgres import SOCKET_PORT
from deploy.local.services.cluster import Cluster

PASSWORD = "correct-horse-battery-staple-0123456789"
KEYS = Keys(
    db_password=PASSWORD,
    jwt_secret="a-secret-that-signs-every-token-of-this-environment",
    anon_key="an-anon-key",
    service_role_key="a-service-role-key",
    probe_key="a-probe-key",
    vault_key="0f" * 32,
    made_at=datetime(2024, 2, 9, tzinfo=UTC),
)


class Guest:
    """The part of `Fly` that runs commands, for one machine.

    Args:
        cluster: The machine's database.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.commands: list[Sequence[str]] = []

    @property
    def psql(self) -> Psql:
        """What the controller would have."""
        return Psql(cast(Fly, self), "devenv-acme-erp-pg", "148e", Call())

    async def run(
        self,
        app: str,
        machine: str,
        command: Sequence[str],
        *,
        stdin: str = "",
        timeout: int = 30,  # noqa: ASYNC109 - as the real one
        call: Call,
    ) -> Ran:
        """Run a command as the real one does."""
        del app, machine, call
        self.commands.append(command)
        path = f"{self.cluster.commands}:{os.environ['PATH']}"
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": path, "PGPORT": str(self.cluster.port or SOCKET_PORT)},
            cwd="/",
        )
        async with asyncio.timeout(timeout):
            out, errors = await process.communicate(stdin.encode())
        code = process.returncode
        return Ran(
            exit_code=1 if code is None else code, stdout=out.decode(), stderr=errors.decode()
        )

    def sql(self, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Do what somebody with a client of their own does; gives the last statement's rows."""
        with psycopg.connect(self.cluster.url(database), autocommit=True) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def clear(self) -> None:
        """Have no tables of developers, and nothing of ours; grants and roles stay."""
        self.sql(
            "drop schema if exists invoker, elsewhere cascade",
            "do $$ declare it regclass; begin"
            " for it in select oid from pg_class where relnamespace = 'public'::regnamespace"
            "  and relkind in ('r', 'p') and not relispartition"
            " loop execute format('drop table %s cascade', it); end loop; end $$",
        )

    @property
    def work(self) -> Path:
        """Where a move keeps its files."""
        return self.cluster.data_dir / "invoker-move"
