"""Replay one run: `python -m tests.simulation SCENARIO [FAULT AT]... [--seed N] [--replicas N]`."""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext

from tests.simulation.devenv_mutants import DEVENV_MUTANTS
from tests.simulation.faults import Fault, Perturbation
from tests.simulation.lives import LIVES
from tests.simulation.mutants import MUTANTS
from tests.simulation.sweep import compare, live
from tests.simulation.vps_mutants import VPS_MUTANTS
from tests.support.postgres import Databases, serving

SEEDED = MUTANTS | DEVENV_MUTANTS | VPS_MUTANTS


def main() -> int:
    """Run it and print what came of it; a failure raises."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("scenario", choices=LIVES)
    parser.add_argument("strikes", nargs="*", metavar="FAULT AT", help=", ".join(Fault.__members__))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--mutant", choices=SEEDED, help="seed a known bug")
    wanted = parser.parse_args()
    pairs = zip(wanted.strikes[::2], wanted.strikes[1::2], strict=True)
    faults = [Perturbation(Fault[name], int(at)) for name, at in pairs]
    with serving() as server, Databases(server).fresh() as url:
        calm = live(url, LIVES[wanted.scenario], replicas=wanted.replicas)
        with SEEDED[wanted.mutant].seed() if wanted.mutant else nullcontext():
            outcome = live(
                url, LIVES[wanted.scenario], faults, seed=wanted.seed, replicas=wanted.replicas
            )
    for number, effect in enumerate(outcome.effects):
        sys.stdout.write(f"{number:3} {effect}\n")
    sys.stdout.write(f"{len(outcome.effects)} effects, {outcome.writes} row writes\n")
    compare(calm, outcome)
    return 0


if __name__ == "__main__":
    sys.exit(main())
