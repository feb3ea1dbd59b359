"""Words of others: made fit to be kept, and to be shown to people on a terminal."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field

LONGEST: Final = 1000
"""Characters that are kept of a sentence that somebody else wrote."""


def plain(text: str, most: int = LONGEST) -> str:
    """Return a text without control characters, in one line.

    PostgreSQL keeps neither NUL nor half of a surrogate pair, and refuses whatever else is in the
    same statement; a terminal takes control characters for orders.

    Args:
        text: What somebody else wrote.
        most: Characters of it that are kept.
    """
    return "".join(each if each.isprintable() else " " for each in text[:most])


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not hold control characters")
    return text.strip()


Line = Annotated[str, Field(max_length=200), AfterValidator(_one_line)]
"""What somebody calls something: kubectl and the console show it to others too."""
