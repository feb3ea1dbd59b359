"""One thing goes wrong at every effect of every life; afterwards everything holds all the same."""

from __future__ import annotations

import pytest

from tests.simulation.faults import AT_EFFECTS, Fault, Perturbation
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.sweep import Outcome, simulate

pytestmark = [
    # A sweep is hundreds of lives on a real database.
    pytest.mark.slow,
    pytest.mark.timeout(300),
]


BEGINNING = "sign_up"
NOTHING = Outcome((), 0, None)


def sweep(url: str, scenario: str, fault: Fault) -> None:
    """Strike every effect once, each in a run of its own, and tell all that broke.

    Every life but the first begins with the first, whose effects are struck there.
    """
    calm = simulate(url, scenario)
    known = simulate(url, BEGINNING) if scenario not in (BEGINNING, "delete_early") else NOTHING
    first, count = reach(known, fault), reach(calm, fault)
    broken = []
    for at in range(first, count):
        perturbation = Perturbation(fault, at)
        try:
            compare(calm, simulate(url, scenario, [perturbation]))
        except BaseException as error:  # noqa: BLE001 - all of them are to be told
            broken.append(f"{scenario}: {perturbation}\n{error}")
            if isinstance(error, KeyboardInterrupt):
                raise
    assert not broken, f"{len(broken)} of {count - first} broke:\n" + "\n".join(broken)


def reach(outcome: Outcome, fault: Fault) -> int:
    """How many points a run has at which this fault can strike."""
    return outcome.writes if fault is Fault.CRASH_RECORDED else len(outcome.effects)


def compare(calm: Outcome, struck: Outcome) -> None:
    """The masked final state is the fault-free run's."""
    assert struck.state == calm.state


@pytest.mark.parametrize("fault", AT_EFFECTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_effect(database_url: str, scenario: str, fault: Fault) -> None:
    """Whatever happens at an effect outside, the life goes on to the same end."""
    sweep(database_url, scenario, fault)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_record(database_url: str, scenario: str) -> None:
    """A crash right after any row write changes nothing in the end."""
    sweep(database_url, scenario, Fault.CRASH_RECORDED)
