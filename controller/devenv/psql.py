"""What is asked of a dev environment's database: psql inside its machine, secrets by stdin only."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Final

from controller.engine import RetryLater
from controller.providers import Call
from controller.providers.fly import Fly, Ran

SUPERUSER: Final = "supabase_admin"
DATABASE: Final = "postgres"
"""What all services use; pg_cron can live in no other (`cron.database_name`)."""
RUN_SECONDS: Final = 30
RETRY_SECONDS: Final = 5.0

# Inside the machine supabase/postgres trusts 127.0.0.1 (its pg_hba.conf), so no password is needed.
_COMMAND: Final = (
    *("psql", "-X", "-q", "--csv", "-t", "-v", "ON_ERROR_STOP=1"),
    *("-h", "127.0.0.1", "-U", SUPERUSER),
)
# The guest's locale decides what psql believes to be sent, so it is told.
_SESSION: Final = "set client_encoding = 'UTF8'; set client_min_messages = warning;\n"

_WHERE: Final = re.compile(r"^(psql|pg_\w+):(<stdin>:\d+:|[^ ]*:\d+:)? *")
_LITERAL: Final = re.compile(r"'((?:[^']|'')*)'")
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e\xa0-\uffff]+")
_REFUSALS: Final = ("ERROR:", "FATAL:", "error:")
_MESSAGE_LENGTH: Final = 300
# Keys are longer; shorter literals are words without which an error says nothing.
_SECRET_LENGTH: Final = 20


class Psql:
    """The database in one Fly machine.

    Args:
        fly: The provider.
        app: The machine's app.
        instance: Fly's id of the machine.
        call: On whose behalf.
    """

    def __init__(self, fly: Fly, app: str, instance: str, call: Call) -> None:
        self._fly = fly
        self._app = app
        self._instance = instance
        self._call = call

    async def query(
        self,
        sql: str,
        *,
        database: str = DATABASE,
        timeout: int = RUN_SECONDS,  # noqa: ASYNC109 - the provider's, part of its API
    ) -> list[list[str]]:
        """Run SQL as the superuser; what is to hold as a whole has to begin its own transaction.

        Args:
            sql: Statements, and psql's own commands.
            database: Where.
            timeout: Seconds that it may take.

        Returns:
            The rows of all results, one behind the other; NULL is an empty string.

        Raises:
            RetryLater: It was refused, or the database could not be reached.
            ProviderError: The machine could not be reached.
        """
        command = [*_COMMAND, "-d", database, "-f", "-"]
        ran = await self._run(command, _SESSION + sql, timeout)
        _check(ran, (found.replace("''", "'") for found in _LITERAL.findall(sql)))
        return [row or [""] for row in csv.reader(io.StringIO(ran.stdout))]

    async def shell(
        self,
        script: str,
        *,
        stdin: str = "",
        timeout: int = RUN_SECONDS,  # noqa: ASYNC109 - the provider's, part of its API
    ) -> str:
        """Run a POSIX shell script in the machine.

        Args:
            script: The script; Fly may log it.
            stdin: What it reads: the place for secrets.
            timeout: Seconds that it may take.

        Returns:
            What it wrote to its standard output.

        Raises:
            RetryLater: It ended with an error.
            ProviderError: The machine could not be reached.
        """
        ran = await self._run(["sh", "-c", script], stdin, timeout)
        _check(ran, stdin.splitlines())
        return ran.stdout

    async def _run(self, command: list[str], stdin: str, seconds: int) -> Ran:
        return await self._fly.run(
            self._app, self._instance, command, stdin=stdin, timeout=seconds, call=self._call
        )


@cache
def text_of(name: str) -> str:
    """An SQL file or a shell script of this package."""
    return files("controller.devenv").joinpath("sql", name).read_text(encoding="utf-8")


def _check(ran: Ran, secrets: Iterable[str]) -> None:
    if ran.exit_code != 0:
        message = _clean(ran.stderr, secrets) or f"exit code {ran.exit_code}"
        raise RetryLater("DatabaseRefused", message, after=RETRY_SECONDS)


def _clean(stderr: str, secrets: Iterable[str]) -> str:
    """The line that says what was wrong, without anything secret that it may repeat."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    line = next((line for line in lines if any(word in line for word in _REFUSALS)), "")
    line = line or next(iter(lines), "")
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= _SECRET_LENGTH:
            line = line.replace(secret, "…")
    line = _WHERE.sub("", _UNPRINTABLE.sub(" ", line))
    return line.strip()[:_MESSAGE_LENGTH]
