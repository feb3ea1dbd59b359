"""One thing goes wrong at every effect of every life; afterwards everything holds all the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from tests.simulation.conftest import Tally
from tests.simulation.doorbells import DOORBELLS
from tests.simulation.faults import AT_EFFECTS, Fault, Perturbation
from tests.simulation.strikes import replay
from tests.simulation.sweep import calm, compare, live
from tests.simulation.swept import SWEPT, WORKSPACES, sampled

pytestmark = [
    # A sweep is dozens of lives on a real database.
    pytest.mark.slow,
    pytest.mark.timeout(300),
]

BEGINNING = "sign_up"
PAIRS = 60
TWO_SIDED = [Fault.HANDED_OVER, Fault.CRASH_AFTER, Fault.CRASH_BEFORE]


def sweep(
    url: str, tally: Tally, scenario: str, strikes: Iterable[list[Perturbation]], replicas: int = 1
) -> None:
    """Strike each in a run of its own, and tell all that broke, with what replays it."""
    life = SWEPT[scenario].life
    expected = calm(url, life, replicas)
    broken = []
    for strike in strikes:
        tally.runs += 1
        try:
            compare(expected, live(url, life, strike, replicas=replicas))
        except Exception as error:  # noqa: BLE001 - all of them are to be told
            tally.violations += 1
            broken.append(f"{replay(scenario, strike, replicas=replicas)}\n{error}")
    assert not broken, f"{len(broken)} broke:\n" + "\n".join(broken)


@pytest.fixture
def points(url: str, every: bool) -> Points:  # noqa: FBT001 - a fixture
    """Where the faults strike."""
    return Points(url, every=every)


class Points:
    """Where a fault strikes in a life: at all points, or at those that its stride leaves.

    Args:
        url: The database in which the fault-free run is made.
        every: Whether to strike at all of them all the same.
    """

    def __init__(self, url: str, *, every: bool) -> None:
        self._url = url
        self._every = every

    def __call__(
        self, scenario: str, fault: Fault, replicas: int = 1
    ) -> Sequence[list[Perturbation]]:
        """One strike for each point, but for those of the life that it begins with."""
        swept = SWEPT[scenario]
        first = 0 if swept.begins_with is None else self.reach(swept.begins_with, fault, replicas)
        last = self.reach(scenario, fault, replicas)
        strikes = [[Perturbation(fault, at)] for at in range(first, last)]
        return strikes if self._every else sampled(strikes, scenario, fault, swept.stride)

    def reach(self, scenario: str, fault: Fault, replicas: int = 1) -> int:
        """How many points a run has at which this fault can strike."""
        outcome = calm(self._url, SWEPT[scenario].life, replicas)
        return outcome.writes if fault is Fault.CRASH_RECORDED else len(outcome.effects)


@pytest.mark.parametrize("fault", AT_EFFECTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("scenario", SWEPT)
def test_every_effect(url: str, tally: Tally, points: Points, scenario: str, fault: Fault) -> None:
    """Whatever happens at an effect outside, the life goes on to the same end."""
    sweep(url, tally, scenario, points(scenario, fault))


@pytest.mark.parametrize("scenario", SWEPT)
def test_every_record(url: str, tally: Tally, points: Points, scenario: str) -> None:
    """A crash right after any row write changes nothing in the end."""
    sweep(url, tally, scenario, points(scenario, Fault.CRASH_RECORDED))


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("scenario", SWEPT)
def test_two_replicas(url: str, tally: Tally, scenario: str, seed: int) -> None:
    """Two replicas in any order of steps come to what one does, and never make a second machine."""
    tally.runs += 1

    life = SWEPT[scenario].life
    assert calm(url, life).state == live(url, life, seed=seed, replicas=2).state, replay(
        scenario, seed=seed, replicas=2
    )


@pytest.mark.parametrize("doorbell", DOORBELLS)
@pytest.mark.parametrize("scenario", WORKSPACES)
def test_lost_news(url: str, tally: Tally, scenario: str, doorbell: str) -> None:
    """News that is lost, doubled or late changes nothing in the end, and no wish waits for ever."""
    tally.runs += 1
    life = WORKSPACES[scenario].life

    compare(calm(url, life), live(url, life, doorbell=DOORBELLS[doorbell]))


@pytest.mark.parametrize("fault", TWO_SIDED, ids=lambda fault: fault.name)
@pytest.mark.parametrize("scenario", [BEGINNING, "stop_and_start", "resize", "delete_early"])
def test_two_owners(url: str, tally: Tally, points: Points, scenario: str, fault: Fault) -> None:
    """An owner who dies, or acts on while another one owns, does no harm at any effect."""
    sweep(url, tally, scenario, points(scenario, fault, 2), replicas=2)


@pytest.mark.parametrize(
    "scenario", [BEGINNING, "stop_and_start", "resize", "move", "delete_early"]
)
def test_crash_pairs(url: str, tally: Tally, points: Points, scenario: str) -> None:
    """A second crash while the first is being recovered from changes nothing in the end."""
    sweep(url, tally, scenario, pairs(points, scenario, PAIRS // 5))


def pairs(points: Points, scenario: str, number: int) -> list[list[Perturbation]]:
    """So many crashes with a second one soon after, spread evenly over the life.

    The recovery's effects and writes are counted on, so the next ones are the recovery's.
    """
    chosen = []
    for n in range(number):
        first: Fault = (Fault.CRASH_BEFORE, Fault.CRASH_RECORDED, Fault.CRASH_AFTER)[n % 3]
        if n % 3 == 1:
            second, gap = first, 1 + n // 3 % 3
        else:
            second, gap = (Fault.CRASH_AFTER, Fault.CRASH_BEFORE)[n % 2], 1 + n // 3 % 2
        at = n * points.reach(scenario, first) // number
        chosen.append([Perturbation(first, at), Perturbation(second, at + gap)])
    return chosen
