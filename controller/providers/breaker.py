"""Stops asking a provider that is down, and notices when it is back (DESIGN.md, law 10)."""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import StrEnum

THRESHOLD = 5
WINDOW = 60.0
COOL_DOWN = 15.0
SUBJECTS = 2


class BreakerState(StrEnum):
    """Closed lets everything pass, open nothing, half-open one probe at a time."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """A circuit breaker on the running loop's time.

    It opens after `threshold` consecutive failures within `window` seconds that concern at
    least `subjects` different objects: a machine on a dead host hangs every action on it
    (PROVIDERS.md), which says nothing about the provider. After `cool_down` seconds one call
    may probe; its outcome closes or opens the breaker.

    Args:
        threshold: Failures in a row.
        window: Seconds within which they have to be.
        cool_down: Seconds between opening and the probe.
        subjects: Different objects that have to be concerned.
    """

    def __init__(
        self,
        *,
        threshold: int = THRESHOLD,
        window: float = WINDOW,
        cool_down: float = COOL_DOWN,
        subjects: int = SUBJECTS,
    ) -> None:
        self._threshold = threshold
        self._window = window
        self._cool_down = cool_down
        self._subjects = subjects
        self._failures: deque[tuple[float, str]] = deque(maxlen=max(threshold, 64))
        self._probing = False
        self._state = BreakerState.CLOSED
        self.since: float | None = None
        """The loop's time of the last change of state; None before the first."""
        self.listeners: list[Callable[[BreakerState, float], None]] = []
        """Called with the new state and the loop's time at each change."""

    @property
    def state(self) -> BreakerState:
        """The state now; half-open begins with the probe's admission."""
        return self._state

    def admit(self) -> bool:
        """Whether a call may pass; in half-open the one that is told yes is the probe."""
        if self._state is BreakerState.CLOSED:
            return True
        now = asyncio.get_running_loop().time()
        if self._state is BreakerState.OPEN and now >= (self.since or 0.0) + self._cool_down:
            self._become(BreakerState.HALF_OPEN)
        if self._state is BreakerState.OPEN or self._probing:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """The provider answered, were it with a refusal."""
        self._failures.clear()
        self._probing = False
        if self._state is BreakerState.HALF_OPEN:
            self._become(BreakerState.CLOSED)

    def failed(self, subject: str) -> None:
        """The provider did not answer, or broke, over an object."""
        now = asyncio.get_running_loop().time()
        self._failures.append((now, subject))
        self._probing = False
        if self._state is BreakerState.HALF_OPEN or (
            self._state is BreakerState.CLOSED and self._is_down(now)
        ):
            self._become(BreakerState.OPEN)

    def abandoned(self) -> None:
        """An admitted call ended without finding out: let another one probe."""
        self._probing = False

    def _is_down(self, now: float) -> bool:
        while self._failures and self._failures[0][0] < now - self._window:
            self._failures.popleft()
        enough = len(self._failures) >= self._threshold
        return enough and len({subject for _, subject in self._failures}) >= self._subjects

    def _become(self, state: BreakerState) -> None:
        self._state = state
        self.since = asyncio.get_running_loop().time()
        for listener in tuple(self.listeners):
            listener(state, self.since)
