"""Dev environments: their lives, and one thing that goes wrong at their effects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from tests.simulation.conftest import ALL_POINTS, Tally
from tests.simulation.devenv_lives import DEVENVS
from tests.simulation.devenv_real_lives import REAL
from tests.simulation.devenv_troubles import TROUBLED
from tests.simulation.faults import AT_EFFECTS, Fault, Perturbation
from tests.simulation.sweep import calm, compare, live
from tests.simulation.swept import sampled
from tests.simulation.test_sweep import TWO_SIDED, replay

pytestmark = [
    # Each is dozens of lives of six machines on a real database.
    pytest.mark.slow,
    pytest.mark.timeout(3600),
]

Strike = list[Perturbation]
# Lives in which the two owners meet, and of which each second crash is a sample.
SHARED = ("devenv_bare", "devenv_stop_and_start", "devenv_move", "devenv_quarantined")
SAMPLED_OF = 80


@pytest.fixture
def every(request: pytest.FixtureRequest) -> bool:
    """Whether to strike at every point."""
    return bool(request.config.getoption(ALL_POINTS, default=False))


def grouped(names: Iterable[str]) -> list[object]:
    """Lives as parameters: those of one life in one process, which knows its calm run."""
    return [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in names]


def sweep(
    url: str, tally: Tally, scenario: str, strikes: Iterable[Strike], replicas: int = 1
) -> None:
    """Strike each in a run of its own, and tell all that broke, with what replays it."""
    life = DEVENVS[scenario].life
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


def points(url: str, scenario: str, faults: Sequence[Fault], replicas: int = 1) -> list[Strike]:
    """Every fault at every point of a life but those of the life that it begins with."""
    begins_with = DEVENVS[scenario].begins_with
    return [
        [Perturbation(fault, at)]
        for fault in faults
        for at in range(
            0 if begins_with is None else reach(url, begins_with, fault, replicas),
            reach(url, scenario, fault, replicas),
        )
    ]


def reach(url: str, scenario: str, fault: Fault, replicas: int) -> int:
    """How many points a run has at which a fault can strike."""
    outcome = calm(url, DEVENVS[scenario].life, replicas)
    return outcome.writes if fault is Fault.CRASH_RECORDED else len(outcome.effects)


def thinned(
    strikes: Sequence[Strike], scenario: str, stride: int, *, every: bool
) -> Sequence[Strike]:
    """A sample, the same every time; all of them where that is asked for."""
    return strikes if every else sampled(strikes, scenario, Fault.CRASH_AFTER, stride)


@pytest.mark.parametrize("scenario", grouped(DEVENVS))
def test_every_point(url: str, tally: Tally, scenario: str, every: bool) -> None:  # noqa: FBT001 - a fixture
    """Whatever happens at an effect, or after a record, the life goes on to the same end."""
    strikes = points(url, scenario, [*AT_EFFECTS, Fault.CRASH_RECORDED])
    sweep(url, tally, scenario, thinned(strikes, scenario, DEVENVS[scenario].stride, every=every))


@pytest.mark.parametrize("scenario", grouped(SHARED))
def test_two_replicas(url: str, tally: Tally, scenario: str) -> None:
    """Two replicas come to what one does."""
    tally.runs += 1
    life = DEVENVS[scenario].life

    compare(calm(url, life), live(url, life, replicas=2))


@pytest.mark.parametrize("scenario", grouped(SHARED))
def test_two_owners(url: str, tally: Tally, scenario: str, every: bool) -> None:  # noqa: FBT001 - a fixture
    """An owner who dies, or acts on while another one owns, does no harm at any effect."""
    strikes = points(url, scenario, TWO_SIDED, 2)
    sweep(url, tally, scenario, thinned(strikes, scenario, SAMPLED_OF, every=every), replicas=2)


@pytest.mark.parametrize("scenario", grouped(["devenv_move"]))
def test_crash_pairs(url: str, tally: Tally, scenario: str, every: bool) -> None:  # noqa: FBT001 - a fixture
    """A second crash during the recovery from the first changes nothing in the end."""
    kinds = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)
    strikes = [
        [first, Perturbation(kinds[n % 2], first.at + 1 + n % 3)]
        for n, (first,) in enumerate(points(url, scenario, kinds))
    ]
    sweep(url, tally, scenario, thinned(strikes, scenario, SAMPLED_OF, every=every))


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
