"""The tables of `docs/silo.md`: `python -m tests.api.silo_page` writes them anew."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final, get_args

from api.silo.access import MASKED, MATRIX, MAY, Field
from crds.devenv import Connection
from tests.e2e.product import ROOT

PAGE: Final = ROOT / "docs" / "silo.md"
BEGIN, END = "<!-- begin: python -m tests.api.silo_page -->", "<!-- end -->"
WISHES: Final = {
    "start": "`POST /start-silo` of one that is there",
    "make": "`POST /start-silo` of a new one",
    "stop": "`POST /stop-silo`",
    "rotate": "`POST /rotate-keys`",
    "status": "`GET /silo-status`",
}
SIGNS: Final[dict[Connection, str]] = {"Partial": "P", "Full": "F", "Unsafe": "U"}


def tables() -> str:
    """Both tables, with the marks around them."""
    return "\n".join([BEGIN, "", *_wishes(), "", *_fields(), "", END])


def _row(title: str, cells: Iterator[str]) -> str:
    return f"| {title} | {' | '.join(cells)} |"


def _head(title: str) -> Iterator[str]:
    yield _row(title, (f"`{role}`" for role in MATRIX))
    yield f"| --- |{' --- |' * len(MATRIX)}"


def _wishes() -> Iterator[str]:
    yield from _head("may")
    for action, roles in MAY.items():
        yield _row(WISHES[action], ("✓" if role in roles else "✗" for role in MATRIX))


def _fields() -> Iterator[str]:
    yield from _head("is told")
    for field in get_args(Field):
        title = f"`{field}`" if field != MASKED else "`db_connection_string`, password masked"
        yield _row(title, (_states(told, field) for told in MATRIX.values()))


def _states(told: object, field: str) -> str:
    assert isinstance(told, dict)
    return " ".join(sign for state, sign in SIGNS.items() if field in told.get(state, ())) or "✗"


def rewritten(page: str) -> str:
    """The page with its tables made anew."""
    before, _, rest = page.partition(BEGIN)
    return before + tables() + rest.partition(END)[2]


def main() -> int:
    """Write the page.

    Returns:
        The exit code: 0.
    """
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
