"""What a terminal is to the rest of the gateway, whatever keeps it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from deploy.gateway.snapshot import Picture

COLUMNS: Final = 80
ROWS: Final = 24
"""The size of a session that nobody has looked at yet."""
ANSWER_SECONDS: Final = 8.0
"""How long a terminal may take to answer; the hub waits for 10 s."""


class TerminalError(Exception):
    """A terminal does not do what it should; the text is fit for the other side."""


@dataclass(frozen=True, slots=True)
class Start:
    """What to run.

    Attributes:
        session: The session's uid.
        command: The program and its arguments.
        folder: Where it begins.
        environment: All of its environment.
        columns: The width.
        rows: The height.
    """

    session: str
    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    columns: int = COLUMNS
    rows: int = ROWS


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told.

    Attributes:
        output: Called with each piece of output.
        exited: Called once when the program has ended by itself, with its exit code; negative for
            a signal, None where it is not known.
        missed: Called when output was missed.
    """

    output: Callable[[bytes], None]
    exited: Callable[[int | None], None]
    missed: Callable[[], None]


class Terminal(Protocol):
    """A program in a terminal."""

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""

    def write(self, data: bytes) -> None:
        """Type.

        Raises:
            TerminalError: The program does not read, and what it has not read is too much.
        """

    def resize(self, columns: int, rows: int) -> None:
        """Change the size."""

    async def picture(self, then: Callable[[Picture], None]) -> None:
        """Call `then` with what is shown, in order with the output that the listener is told of.

        Raises:
            TerminalError: It cannot be known.
        """

    async def end(self) -> None:
        """End the program and everything in its session; the listener is not told."""

    async def leave(self) -> None:
        """Let go of it, because the gateway stops; what can go on goes on."""


class Multiplexer(Protocol):
    """What keeps terminals."""

    async def start(self, start: Start, listener: Listener) -> Terminal:
        """Run a program.

        Raises:
            TerminalError: It does not start.
        """

    async def survivors(self) -> set[str]:
        """Return the sessions that have outlived an earlier gateway."""

    async def adopt(self, session: str, listener: Listener) -> Terminal:
        """Take over one of those.

        Raises:
            TerminalError: It is there no longer.
        """

    async def discard(self, session: str) -> None:
        """End one of those, because nobody knows of it."""
