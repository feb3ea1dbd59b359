"""At rest, behind our back: what its user sees, and that it recovers."""

from __future__ import annotations

import pytest

from tests.simulation.collection import COLLECTIONS
from tests.simulation.conftest import Tally
from tests.simulation.failures import FAILURES
from tests.simulation.losses import LOSSES
from tests.simulation.lost_causes import LOST_CAUSES
from tests.simulation.monkeys import MONKEYS
from tests.simulation.quarantines import QUARANTINES
from tests.simulation.sweep import live

# Hours of virtual time each.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.mark.parametrize("monkey", MONKEYS)
def test_monkey(url: str, tally: Tally, monkey: str) -> None:
    """Whatever somebody does to what is ours outside, it is told and made good."""
    tally.runs += 1

    assert live(url, MONKEYS[monkey]).effects


@pytest.mark.parametrize("failure", FAILURES)
def test_failure(url: str, tally: Tally, failure: str) -> None:
    """Whatever fails by itself is told, remedied by the product's rules, and destroys nothing."""
    tally.runs += 1

    assert live(url, FAILURES[failure]).effects


@pytest.mark.parametrize("loss", LOSSES)
def test_loss(url: str, tally: Tally, loss: str) -> None:
    """What cannot be found is given up late, told meanwhile, and never on one kind of evidence."""
    tally.runs += 1

    assert live(url, LOSSES[loss]).effects


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_collection(url: str, tally: Tally, collection: str) -> None:
    """The collector removes what this database let go of, and leaves what it does not know."""
    tally.runs += 1

    assert live(url, COLLECTIONS[collection]).effects


@pytest.mark.parametrize("quarantine", QUARANTINES)
def test_quarantine(url: str, tally: Tally, quarantine: str) -> None:
    """What must not run does not, whatever else is wrong."""
    tally.runs += 1

    assert live(url, QUARANTINES[quarantine]).effects


@pytest.mark.parametrize("cause", LOST_CAUSES)
def test_lost_cause(url: str, tally: Tally, cause: str) -> None:
    """What does not get better gets a stronger remedy, and an end that its user can undo."""
    tally.runs += 1

    assert live(url, LOST_CAUSES[cause]).effects
