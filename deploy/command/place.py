"""Where the database is: named by the environment, or the one beside `make run`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import psycopg
import typer

from crds.store import Actor, LocalDoorbell, Store
from crds.store.doorbell import CHANNEL
from deploy.command.frame import CommandError, usage

DEFAULT_STATE = Path(".invoker")
CONNECT_SECONDS = 5
POOL_SIZE = 2
# The line of postmaster.pid that holds the port (PostgreSQL, `miscadmin.h`, LOCK_FILE_LINE_PORT).
PORT_LINE = 3
PROTOCOLS = ("postgres://", "postgresql://")

State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        help="The state of a local stack, whose database is used.",
        show_default="DATABASE_URL, else INVOKER_STATE, else .invoker",
    ),
]


@dataclass(frozen=True, slots=True)
class Place:
    """An installation to work on.

    Attributes:
        url: Its database.
        environ: The settings that its processes see, as far as they are known here.
    """

    url: str
    environ: Mapping[str, str]

    @classmethod
    def found(cls, state: Path | None) -> Place:
        """Find it: `--state`, then `DATABASE_URL`, then `INVOKER_STATE`, then `.invoker`.

        Raises:
            CommandError: There is none, or it does not run.
        """
        url = os.environ.get("DATABASE_URL")
        if state is None and url:
            if not url.startswith(PROTOCOLS):
                raise usage("DATABASE_URL: must be a postgresql:// URL")
            return cls(url, os.environ)
        path = state_of(state)
        if not path.is_dir():
            raise usage(
                f"no database: set DATABASE_URL, or name a local stack's state with --state "
                f"(there is none at {path})"
            )
        return _local(path)

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """The store, in whose audit the person at this terminal stands.

        Raises:
            psycopg.Error: The database does not answer, at once instead of after a pool's patience.
        """
        async with await psycopg.AsyncConnection.connect(
            self.url, autocommit=True, connect_timeout=CONNECT_SECONDS
        ):
            pass
        bell = LocalDoorbell()
        async with Store.opened(self.url, pool_size=POOL_SIZE, doorbell=bell) as store:
            yield store.acting_as(actor())
            if bell.rings():
                # Before this process is gone, so that nobody has to wait for the next poll.
                await store.database.fetch("SELECT pg_notify(%s, '')", CHANNEL)


def state_of(given: Path | None) -> Path:
    """Where a local stack keeps its state: `--state`, then `INVOKER_STATE`, then `.invoker`."""
    return Path(given or os.environ.get("INVOKER_STATE") or DEFAULT_STATE).absolute()


def actor() -> Actor:
    """Who is at this terminal, for the audit."""
    return Actor(person(), "platform-admin", "cli", uuid4().hex)


def person() -> str:
    """The operating system's name of whoever runs the command."""
    try:
        return getuser()
    except (KeyError, OSError):
        # A container's user need not have a name.
        return f"uid-{os.getuid()}"


def _local(state: Path) -> Place:
    """The installation whose database runs on a local stack's state; nothing is written there."""
    # Only a local stack has these modules' dependencies.
    from deploy.local.keys import Keys  # noqa: PLC0415 - see above
    from deploy.local.postgres import EmbeddedPostgres  # noqa: PLC0415 - the same
    from deploy.local.settings import LocalSettings, SettingsError  # noqa: PLC0415 - the same
    from deploy.local.stack import Stack  # noqa: PLC0415 - the same

    server = EmbeddedPostgres(state / "postgres")
    try:
        lines = (server.cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        server.port = int(lines[PORT_LINE])
    except (OSError, IndexError, ValueError):
        raise CommandError(
            f"no database runs on {state}: start it with `make run`, or set DATABASE_URL"
        ) from None
    try:
        settings = LocalSettings.saved(state)
    except SettingsError as error:
        raise usage(str(error)) from None
    told = Stack(settings, Keys(state / "secrets"), os.environ).environment(server.url())
    return Place(server.url(), {**os.environ, **told})
