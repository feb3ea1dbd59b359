"""`python -m tests.bench`: measure beside the floors and the peers, and write it down."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.bench.apart import apart
from tests.bench.harness import Measurement, show
from tests.bench.stage import STATE, Stage, staged

BENCHES: Final = (
    "events",
    "first_call",
    "reconciles",
    "at_rest",
    "cold_start",
    "store_writes",
    "provider",
    "queue_keys",
    "mass_event",
    "api",
    "edge",
    "hub",
)
QUICK_SCALE: Final = 0.05


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benches; returns 1 when one of them failed."""
    options = _parser().parse_args(arguments)
    chosen = options.only or BENCHES
    scale = QUICK_SCALE if options.quick else 1.0
    console = Console(width=None if sys.stdout.isatty() else 170)
    with staged(scale=scale, runs=1 if options.quick else 3) as stage:
        measured = [one for name in chosen for one in _timed(name, stage, console)]
    show(measured, console)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps([one.to_json() for one in measured], indent=1, ensure_ascii=False)
    options.output.write_text(text + "\n", encoding="utf-8")
    console.print(f"written to {options.output}")
    return int(any(one.failed for one in measured))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=BENCHES, help="this bench; repeatable")
    parser.add_argument("--quick", action="store_true", help="small sizes, one run: a smoke test")
    parser.add_argument("--output", type=Path, default=STATE / "bench.json")
    return parser


def _timed(name: str, stage: Stage, console: Console) -> list[Measurement]:
    started = time.monotonic()
    measured = apart(name, stage)
    console.print(f"{name}: {time.monotonic() - started:.1f} s", highlight=False)
    return measured


if __name__ == "__main__":
    sys.exit(main())
