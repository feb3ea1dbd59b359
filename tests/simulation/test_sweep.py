"""One thing goes wrong at every effect of every life; afterwards everything holds all the same."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import pytest

from tests.simulation.conftest import Tally
from tests.simulation.faults import AT_EFFECTS, Fault, Perturbation
from tests.simulation.scenarios import FROM_NOTHING, SCENARIOS
from tests.simulation.sweep import Outcome, compare, simulate

pytestmark = [
    # A sweep is dozens of lives on a real database.
    pytest.mark.slow,
    pytest.mark.timeout(300),
]

BEGINNING = "sign_up"
PAIRS = 60
# A wish passes at most ten watchers on its way, each of which polls once a minute.
LATEST_SECONDS = 600.0
TWO_SIDED = [Fault.HANDED_OVER, Fault.CRASH_AFTER, Fault.CRASH_BEFORE]


@cache
def calm(url: str, scenario: str, replicas: int = 1) -> Outcome:
    """The fault-free run, which is the same every time."""
    return simulate(url, scenario, replicas=replicas)


def sweep(
    url: str, tally: Tally, scenario: str, strikes: Iterable[list[Perturbation]], replicas: int = 1
) -> None:
    """Strike each in a run of its own, and tell all that broke, with what replays it."""
    expected = calm(url, scenario, replicas)
    broken = []
    for strike in strikes:
        tally.runs += 1
        try:
            compare(expected, simulate(url, scenario, strike, replicas=replicas))
        except Exception as error:  # noqa: BLE001 - all of them are to be told
            tally.violations += 1
            broken.append(f"{replay(scenario, strike, replicas=replicas)}\n{error}")
    assert not broken, f"{len(broken)} broke:\n" + "\n".join(broken)


def replay(
    scenario: str, strike: Iterable[Perturbation] = (), *, seed: int = 0, replicas: int = 1
) -> str:
    """The command that runs it again."""
    words = " ".join(f"{p.fault.name} {p.at}" for p in strike)
    return f"python -m tests.simulation {scenario} {words} --seed {seed} --replicas {replicas}"


def points(url: str, scenario: str, fault: Fault, replicas: int = 1) -> list[list[Perturbation]]:
    """Where a fault can strike: every life but the first begins with the first, struck there."""
    begun = scenario == BEGINNING or scenario in FROM_NOTHING
    first = 0 if begun else reach(calm(url, BEGINNING, replicas), fault)
    last = reach(calm(url, scenario, replicas), fault)
    return [[Perturbation(fault, at)] for at in range(first, last)]


def reach(outcome: Outcome, fault: Fault) -> int:
    """How many points a run has at which this fault can strike."""
    return outcome.writes if fault is Fault.CRASH_RECORDED else len(outcome.effects)


@pytest.mark.parametrize("fault", AT_EFFECTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_effect(url: str, tally: Tally, scenario: str, fault: Fault) -> None:
    """Whatever happens at an effect outside, the life goes on to the same end."""
    sweep(url, tally, scenario, points(url, scenario, fault))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_record(url: str, tally: Tally, scenario: str) -> None:
    """A crash right after any row write changes nothing in the end."""
    sweep(url, tally, scenario, points(url, scenario, Fault.CRASH_RECORDED))


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_two_replicas(url: str, tally: Tally, scenario: str, seed: int) -> None:
    """Two replicas in any order of steps come to what one does, and never make a second machine."""
    tally.runs += 1

    assert calm(url, scenario).state == simulate(url, scenario, seed=seed, replicas=2).state, (
        replay(scenario, seed=seed, replicas=2)
    )


@pytest.mark.parametrize("fault", TWO_SIDED, ids=lambda fault: fault.name)
@pytest.mark.parametrize("scenario", [BEGINNING, "stop_and_start", "resize", "delete_early"])
def test_two_owners(url: str, tally: Tally, scenario: str, fault: Fault) -> None:
    """An owner who dies, or acts on while another one owns, does no harm at any effect."""
    sweep(url, tally, scenario, points(url, scenario, fault, 2), replicas=2)


@pytest.mark.parametrize(
    "scenario", [BEGINNING, "stop_and_start", "resize", "move", "delete_early"]
)
def test_crash_pairs(url: str, tally: Tally, scenario: str) -> None:
    """A second crash while the first is being recovered from changes nothing in the end."""
    sweep(url, tally, scenario, pairs(url, scenario, PAIRS // 5))


def pairs(url: str, scenario: str, number: int) -> list[list[Perturbation]]:
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
        at = n * reach(calm(url, scenario), first) // number
        chosen.append([Perturbation(first, at), Perturbation(second, at + gap)])
    return chosen
