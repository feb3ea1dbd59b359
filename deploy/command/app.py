"""The commands, put together."""

from __future__ import annotations

import typer

from deploy.command import access, audit, fly_toml, leaks, planning, running, why, wishes

app = typer.Typer(
    name="invoker",
    no_args_is_help=True,
    # Plain help and plain errors read the same in a terminal, a log and a file.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for part in (running, access, why, planning, leaks, wishes, audit, fly_toml):
    part.add_to(app)


@app.callback()
def invoker() -> None:
    """Run invoker, and look after what runs.

    Commands work on the database directly: the one of DATABASE_URL, or that of a local stack.
    What they write is audited under the name of the operating system's user.
    """
