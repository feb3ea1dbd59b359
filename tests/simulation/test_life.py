"""Lives without faults, on virtual time."""

from __future__ import annotations

import pytest

from tests.simulation.conftest import Tally
from tests.simulation.sweep import calm
from tests.simulation.swept import SWEPT


@pytest.mark.parametrize("scenario", SWEPT)
def test_life(url: str, tally: Tally, scenario: str) -> None:
    """Without faults every life converges, rests, and leaves nothing behind."""
    tally.runs += 1

    outcome = calm(url, SWEPT[scenario].life)

    assert outcome.effects
