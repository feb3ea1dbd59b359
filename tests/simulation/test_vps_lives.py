"""VPSs: their lives, and one thing that goes wrong at their effects."""

from __future__ import annotations

import pytest

from tests.simulation.conftest import Tally
from tests.simulation.faults import AT_EFFECTS, Fault
from tests.simulation.strikes import Sweep, thinned
from tests.simulation.sweep import calm, compare, live
from tests.simulation.test_sweep import TWO_SIDED
from tests.simulation.vps_lives import VPSES
from tests.simulation.vps_monkeys import VPS_MONKEYS
from tests.simulation.vps_troubles import VPS_TROUBLES

pytestmark = [
    # Each is dozens of lives on a real database.
    pytest.mark.slow,
    pytest.mark.timeout(3600),
]

# Lives in which two owners meet, and of which each second crash is a sample.
SHARED = ("vps_used", "vps_power", "vps_deleted")
SAMPLED_OF = 40
GROUP = "vps"
# The lives whose points are sampled always; the others' only where every point is struck.
STRUCK_OFTEN = frozenset(
    {"vps_up", "vps_used", "vps_power", "vps_sessions", "vps_support", "vps_deleted_new"}
)
TROUBLES = VPS_MONKEYS | VPS_TROUBLES
# The troubles in which a user could lose the most.
OFTEN = frozenset(
    {
        "vps_droplet_destroyed",
        "vps_namesake",
        "vps_long_404s",
        "vps_twin",
        "vps_broken_and_suspended",
        "vps_account_deleted",
        "vps_let_go",
        "vps_metered",
    }
)


@pytest.mark.parametrize("scenario", thinned(VPSES, STRUCK_OFTEN, GROUP))
def test_every_point(url: str, tally: Tally, scenario: str, every: bool) -> None:  # noqa: FBT001 - a fixture
    """Whatever happens at an effect, or after a record, the life goes on to the same end."""
    sweep = Sweep(url, tally, VPSES, scenario, every=every)
    sweep.run(sweep.points([*AT_EFFECTS, Fault.CRASH_RECORDED]), VPSES[scenario].stride)


@pytest.mark.parametrize("scenario", thinned(SHARED, ["vps_used"], GROUP))
def test_two_replicas(url: str, tally: Tally, scenario: str) -> None:
    """Two replicas come to what one does."""
    tally.runs += 1
    life = VPSES[scenario].life

    compare(calm(url, life), live(url, life, replicas=2))


@pytest.mark.parametrize("scenario", thinned(SHARED, ["vps_used"], GROUP))
def test_two_owners(url: str, tally: Tally, scenario: str, every: bool) -> None:  # noqa: FBT001 - a fixture
    """An owner who dies, or acts on while another one owns, does no harm at any effect."""
    sweep = Sweep(url, tally, VPSES, scenario, every=every, replicas=2)
    sweep.run(sweep.points(TWO_SIDED), SAMPLED_OF)


@pytest.mark.parametrize("scenario", thinned(["vps_power", "vps_deleted"], ["vps_power"], GROUP))
def test_crash_pairs(url: str, tally: Tally, scenario: str, every: bool) -> None:  # noqa: FBT001 - a fixture
    """A second crash during the recovery from the first changes nothing in the end."""
    sweep = Sweep(url, tally, VPSES, scenario, every=every)
    sweep.run(sweep.pairs(), SAMPLED_OF)


@pytest.mark.parametrize("scenario", thinned(TROUBLES, OFTEN, GROUP))
def test_trouble(url: str, tally: Tally, scenario: str) -> None:
    """Lives with trouble of their own come to a good end, and leave nothing behind."""
    tally.runs += 1

    outcome = live(url, TROUBLES[scenario])

    assert outcome.effects
