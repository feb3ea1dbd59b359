"""Every life by its name."""

from __future__ import annotations

from tests.simulation.collection import COLLECTIONS
from tests.simulation.devenv_lives import DEVENVS
from tests.simulation.devenv_real_lives import REAL
from tests.simulation.devenv_troubles import TROUBLED
from tests.simulation.failures import FAILURES
from tests.simulation.losses import LOSSES
from tests.simulation.lost_causes import LOST_CAUSES
from tests.simulation.monkeys import MONKEYS
from tests.simulation.quarantines import QUARANTINES
from tests.simulation.scenarios import Scenario
from tests.simulation.swept import SWEPT
from tests.simulation.transitions import TRANSITIONS
from tests.simulation.vps_lives import VPSES
from tests.simulation.vps_monkeys import VPS_MONKEYS
from tests.simulation.vps_troubles import VPS_TROUBLES

LIVES: dict[str, Scenario] = (
    {name: swept.life for name, swept in SWEPT.items()}
    | MONKEYS
    | FAILURES
    | LOSSES
    | COLLECTIONS
    | QUARANTINES
    | LOST_CAUSES
    | TRANSITIONS
    | {name: swept.life for name, swept in DEVENVS.items()}
    | TROUBLED
    | REAL
    | {name: swept.life for name, swept in VPSES.items()}
    | VPS_MONKEYS
    | VPS_TROUBLES
)
