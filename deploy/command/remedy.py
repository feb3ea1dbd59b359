"""One row of the table of reasons and remedies."""

from __future__ import annotations

import re
from typing import NamedTuple


class Remedy(NamedTuple):
    """One row of the table.

    Attributes:
        title: The reasons and conditions that it is about, in backticks.
        means: What has happened.
        remedy: What to do.
    """

    title: str
    means: str
    remedy: str

    @property
    def reasons(self) -> list[str]:
        """The reasons and conditions that it is about."""
        return re.findall(r"`(\w+)`", self.title)

    def row(self) -> str:
        """The row in Markdown."""
        return f"| {' | '.join(self)} |"
