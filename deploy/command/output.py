"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer
from pydantic.alias_generators import to_camel
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

# Wide enough that nothing is cut for programs and files.
PLAIN_WIDTH = 200
UNITS = (("d", 86_400), ("h", 3600), ("min", 60))


class Form(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"


Output = Annotated[Form, typer.Option("--output", "-o", help="How to print it.")]


def console() -> Console:
    """Standard output; without colours, and as wide as need be, when it is no terminal."""
    plain = not sys.stdout.isatty()
    return Console(
        highlight=False, soft_wrap=plain, width=PLAIN_WIDTH if plain else None, no_color=plain
    )


def show(*parts: RenderableType) -> None:
    """Print for people."""
    out = console()
    for part in parts:
        with out.capture() as captured:
            out.print(Text(part) if isinstance(part, str) else part)
        # A table's padding is of no use to whoever reads a file.
        lines = [line.rstrip() for line in captured.get().splitlines()] or [""]
        out.file.write("\n".join(lines) + "\n")


def show_json(data: Any) -> None:
    """Print for programs."""
    sys.stdout.write(json.dumps(data, indent=2, default=_plain, ensure_ascii=False) + "\n")


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show at a terminal that something is under way."""
    if not sys.stderr.isatty():
        yield
        return
    with Console(stderr=True).status(text):
        yield


def camel(data: Any) -> dict[str, Any]:
    """A record as JSON has it everywhere else: with names in camelCase."""
    fields = data if isinstance(data, dict) else asdict(data)
    return {to_camel(name): value for name, value in fields.items()}


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table; what is None is shown as a dash."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in headings:
        made.add_column(heading, overflow="fold")
    for row in rows:
        made.add_row(*(Text("-" if cell is None else str(cell)) for cell in row))
    return made


def seconds_in_words(seconds: float) -> str:
    """A span in its largest fitting unit, rounded: `42 s`, `3 min`, `5 h`, `12 d`."""
    for unit, size in UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def until(moment: datetime | None, now: datetime) -> str | None:
    """How far off a moment is: `in 42 s`, or `due` when it is past."""
    if moment is None:
        return None
    left = (moment - now).total_seconds()
    return f"in {seconds_in_words(left)}" if left > 0 else "due"


def ago(moment: datetime | None, now: datetime) -> str | None:
    """How long ago a moment was."""
    if moment is None:
        return None
    return f"{seconds_in_words(max(0.0, (now - moment).total_seconds()))} ago"


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)
