"""Doorbells that fail: news of a change gets lost, comes twice, or comes late and out of order."""

from __future__ import annotations

import random

from crds.store import LocalDoorbell
from tests.support.virtual_time import running_loop

LATE_SECONDS = 30.0


class Silent(LocalDoorbell):
    """Every ring is lost; whoever waits finds out by polling."""

    def ring(self) -> None:
        """Do nothing."""


class Forgetful(LocalDoorbell):
    """Every other ring is lost, at random."""

    def __init__(self) -> None:
        super().__init__()
        self._rng = random.Random(1)  # noqa: S311 - an order to repeat, not a secret

    def ring(self) -> None:
        """Wake everybody, or nobody."""
        if self._rng.random() < 0.5:
            super().ring()


class Double(LocalDoorbell):
    """Every ring comes twice."""

    def ring(self) -> None:
        """Wake everybody, and once more at the loop's next turn."""
        super().ring()
        running_loop().call_soon(super().ring)


class Late(LocalDoorbell):
    """Every ring comes some time later, overtaking others."""

    def __init__(self) -> None:
        super().__init__()
        self._rng = random.Random(2)  # noqa: S311 - the same

    def ring(self) -> None:
        """Wake everybody later."""
        running_loop().call_later(self._rng.uniform(0.0, LATE_SECONDS), super().ring)


DOORBELLS: dict[str, type[LocalDoorbell]] = {
    each.__name__: each for each in (Silent, Forgetful, Double, Late)
}
