"""What a terminal shows, as text that draws it on an empty one."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from deploy.gateway.pen import Pen
from deploy.gateway.protocol import MOST_SNAPSHOT, MOST_TEXT, encode, length

HISTORY: Final = 500
"""Lines above the screen that a snapshot shows."""

_ENVELOPE: Final = 1024  # characters of a snapshot's message beside its data, and to spare
_LINE_DRAWING: Final = "\x1b)0"  # what SO switches to, in the lines that tmux tells
_ALTERNATE: Final = "\x1b[?1049h\x1b[H"
_RESET: Final = "\x1b[0m"
_SGR: Final = re.compile(r"\x1b\[([0-9;:]*)m")


@dataclass(frozen=True, slots=True)
class Screen:
    """One of a terminal's screens.

    Attributes:
        lines: Its rows from the top; each draws itself, and leaves no attributes behind.
        cursor: Column and row, from 0.
    """

    lines: Sequence[str]
    cursor: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Picture:
    """What a terminal shows.

    Attributes:
        columns: Its width.
        rows: Its height.
        history: Lines that have left the main screen at the top, oldest first.
        screen: What it shows.
        behind: The main screen behind an alternate one; None: the main screen is shown.
        region: The scrolling region, first and last row, from 0; None: all rows.
        origin: Whether the cursor is addressed from the region's top.
        modes: Escape sequences that set whatever else differs from an empty terminal.
    """

    columns: int
    rows: int
    history: Sequence[str]
    screen: Screen
    behind: Screen | None = None
    region: tuple[int, int] | None = None
    origin: bool = False
    modes: Sequence[str] = ()


def draw(picture: Picture) -> str:
    """Return the text; what does not fit into a message is left out, the oldest first."""
    while True:
        text = _text(picture)
        if length(text) <= MOST_SNAPSHOT and length(encode({"": text})) <= MOST_TEXT - _ENVELOPE:
            return text
        picture = _less(picture)


def self_contained(lines: Iterable[str]) -> list[str]:
    """Return lines that go on with the attributes of those before them as lines that do not.

    An empty terminal would fill a line that it scrolls in with the background of the last one.
    """
    found, pen = [], Pen()
    for line in lines:
        begun = pen.sequence() + line
        for change in _SGR.finditer(line):
            pen.apply(change[1])
        found.append(begun + _RESET if "\x1b[" in begun else begun)
    return found


def _text(picture: Picture) -> str:
    main = picture.screen if picture.behind is None else picture.behind
    parts = [_LINE_DRAWING, "\r\n".join([*picture.history, *main.lines])]
    if picture.behind is not None:
        parts += [_at(main.cursor), _ALTERNATE, "\r\n".join(picture.screen.lines)]
    column, row = picture.screen.cursor
    if picture.region is not None:
        top, bottom = picture.region
        parts.append(f"\x1b[{top + 1};{bottom + 1}r")
        row -= top if picture.origin else 0
    if picture.origin:
        parts.append("\x1b[?6h")
    return "".join([*parts, *picture.modes, _at((column, row))])


def _at(cursor: tuple[int, int]) -> str:
    column, row = cursor
    return f"\x1b[{row + 1};{column + 1}H"


def _less(picture: Picture) -> Picture:
    if picture.history:
        return replace(picture, history=picture.history[len(picture.history) // 2 + 1 :])
    if picture.behind is not None and any(picture.behind.lines):
        empty = [""] * len(picture.behind.lines)
        return replace(picture, behind=replace(picture.behind, lines=empty))
    lines = picture.screen.lines
    first = next(index for index, line in enumerate(lines) if line)
    cut = first + (len(lines) - first) // 2 + 1
    rest = [*([""] * cut), *lines[cut:]]
    return replace(picture, screen=replace(picture.screen, lines=rest))
