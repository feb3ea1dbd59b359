"""Dev environments: their lives, and one thing that goes wrong at their effects."""

from __future__ import annotations

import pytest

from tests.simulation.conftest import Tally
from tests.simulation.devenv_lives import DEVENVS
from tests.simulation.devenv_real_lives import REAL
from tests.simulation.devenv_troubles import TROUBLED
from tests.simulation.faults import AT_EFFECTS, Fault
from tests.simulation.strikes import Sweep, grouped
from tests.simulation.sweep import calm, compare, live
from tests.simulation.test_sweep import TWO_SIDED

pytestmark = [
    # Each is dozens of lives of six machines on a real database.
    pytest.mark.slow,
    pytest.mark.timeout(3600),
]

# Lives in which the two owners meet, and of which each second crash is a sample.
SHARED = ("devenv_bare", "devenv_stop_and_start", "devenv_move", "devenv_quarantined")
SAMPLED_OF = 80


@pytest.mark.parametrize("scenario", grouped(DEVENVS))
def test_every_point(url: str, tally: Tally, scenario: str, every: bool) -> None:  # noqa: FBT001 - a fixture
    """Whatever happens at an effect, or after a record, the life goes on to the same end."""
    sweep = Sweep(url, tally, DEVENVS, scenario, every=every)
    sweep.run(sweep.points([*AT_EFFECTS, Fault.CRASH_RECORDED]), DEVENVS[scenario].stride)


@pytest.mark.parametrize("scenario", grouped(SHARED))
def test_two_replicas(url: str, tally: Tally, scenario: str) -> None:
    """Two replicas come to what one does."""
    tally.runs += 1
    life = DEVENVS[scenario].life

    compare(calm(url, life), live(url, life, replicas=2))


@pytest.mark.parametrize("scenario", grouped(SHARED))
def test_two_owners(url: str, tally: Tally, scenario: str, every: bool) -> None:  # noqa: FBT001 - a fixture
    """An owner who dies, or acts on while another one owns, does no harm at any effect."""
    sweep = Sweep(url, tally, DEVENVS, scenario, every=every, replicas=2)
    sweep.run(sweep.points(TWO_SIDED), SAMPLED_OF)


@pytest.mark.parametrize("scenario", grouped(["devenv_move"]))
def test_crash_pairs(url: str, tally: Tally, scenario: str, every: bool) -> None:  # noqa: FBT001 - a fixture
    """A second crash during the recovery from the first changes nothing in the end."""
    sweep = Sweep(url, tally, DEVENVS, scenario, every=every)
    sweep.run(sweep.pairs(), SAMPLED_OF)


@pytest.mark.parametrize("scenario", TROUBLED)
def test_trouble(url: str, tally: Tally, scenario: str) -> None:
    """Lives with trouble of their own come to a good end, and leave nothing behind."""
    tally.runs += 1

    outcome = live(url, TROUBLED[scenario])

    assert outcome.effects


@pytest.mark.parametrize("scenario", REAL)
def test_real_database(url: str, tally: Tally, scenario: str) -> None:
    """What is said of rows, roles and policies holds of a real PostgreSQL."""
    tally.runs += 1

    outcome = live(url, REAL[scenario])

    assert outcome.effects
