"""Replay one run: `python -m tests.simulation SCENARIO [FAULT AT] [--seed N] [--replicas N]`."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.faults import Fault, Perturbation
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.sweep import simulate
from tests.support.postgres import Databases, serving


def main() -> int:
    """Run it and print what came of it; a failure raises."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("fault", nargs="?", choices=[fault.name for fault in Fault])
    parser.add_argument("at", nargs="?", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replicas", type=int, default=1)
    wanted = parser.parse_args()
    faults = [Perturbation(Fault[wanted.fault], wanted.at)] if wanted.fault else []
    with serving() as server, Databases(server).fresh() as url:
        outcome = simulate(
            url, wanted.scenario, faults, seed=wanted.seed, replicas=wanted.replicas
        )
    for effect in outcome.effects:
        sys.stdout.write(f"{effect}\n")
    sys.stdout.write(f"{len(outcome.effects)} effects, {outcome.writes} row writes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
