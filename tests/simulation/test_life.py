"""Lives without faults, on virtual time."""

from __future__ import annotations

import pytest

from tests.simulation.conftest import Tally
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.sweep import simulate


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_life(url: str, tally: Tally, scenario: str) -> None:
    """Without faults every life converges, rests, and leaves nothing behind."""
    tally.runs += 1

    outcome = simulate(url, scenario)

    assert outcome.effects
