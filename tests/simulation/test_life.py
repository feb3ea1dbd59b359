"""Lives without faults, on virtual time."""

from __future__ import annotations

import pytest

from tests.simulation.scenarios import SCENARIOS
from tests.simulation.sweep import simulate


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_life(database_url: str, scenario: str) -> None:
    """Without faults every life converges, rests, and leaves nothing behind."""
    outcome = simulate(database_url, scenario)

    assert outcome.effects
