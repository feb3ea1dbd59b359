"""What the person in front of `make run` sees: prefixed lines, progress, the ready block."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.text import Text

_COLOURS: Final = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta")
_WIDTH: Final = 10
OURS: Final = "invoker"


class Output:
    """Writes every part's lines to one terminal or file.

    Args:
        console: Where to; plain when that is no terminal.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(soft_wrap=True, highlight=False)
        self._colours = itertools.cycle(_COLOURS)
        self._styles: dict[str, str] = {OURS: "bold"}

    def line(self, name: str, text: str) -> None:
        """Write one line of the part called ``name``."""
        if name not in self._styles:
            self._styles[name] = next(self._colours)
        prefix = Text(f"{name:<{_WIDTH}} | ", style=self._styles[name])
        self._console.print(prefix + Text.from_ansi(text))

    def say(self, text: str) -> None:
        """Write a line of our own."""
        self.line(OURS, text)

    def block(self, text: str) -> None:
        """Write a text that stands by itself."""
        self._console.print(Text(f"\n{text}\n"))

    @contextmanager
    def progress(self, text: str) -> Iterator[None]:
        """Show that something is under way; without a terminal this says so once."""
        if self._console.is_terminal:
            with self._console.status(text):
                yield
        else:
            self.say(text)
            yield
