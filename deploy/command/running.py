"""What runs the product: the local stack, its processes one by one, the schema."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Final, NoReturn

import psycopg
import typer

from crds.store import MigrationError, migrate
from crds.store.migrate import migrations
from deploy.command.frame import CommandError, Exit, note, run
from deploy.command.output import Form, Output, show, show_json
from deploy.command.place import CONNECT_SECONDS, Place, State

ROOT: Final = Path(__file__).parents[2]
# Everything behind the command's name is the program's own, `--help` too.
PASSED_ON: Final = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(context_settings=PASSED_ON)(up)
    app.command()(api)
    app.command()(controller)
    app.command("migrate")(bring_up_to_date)


def up(context: typer.Context) -> None:
    """Run the whole product on the embedded cloud, in the foreground, as `make run` does.

    Takes the options of `python -m deploy.local`: `--state` and a port for each part.
    """
    become("deploy.local", *context.args)


def api() -> None:
    """Run the API; its settings come from the environment."""
    become("api")


def controller() -> None:
    """Run a replica of the controller; its settings come from the environment."""
    become("controller")


def become(module: str, *arguments: str) -> NoReturn:
    """Replace this process, so that signals and exit codes are the program's own."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    os.execve(  # noqa: S606 - our own interpreter
        sys.executable,
        [sys.executable, "-m", module, *arguments],
        {**os.environ, "PYTHONPATH": path},
    )


def bring_up_to_date(
    *,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only say what is pending; ends with 3 if anything is."),
    ] = False,
    output: Output = Form.TABLE,
    state: State = None,
) -> None:
    """Bring the database's schema to this version, and print the steps that were applied."""
    names = run(lambda: _pending(Place.found(state)) if check else _migrate(Place.found(state)))
    if output is Form.JSON:
        show_json({"pending" if check else "applied": names})
    else:
        show(*names)
    if not names:
        note("the schema is up to date")
    elif check:
        note(f"{len(names)} steps are pending")
        raise typer.Exit(Exit.PENDING)


async def _migrate(place: Place) -> list[str]:
    try:
        return await migrate(place.url)
    except MigrationError as error:
        raise CommandError(str(error)) from None


async def _pending(place: Place) -> list[str]:
    applied = await applied_versions(place.url)
    return [step.name for step in migrations() if step.version not in applied]


async def applied_versions(url: str) -> set[str]:
    """The versions of the steps that the database has; none in an empty one."""
    async with await psycopg.AsyncConnection.connect(
        url, autocommit=True, connect_timeout=CONNECT_SECONDS
    ) as connection:
        cursor = await connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL")
        found = await cursor.fetchone()
        if found is None or not found[0]:
            return set()
        cursor = await connection.execute("SELECT version FROM schema_migrations")
        return {row[0] for row in await cursor.fetchall()}
