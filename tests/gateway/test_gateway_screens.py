"""Snapshots: what a terminal shows, drawn again on an empty one."""

from itertools import pairwise
from typing import Any

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.gateway.pen import Pen
from deploy.gateway.protocol import MOST_SNAPSHOT, MOST_TEXT, encode, length
from deploy.gateway.sessions.control import MOST_LINE, ControlStream, unescaped
from deploy.gateway.sessions.emulator import Emulator
from deploy.gateway.sessions.views import PasteMode
from deploy.gateway.snapshot import Picture, Screen, draw, self_contained

tokens = [
    "\x1b[31m",
    "\x1b[1;44m",
    "\x1b[m",
    "\x1b[38;5;9m",
    "\x1b[48;2;1;2;3m",
    "\x1b[K",
    "\x1b[2J",
]
tokens += [
    "\x1b[5;3H",
    "\r\n",
    "\t",
    "\b",
    "abc",
    "é",
    "漢",
    " ",
    "\x1b[2;4r",
    "\x1b[r",
    "\x1b[L",
    "\x1b[M",
]
tokens += ["\x1b[?1049h", "\x1b[?1049l", "\x1b[?25l", "\x1b[?1h", "x" * 30, "\x1b[7m", "\x1bM"]
outputs = st.lists(st.sampled_from(tokens), max_size=40).map("".join)


def _cells(emulator: Emulator) -> list[Any]:
    """What a terminal shows, cell by cell, without what cannot be seen."""
    screen = emulator._screen
    blank = pyte.screens.Char(" ")
    return [
        [screen.buffer[row][column] for column in range(screen.columns)] or [blank]
        for row in range(screen.lines)
    ]


def _emulator(text: str) -> Emulator:
    emulator = Emulator(20, 6, lambda _: None)
    emulator.feed(text.encode())
    return emulator


@given(outputs)
def test_a_snapshot_draws_what_it_was_taken_of(output: str) -> None:
    """Each cell with its attributes, the history, the cursor and the modes; also once more."""
    first = _emulator(output)
    second = _emulator(draw(first.picture()))

    assert _cells(first) == _cells(second)
    one, other = first.picture(), second.picture()
    assert one.screen.cursor == other.screen.cursor
    assert (one.region, one.modes) == (other.region, other.modes)
    assert list(one.history) == list(other.history)
    assert one.behind == other.behind
    assert draw(one) == draw(other)


def test_what_scrolls_out_of_an_alternate_screen_is_no_history() -> None:
    """What was there before comes back, with the cursor where it was."""
    emulator = _emulator("one\r\ntwo\x1b[?1049h" + "full\r\n" * 20)
    inside = emulator.picture()
    emulator.feed(b"\x1b[?1049l")
    after = emulator.picture()

    assert ("full", []) == (inside.screen.lines[0], list(inside.history))
    assert inside.behind == after.screen
    assert (["one", "two"], (3, 1)) == (list(after.screen.lines[:2]), after.screen.cursor)


def test_a_program_s_questions_are_answered() -> None:
    """Where the cursor is, and what the terminal is; what is not understood harms nobody."""
    answers: list[bytes] = []
    emulator = Emulator(20, 6, answers.append)
    emulator.feed(b"ab\x1b[6n\x1b[c\x1b[?99999999999999999999z\x1b[>1;2;3;4m\xff\xfe after")

    assert [b"\x1b[1;3R", b"\x1b[?6c"] == answers
    assert "after" in emulator.picture().screen.lines[0]


lines = st.lists(st.text(st.sampled_from('a\x1b漢"\\é😀'), max_size=3000), max_size=20)


@given(lines, lines, st.integers(1, 400))
def test_a_snapshot_fits_into_a_message(history: list[str], screen: list[str], times: int) -> None:
    """However much is shown; what is left out is the oldest."""
    rows = [text * times for text in screen] or [""]
    picture = Picture(1000, len(rows), history * 50, Screen(rows, (0, 0)))
    text = draw(picture)

    assert length(text) <= MOST_SNAPSHOT
    assert length(encode({"data": text})) <= MOST_TEXT
    assert rows[-1] in text or len(rows[-1]) > MOST_SNAPSHOT // 8


def test_lines_become_independent_of_those_before_them() -> None:
    """No attribute goes over a line's end, where it would fill the next line."""
    found = self_contained(["\x1b[1m\x1b[41mred", "still", "\x1b[0mplain", "", "\x1b[32m"])

    assert [
        "\x1b[1m\x1b[41mred\x1b[0m",
        "\x1b[1;41mstill\x1b[0m",
        "\x1b[1;41m\x1b[0mplain\x1b[0m",
        "",
        "\x1b[32m\x1b[0m",
    ] == found


@pytest.mark.parametrize(
    ("sequences", "left"),
    [
        (["31", "32"], "\x1b[32m"),
        (["38;5;9", "48:2::1:2:3", "4"], "\x1b[38;5;9;48:2::1:2:3;4m"),
        (["38;2;1;2;3", "39"], ""),
        (["1;31;0;42"], "\x1b[42m"),
        (["1", ""], ""),
        (["91", "38;5;200", "101", "41"], "\x1b[38;5;200;41m"),
    ],
)
def test_a_pen_holds_the_last_of_each_kind(sequences: list[str], left: str) -> None:
    """So it does not grow with what was drawn."""
    pen = Pen()
    for each in sequences:
        pen.apply(each)

    assert left == pen.sequence()


@given(st.binary(max_size=200))
def test_output_is_what_tmux_escaped(output: bytes) -> None:
    r"""Control characters and backslashes are `\ooo`, everything else is as it is."""
    escaped = b"".join(
        b"\\%03o" % byte if byte < 32 or byte == 92 else bytes([byte]) for byte in output
    )

    assert output == unescaped(escaped)


@given(st.lists(st.integers(0, 200), max_size=8))
def test_control_mode_is_read_in_any_pieces(cuts: list[int]) -> None:
    """Output and answers in their order; others' answers are not ours, nor are lookalikes."""
    said: list[Any] = []
    stream = ControlStream(said.append)
    stream.expect(lambda done, lines: said.append(("one", done, lines)))
    stream.expect(lambda done, lines: said.append(("two", done, lines)))
    text = (
        b"%begin 5 1 0\n%end 5 1 0\n%session-changed $0 x\n%output %0 a\\012\n"
        b"%begin 6 2 1\n%end 6 9 1\n%output %0 no\n\n%end 6 2 1\n%output %0 b c\n"
        b"%begin 7 3 1\nwhy\n%error 7 3 1\n%exit\n"
    )
    edges = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    for begin, end in pairwise(edges):
        stream.feed(text[begin:end])

    first = ("one", True, [b"%end 6 9 1", b"%output %0 no", b""])
    assert [b"a\n", first, b"b c", ("two", False, [b"why"])] == said


def test_a_line_without_end_is_no_control_mode() -> None:
    """Memory is bounded."""
    stream = ControlStream(lambda _: None)
    with pytest.raises(ValueError, match="does not end"):
        stream.feed(b"x" * (MOST_LINE + 1))


@given(st.lists(st.sampled_from([b"x", b"\x1b[?2004h", b"\x1b[?2004l"])), st.integers(1, 9))
def test_bracketed_pastes_are_noticed_in_any_pieces(parts: list[bytes], size: int) -> None:
    """The last word of the program holds."""
    mode, text = PasteMode(), b"".join(parts)
    for begin in range(0, len(text), size):
        mode.feed(text[begin : begin + size])
    words = [part for part in parts if part != b"x"]

    assert (words[-1:] == [b"\x1b[?2004h"]) is mode.on
