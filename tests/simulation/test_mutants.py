"""How strong the sweeps are: each of many seeded bugs has to be noticed."""

from __future__ import annotations

import pytest

from tests.simulation.conftest import MUTANT
from tests.simulation.devenv_mutants import DEVENV_MUTANTS
from tests.simulation.lives import LIVES
from tests.simulation.mutants import MUTANTS, Run
from tests.simulation.strikes import thinned
from tests.simulation.sweep import Outcome, calm, compare, live
from tests.simulation.vps_mutants import RARELY, VPS_MUTANTS

# A life with a bug often waits in vain until its time is over.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


SEEDED = MUTANTS | DEVENV_MUTANTS | VPS_MUTANTS


@pytest.mark.parametrize("mutant", thinned(SEEDED, SEEDED.keys() - RARELY))
def test_mutant(url: str, request: pytest.FixtureRequest, mutant: str) -> None:
    """A bug that is put in place is noticed by the lives that are there to notice it."""
    request.node.user_properties.append((MUTANT, mutant))
    runs = SEEDED[mutant].runs
    wells = [calm(url, LIVES[run.life], run.replicas) for run in runs]
    with SEEDED[mutant].seed():
        noticed = [notices(url, run, well) for run, well in zip(runs, wells, strict=True)]

    assert any(noticed), f"nobody notices that {SEEDED[mutant].what}"


def notices(url: str, run: Run, well: Outcome) -> bool:
    """Whether a life ends otherwise than it does without the bug."""
    try:
        compare(well, live(url, LIVES[run.life], run.strike, replicas=run.replicas))
    except AssertionError:
        return True
    return False
