"""How much of a session's output may be on its way."""

from collections import deque
from typing import Final
from uuid import UUID

from deploy.gateway.frames import MOST_OUTPUT

MOST: Final = 192 * 1024
"""Bytes that may be sent beyond the last ack (docs/protocols.md, "The gateway")."""
HELD: Final = 64 * 1024
"""Bytes that wait for an ack; what is more is left out, the oldest first."""
WINDOW: Final = MOST - HELD
"""Bytes that are sent beyond the last ack, as long as nothing has to go before something else."""


class Flow:
    """One session's output on its way to the hub.

    The program is never waited for: what finds no room is left out, and a larger sequence tells the
    hub, which then asks for a snapshot.
    The newest output is always held, so that there is something to tell it with.

    Args:
        session: Whose output it is.
        sequence: Its output before now, in bytes.

    Attributes:
        sequence: All output so far, in bytes.
    """

    def __init__(self, session: UUID, sequence: int = 0) -> None:
        self.session = session
        self.sequence = sequence
        self._held = bytearray()
        self._open = False
        # Of what was sent and not acknowledged: where each piece ends, and how much it counts.
        self._sent: deque[tuple[int, int]] = deque()
        self._outstanding = 0

    @property
    def outstanding(self) -> int:
        """Bytes that were sent and not acknowledged."""
        return self._outstanding

    @property
    def held(self) -> int:
        """Bytes that wait."""
        return len(self._held)

    def open(self) -> None:
        """Begin on a new connection, with what comes now."""
        self.snapshot()
        self._open = True

    def close(self) -> None:
        """Hold nothing: there is no connection, and the next one begins with a snapshot."""
        self.snapshot()
        self._open = False

    def feed(self, output: bytes) -> None:
        """Take what the session has put out."""
        self.sequence += len(output)
        if not self._open:
            return
        self._held += output
        if len(self._held) > HELD + max(0, self._room()):
            del self._held[: len(self._held) - HELD]

    def skip(self) -> None:
        """Note that output of unknown length was missed; the next sequence tells the hub."""
        self.feed(b"\0")
        self._held.clear()

    def take(self, *, all_: bool = False) -> tuple[int, bytes] | None:
        """Return what can be sent next, and its sequence; None: nothing now.

        Args:
            all_: Whether what waits for an ack goes too, because there is no later for it.
        """
        room = MOST - self._outstanding if all_ else self._room()
        size = min(len(self._held), MOST_OUTPUT, room)
        if size <= 0:
            return None
        sequence = self.sequence - len(self._held)
        output = bytes(self._held[:size])
        del self._held[:size]
        self._sent.append((sequence + size, size))
        self._outstanding += size
        return sequence, output

    def ack(self, sequence: int) -> None:
        """Note that everything before a sequence has been shown."""
        while self._sent:
            end, size = self._sent[0]
            left = min(size, end - sequence)
            if left > 0:
                self._sent[0] = (end, left)
                self._outstanding -= size - left
                return
            self._sent.popleft()
            self._outstanding -= size

    def snapshot(self) -> int:
        """Go on behind a snapshot that is taken now; return its sequence."""
        self._held.clear()
        self._sent.clear()
        self._outstanding = 0
        return self.sequence

    def _room(self) -> int:
        return WINDOW - self._outstanding
