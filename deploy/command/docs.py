"""`python -m deploy.command.docs`: writes the pages that follow from the command itself."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import typer.main
from typer.cli import get_docs_for_click

from deploy.command.app import app
from deploy.command.frame import Exit
from deploy.command.remedies import HEADINGS, REMEDIES

DOCS: Final = Path(__file__).parents[2] / "docs"
COMMAND, OPERATIONS = DOCS / "command.md", DOCS / "operations.md"

HEAD = """\
# The `invoker` command

What operators do that kubectl has no word for.
This page is written by `python -m deploy.command.docs`.

Answers go to standard output and everything else to standard error.
`--output json` prints data for programs.
Whatever goes wrong is one line on standard error.

| exit code | means |
| --- | --- |
"""

MEANINGS: Final[dict[Exit, str]] = {
    Exit.DONE: "done",
    Exit.FAILED: "not done: refused, not there, or the database does not answer",
    Exit.USAGE: "not understood: options, a file, a kind, settings; or nobody could be asked",
    Exit.PENDING: "`migrate --check`: steps are pending",
    Exit.NOT_CONVERGED: "`plan`: a wish would not come true",
    Exit.INTERRUPTED: "interrupted",
}


def command_page() -> str:
    """The page about the command."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="invoker")
    codes = "".join(f"| {code.value} | {MEANINGS[code]} |\n" for code in Exit)
    # One level down: the page has a title of its own.
    text = get_docs_for_click(obj=command, ctx=context, name="invoker", indent=1)
    return f"{HEAD}{codes}\n{text.strip()}\n"


def remedies_table() -> str:
    """The table of reasons and remedies, in Markdown."""
    head = f"| {' | '.join(HEADINGS)} |\n| --- | --- | --- |\n"
    return head + "".join(f"{remedy.row()}\n" for remedy in REMEDIES)


def operations_page(before: str) -> str:
    """The page about operations with the table as it should be.

    Args:
        before: The page as it is.
    """
    head, mark, rest = before.partition(f"| {HEADINGS[0]} |")
    if not mark:
        raise ValueError(f"{OPERATIONS.name} has no table of reasons")
    return head + remedies_table() + "\n" + rest.partition("\n\n")[2]


def main() -> None:
    """Write both."""
    COMMAND.write_text(command_page(), encoding="utf-8")
    text = OPERATIONS.read_text(encoding="utf-8")
    OPERATIONS.write_text(operations_page(text), encoding="utf-8")


if __name__ == "__main__":
    main()
