"""How long to wait before the next connection."""

import random
from collections.abc import Callable
from typing import Final

FIRST_SECONDS: Final = 1.0
MOST_SECONDS: Final = 60.0
LONG_SECONDS: Final = 300.0
"""After a newer connection of the same gateway: two of them must not take turns every second."""
REFUSED_SECONDS: Final = 15.0
"""At least so long after a refused credential: it will hardly be taken a second later."""
STEADY_SECONDS: Final = 60.0
"""A connection that lasted so long was a good one."""


class Waits:
    """Growing waits, each by chance up to half shorter, so that gateways do not march in step.

    Args:
        chance: Returns a number from 0 to 1.
    """

    # Not secret, only spread.
    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._failed = 0

    def after_failure(self, lasted: float = 0.0) -> float:
        """Return the wait after a connection that broke, or did not come about, in seconds.

        Args:
            lasted: How long it was there, in seconds.
        """
        if lasted >= STEADY_SECONDS:
            self._failed = 0
        # The exponent is bounded, the float would not be.
        full = min(MOST_SECONDS, FIRST_SECONDS * 2 ** min(self._failed, 10))
        self._failed += 1
        return self._spread(full)

    def after_refusal(self) -> float:
        """Return the wait after a credential that was not taken."""
        return max(self._spread(REFUSED_SECONDS), self.after_failure())

    def after_replacement(self) -> float:
        """Return the wait after another one took this gateway's place."""
        self._failed += 1
        return self._spread(LONG_SECONDS)

    def _spread(self, full: float) -> float:
        return full * (1 - self._chance() / 2)
