"""tmux's control mode: its commands, their answers and a pane's output on one line of text each.

All of it comes in one order, so an answer that shows the screen stands exactly between the output
that it shows and the output that it does not.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from deploy.gateway.sessions.terminal import ANSWER_SECONDS, TerminalError

MOST_LINE: Final = 16 * 1024 * 1024
"""Bytes of a line; a line of a screen, or a piece of output, is far smaller."""

_OURS: Final = b"1"  # the flag of answers to this client's own commands
_GUARD: Final = re.compile(rb"%(begin|end|error) ([0-9]+ [0-9]+) ([0-9]+)")

Reply = Callable[[bool, list[bytes]], None]
"""Called with whether the command was done, and the lines of its answer."""


class ControlStream:
    """Reads what a control client says.

    Args:
        output: Called with each piece of output.
    """

    def __init__(self, output: Callable[[bytes], None]) -> None:
        self._output = output
        self._replies: deque[Reply] = deque()
        self._rest = b""
        self._block: tuple[bytes, bytes, list[bytes]] | None = None

    def expect(self, reply: Reply) -> None:
        """Wait for another command's answer."""
        self._replies.append(reply)

    def feed(self, data: bytes) -> None:
        """Take what the client has said.

        Raises:
            ValueError: A line does not end.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._rest) > MOST_LINE:
            raise ValueError("a line of tmux's control mode does not end")

    def abandon(self) -> None:
        """Answer whoever waits: there will be no answer."""
        while self._replies:
            self._replies.popleft()(False, [])

    def _line(self, line: bytes) -> None:
        if self._block is not None:
            self._in_block(*self._block, line)
        elif line.startswith(b"%output "):
            _, _, escaped = line.split(b" ", 2)
            self._output(unescaped(escaped))
        elif guard := _GUARD.fullmatch(line):
            self._block = (guard[2], guard[3], [])

    def _in_block(self, number: bytes, flags: bytes, lines: list[bytes], line: bytes) -> None:
        guard = _GUARD.fullmatch(line) if line.startswith((b"%end ", b"%error ")) else None
        # What a pane shows may look like a guard; its number is hard to guess.
        if guard is None or guard[2] != number:
            lines.append(line)
            return
        self._block = None
        if flags == _OURS and self._replies:
            self._replies.popleft()(guard[1] == b"end", lines)


def unescaped(escaped: bytes) -> bytes:
    r"""Return output as it was: tmux writes control characters and backslashes as `\ooo`."""
    if b"\\" not in escaped:
        return escaped
    # The codec knows these escapes, and takes every other byte for itself.
    return escaped.decode("unicode_escape").encode("latin-1")


class Control:
    """One control client of one session.

    Args:
        process: The client, with pipes.
        output: Called with each piece of output.
        gone: Called once when the client has ended.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        output: Callable[[bytes], None],
        gone: Callable[[], None],
    ) -> None:
        self._process = process
        self._stream = ControlStream(output)
        self._gone = gone
        self._reader = asyncio.create_task(self._read())

    def order(self, *commands: str, reply: Reply | None = None) -> None:
        """Send commands at once, so that nothing comes between them.

        Args:
            commands: Each on a line of its own.
            reply: Called with each answer.
        """
        for _ in commands:
            self._stream.expect(reply or _ignore)
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write("".join(f"{each}\n" for each in commands).encode())

    async def ask(
        self, *commands: str, then: Callable[[Sequence[list[bytes]]], None] | None = None
    ) -> Sequence[list[bytes]]:
        """Send commands and return the lines of each answer.

        Args:
            commands: Each on a line of its own.
            then: Called with the same, in order with the output.

        Raises:
            TerminalError: tmux refuses one, or says nothing.
        """
        answered: asyncio.Future[Sequence[list[bytes]]] = asyncio.Future()
        answers: list[list[bytes]] = []

        def collect(done: bool, lines: list[bytes]) -> None:  # noqa: FBT001 - a Reply
            if answered.done():
                return
            if not done:
                answered.set_exception(TerminalError("tmux refused."))
                return
            answers.append(lines)
            if len(answers) < len(commands):
                return
            try:
                if then is not None:
                    then(answers)
            except (ValueError, LookupError) as error:
                answered.set_exception(error)
            else:
                answered.set_result(answers)

        self.order(*commands, reply=collect)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await answered
        except TimeoutError:
            raise TerminalError("tmux does not answer.") from None

    async def aclose(self) -> None:
        """End the client; the session goes on."""
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()
        self._stream.abandon()

    async def _read(self) -> None:
        stdout = self._process.stdout
        while stdout is not None and (data := await stdout.read(65_536)):
            self._stream.feed(data)
        self._stream.abandon()
        self._gone()


def _ignore(done: bool, lines: list[bytes]) -> None:  # noqa: FBT001 - a Reply
    """Ignore an answer."""
