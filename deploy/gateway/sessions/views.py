"""What tmux tells of a screen, as a picture."""

from collections.abc import Sequence
from typing import Final

from deploy.gateway.snapshot import HISTORY, Picture, Screen, self_contained

_FIELDS: Final = (
    "pane_width pane_height cursor_x cursor_y history_size alternate_on alternate_saved_x "
    "alternate_saved_y scroll_region_upper scroll_region_lower origin_flag cursor_flag wrap_flag "
    "insert_flag keypad_cursor_flag keypad_flag mouse_standard_flag mouse_button_flag "
    "mouse_all_flag mouse_utf8_flag mouse_sgr_flag bracket_paste_flag"
).split()
PANE: Final = "PANE"
CAPTURES: Final = (
    "display-message -p -t PANE '" + ",".join(f"#{{{name}}}" for name in _FIELDS) + "'",
    f"capture-pane -t PANE -e -p -S -{HISTORY}",
    "capture-pane -t PANE -a -q -e -p",
)
"""The commands that show the pane `PANE`, whose answers `read_picture` reads."""

# Whether a flag is set on an empty terminal, and the sequence for when it is otherwise.
_MODES: Final = (
    ("cursor_flag", 1, "\x1b[?25l"),
    ("wrap_flag", 1, "\x1b[?7l"),
    ("insert_flag", 0, "\x1b[4h"),
    ("keypad_cursor_flag", 0, "\x1b[?1h"),
    ("keypad_flag", 0, "\x1b="),
    ("mouse_standard_flag", 0, "\x1b[?1000h"),
    ("mouse_button_flag", 0, "\x1b[?1002h"),
    ("mouse_all_flag", 0, "\x1b[?1003h"),
    ("mouse_utf8_flag", 0, "\x1b[?1005h"),
    ("mouse_sgr_flag", 0, "\x1b[?1006h"),
)
_PASTES: Final = "\x1b[?2004h"


def read_picture(answers: Sequence[list[bytes]], *, pastes: bool) -> Picture:
    """Return the picture.

    Args:
        answers: The lines that answered each of `CAPTURES`.
        pastes: Whether the program wants to know what was pasted; tmux before 3.6 does not say.
    """
    told, shown, saved = ([line.decode(errors="replace") for line in each] for each in answers)
    values = told[0].split(",")
    is_set = {name: value for name, value in zip(_FIELDS, values, strict=True) if value}
    number = {name: int(value) for name, value in is_set.items()}
    rows, size = number["pane_height"], number["history_size"]
    lines = self_contained(shown)
    older = min(size, HISTORY, max(0, len(lines) - rows))
    behind = None
    if number.get("alternate_on"):
        cursor = (number.get("alternate_saved_x", 0), number.get("alternate_saved_y", 0))
        behind = Screen(_filled(self_contained(saved), rows), cursor)
    region = (number.get("scroll_region_upper", 0), number.get("scroll_region_lower", rows - 1))
    modes = [text for name, usual, text in _MODES if number.get(name, usual) != usual]
    if number.get("bracket_paste_flag", pastes):
        modes.append(_PASTES)
    return Picture(
        columns=number["pane_width"],
        rows=rows,
        history=lines[:older],
        screen=Screen(_filled(lines[older:], rows), (number["cursor_x"], number["cursor_y"])),
        behind=behind,
        region=None if region == (0, rows - 1) else region,
        origin=bool(number.get("origin_flag")),
        modes=modes,
    )


def _filled(lines: list[str], rows: int) -> list[str]:
    """Exactly so many lines: a screen that was just resized may have fewer."""
    return [*lines[:rows], *([""] * (rows - len(lines)))]


class PasteMode:
    """Whether a program wants pastes bracketed, read from its output.

    Attributes:
        on: Whether it does.
    """

    _ON: Final = b"\x1b[?2004h"
    _OFF: Final = b"\x1b[?2004l"

    def __init__(self) -> None:
        self.on = False
        self._tail = b""

    def feed(self, output: bytes) -> None:
        """Take output."""
        text = self._tail + output
        on, off = text.rfind(self._ON), text.rfind(self._OFF)
        if on != off:
            self.on = on > off
        self._tail = text[-len(self._ON) + 1 :]
