"""The command as tests run it, and what they look at."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import structlog
from psycopg import sql
from psycopg.rows import dict_row
from typer.testing import CliRunner, Result

from deploy.command.app import app
from deploy.plan.scratch import PREFIX

# A machine's token (docs/protocols.md).
TOKEN = re.compile(r"1\.[A-Za-z0-9_-]{43}")
# What a developer's own environment may hold.
UNSET = (
    "DATABASE_URL",
    "INVOKER_STATE",
    "INVOKER_CONTROLLER_URL",
    "INVOKER_CONTROLLER_PORT",
    "INVOKER_INSTALLATION",
    "INVOKER_METRICS_TOKEN",
    "FLY_API_TOKEN",
    "CLOUDFLARE_API_TOKEN",
)
NONE = dict.fromkeys(UNSET, "")


class Invoker:
    """The command on one database.

    Args:
        environ: What it finds in the environment.
    """

    def __init__(self, **environ: str) -> None:
        self.environ = {**NONE, **environ}

    def __call__(self, *arguments: str, given: str | None = None) -> Result:
        """Run it; what it is `given` is its standard input."""
        runner = CliRunner(env=self.environ)
        return runner.invoke(app, arguments, input=given, catch_exceptions=False)

    def json(self, *arguments: str, given: str | None = None) -> Any:
        """What it answers programs."""
        return json.loads(self(*arguments, "-o", "json", given=given).stdout)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the controllers' log out of the way."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def everything(url: str) -> dict[str, list[Any]]:
    """Every row of every table, every sequence's place, and what plans left."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        tables = connection.execute(
            "SELECT table_name AS name FROM information_schema.tables "
            "WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        ).fetchall()
        found = {
            table["name"]: connection.execute(
                sql.SQL("SELECT to_jsonb(t) AS row FROM {} t ORDER BY to_jsonb(t)").format(
                    sql.Identifier(table["name"])
                )
            ).fetchall()
            for table in tables
        }
        places = "SELECT sequencename::text, last_value FROM pg_sequences ORDER BY 1"
        return {
            **found,
            "sequences": connection.execute(places).fetchall(),
            "databases": connection.execute(
                "SELECT datname::text FROM pg_database WHERE starts_with(datname, %s)", (PREFIX,)
            ).fetchall(),
            "schemas": connection.execute(
                "SELECT nspname::text FROM pg_namespace WHERE starts_with(nspname, %s)", (PREFIX,)
            ).fetchall(),
        }


def operations(plan: Any, *providers: str) -> list[str]:
    """What it would do, in order; at some providers only."""
    return [
        step["operation"]
        for step in plan["steps"]
        if not providers or step["provider"] in providers
    ]
