"""Peers that run jobs, in a virtual environment of their own: they are no dependency of ours."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.harness import Spent
from tests.bench.stage import STATE, Stage

FOLDER: Final = STATE / "bench-peers"
PEERS: Final = Path(__file__).parent / "peers"
PACKAGES: Final = ("pgqueuer==1.6.0", "procrastinate==3.10.0", "asyncpg", "psycopg[binary,pool]")
INSTALL_SECONDS: Final = 60.0
RUN_SECONDS: Final = 60.0


class Peer(NamedTuple):
    """A peer and how it is run.

    Attributes:
        name: For people.
        script: Which of `peers/`.
        jobs: How many in a whole run.
        at_once: Its batch, or how many jobs it has in hand.
    """

    name: str
    script: str
    jobs: int
    at_once: int


PGQUEUER: Final = Peer("pgqueuer 1.6, batch 100", "pgqueuer_jobs.py", 5000, 100)
PROCRASTINATE: Final = Peer("procrastinate 3.10", "procrastinate_jobs.py", 600, 32)
LOCKED: Final = Peer("bare SKIP LOCKED jobs, batch 100", "locked_jobs.py", 50_000, 100)


def available(*, install: bool) -> bool:
    """Whether the peers can be run, after installing them if that is asked for."""
    if (FOLDER / "installed").exists():
        return True
    if not install:
        return False
    try:
        venv.create(FOLDER, clear=True, with_pip=True)
        subprocess.run(  # noqa: S603 - our own arguments
            [FOLDER / "bin" / "pip", "install", "--quiet", *PACKAGES],
            check=True,
            capture_output=True,
            timeout=INSTALL_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    (FOLDER / "installed").touch()
    return True


def rate(stage: Stage, peer: Peer) -> float:
    """The jobs a second that a peer runs, each of them empty."""
    return stage.size(peer.jobs, 100) / run(stage, peer).wall


def run(stage: Stage, peer: Peer) -> Spent:
    """Run a peer once on a database of its own."""
    python = sys.executable if peer is LOCKED else str(FOLDER / "bin" / "python")
    with stage.database() as url:
        done = subprocess.run(  # noqa: S603 - our own arguments
            [python, PEERS / peer.script, url, str(stage.size(peer.jobs, 100)), str(peer.at_once)],
            check=True,
            capture_output=True,
            timeout=RUN_SECONDS,
        )
    return Spent(**json.loads(done.stdout.splitlines()[-1]))
