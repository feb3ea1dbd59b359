"""How often somebody may try to sign in, and how many streams there may be."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from crds.clock import Clock

# A token has 256 random bits: this is against load and against noise in the log.
FAILURES: Final = 10
WINDOW_SECONDS: Final = 300.0
ADDRESSES: Final = 1000
STREAMS: Final = 200
STREAMS_OF_ONE: Final = 20


class Attempts:
    """Failed sign-ins by address, within a window; the longest unheard of address is forgotten."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, address: str) -> int:
        """Seconds until an address may try again; 0: at once."""
        failures = self._failures.get(address)
        if failures is None:
            return 0
        now = Clock.monotonic()
        while failures and failures[0] <= now - WINDOW_SECONDS:
            failures.popleft()
        if len(failures) < FAILURES:
            return 0
        return int(failures[0] + WINDOW_SECONDS - now) + 1

    def failed(self, address: str) -> None:
        """Note a failure."""
        failures = self._failures.setdefault(address, deque(maxlen=FAILURES))
        failures.append(Clock.monotonic())
        self._failures.move_to_end(address)
        while len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forget an address's failures."""
        self._failures.pop(address, None)


class TooManyStreamsError(Exception):
    """There are as many streams as there may be."""


class Streams:
    """Counts streams, of everybody and of each session."""

    def __init__(self) -> None:
        self._of: dict[str, int] = {}

    def full(self, session: str) -> bool:
        """Whether there is no place for one more."""
        mine = self._of.get(session, 0)
        return mine >= STREAMS_OF_ONE or sum(self._of.values()) >= STREAMS

    @contextmanager
    def one_more(self, session: str) -> Iterator[None]:
        """Hold one place.

        Raises:
            TooManyStreamsError: There is none.
        """
        if self.full(session):
            raise TooManyStreamsError
        self._of[session] = self._of.get(session, 0) + 1
        try:
            yield
        finally:
            self._of[session] -= 1
            if not self._of[session]:
                del self._of[session]
