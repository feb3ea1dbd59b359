"""A terminal in memory, for sessions without tmux: pyte, with what it leaves out."""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import pyte
from pyte import graphics
from pyte.screens import Char, Cursor

from deploy.gateway.snapshot import HISTORY, Picture, Screen

_PRIVATE: Final = 5  # how pyte tells private modes from others: shifted by so many bits
_ALTERNATE: Final = frozenset(mode << _PRIVATE for mode in (47, 1047, 1049))
_ORIGIN: Final = 6 << _PRIVATE
_INSERT: Final = 4
# Modes that an empty terminal has not, and those that it has, with their sequences.
_SET: Final = {
    _INSERT: "\x1b[4h",
    **{mode << _PRIVATE: f"\x1b[?{mode}h" for mode in (1, 1000, 1002, 1003, 1005, 1006, 2004)},
}
_UNSET: Final = {mode << _PRIVATE: f"\x1b[?{mode}l" for mode in (7, 25)}
_ATTRIBUTES: Final = {
    "bold": "1",
    "italics": "3",
    "underscore": "4",
    "blink": "5",
    "reverse": "7",
    "strikethrough": "9",
}
_COLOURS: Final = {
    "3": {name: code for code, name in graphics.FG_ANSI.items() if name != "default"},
    "9": {name: code for code, name in graphics.FG_AIXTERM.items()},
}
_FOREGROUND: Final = {name: code for codes in _COLOURS.values() for name, code in codes.items()}
_TO_BACKGROUND: Final = 10
_RESET: Final = "\x1b[0m"

log = logging.getLogger(__name__)


class _Screen(pyte.Screen):  # type: ignore[misc, unused-ignore] # pyte's base is partly untyped
    """Keeps what scrolls out, and has an alternate screen."""

    def __init__(self, columns: int, rows: int, answer: Callable[[bytes], None]) -> None:
        self.older: deque[str] = deque(maxlen=HISTORY)
        self._behind: tuple[dict[int, Any], Cursor] | None = None
        self._answer = answer
        super().__init__(columns, rows)

    def reset(self) -> None:
        self._behind = None
        super().reset()

    def index(self) -> None:
        top, bottom = self.margins or (0, self.lines - 1)
        if self._behind is None and top == 0 and self.cursor.y == bottom:
            self.older.append(_line(self.buffer[0], self.columns))
        super().index()

    def set_mode(self, *modes: int, **kwargs: Any) -> None:
        super().set_mode(*modes, **kwargs)
        if kwargs.get("private") and self._behind is None and self._alternates(modes):
            self._behind = (dict(self.buffer), self.cursor)
            self.buffer.clear()
            self.cursor = Cursor(self.cursor.x, self.cursor.y, self.cursor.attrs)

    def reset_mode(self, *modes: int, **kwargs: Any) -> None:
        super().reset_mode(*modes, **kwargs)
        if kwargs.get("private") and self._behind is not None and self._alternates(modes):
            lines, self.cursor = self._behind
            self._behind = None
            self.buffer.clear()
            self.buffer.update(lines)
            self.ensure_hbounds()
            self.ensure_vbounds()

    @staticmethod
    def _alternates(modes: tuple[int, ...]) -> bool:
        return any(mode << _PRIVATE in _ALTERNATE for mode in modes)

    def write_process_input(self, data: str) -> None:
        self._answer(data.encode())

    def picture(self) -> Picture:
        shown = self._screen(self.buffer, self.cursor)
        region = None if self.margins is None else (self.margins.top, self.margins.bottom)
        modes = [text for mode, text in _SET.items() if mode in self.mode]
        modes += [text for mode, text in _UNSET.items() if mode not in self.mode]
        return Picture(
            columns=self.columns,
            rows=self.lines,
            history=list(self.older),
            screen=shown,
            behind=None if self._behind is None else self._screen(*self._behind),
            region=region,
            origin=_ORIGIN in self.mode,
            modes=modes,
        )

    def _screen(self, buffer: Mapping[int, Any], cursor: Cursor) -> Screen:
        lines = [_line(buffer.get(row, {}), self.columns) for row in range(self.lines)]
        # Behind the last column it waits for what comes.
        return Screen(lines, (min(cursor.x, self.columns - 1), min(cursor.y, self.lines - 1)))


class Emulator:
    """A terminal that is fed with output.

    Args:
        columns: Its width.
        rows: Its height.
        answer: Called with what the terminal answers to the program's questions.
    """

    def __init__(self, columns: int, rows: int, answer: Callable[[bytes], None]) -> None:
        self._screen = _Screen(columns, rows, answer)
        self._stream = pyte.ByteStream(self._screen)

    def feed(self, output: bytes) -> None:
        """Take output; what pyte cannot read is left out."""
        try:
            self._stream.feed(output)
        except Exception:
            log.debug("output that is not understood", exc_info=True)
            self._stream = pyte.ByteStream(self._screen)

    def skip(self) -> None:
        """Go on behind output that was left out."""
        self._stream = pyte.ByteStream(self._screen)
        self._screen.reset()

    def resize(self, columns: int, rows: int) -> None:
        """Change the size."""
        self._screen.resize(rows, columns)

    def picture(self) -> Picture:
        """Return what is shown."""
        return self._screen.picture()


def _line(cells: Mapping[int, Char], columns: int) -> str:
    """A row as text that leaves no attributes behind, without the blanks at its end."""
    text, before = [], ""
    blanks: list[str] = []
    for column in range(min(columns, max(cells, default=-1) + 1)):
        cell = cells.get(column)
        if cell is None:
            data, style = " ", ""
        else:
            data, style = cell.data, _style(cell)
        if style != before:
            blanks.append(f"{_RESET}{style}" if style else _RESET)
            before = style
        blanks.append(data)
        if style or data != " ":
            text += blanks
            blanks = []
    return "".join(text) + (_RESET if "\x1b[" in "".join(text) else "")


def _style(cell: Char) -> str:
    codes = [code for name, code in _ATTRIBUTES.items() if getattr(cell, name)]
    codes += _colour(cell.fg, "38", 0) + _colour(cell.bg, "48", _TO_BACKGROUND)
    return f"\x1b[{';'.join(codes)}m" if codes else ""


def _colour(name: str, extended: str, shift: int) -> list[str]:
    if name == "default":
        return []
    if name in _FOREGROUND:
        return [str(_FOREGROUND[name] + shift)]
    red, green, blue = bytes.fromhex(name)
    return [f"{extended};2;{red};{green};{blue}"]
