"""A bench in a process of its own: it inherits no memory, and its death is an answer too."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Final

import structlog

from tests.bench.harness import Measurement, failed
from tests.bench.stage import Stage

# Far beyond what any bench takes; a bench that hangs is a failure, not a long evening.
PATIENCE_SECONDS: Final = 120.0


def apart(name: str, stage: Stage) -> list[Measurement]:
    """Run a bench in a process of its own, so that none inherits another's memory."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(name, stage, theirs))
    process.start()
    theirs.close()
    try:
        if not ours.poll(PATIENCE_SECONDS):
            return [failed(name, f"not done after {PATIENCE_SECONDS:g} s")]
        return list(ours.recv())
    except EOFError:
        return [failed(name, "its process died")]
    finally:
        process.kill()
        process.join()


def _run(name: str, stage: Stage, answer: Connection) -> None:
    # Logs of a bench would be measured with it.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        measured: list[Measurement] = import_module(f"tests.bench.{name}").measure(stage)
    except Exception as error:  # noqa: BLE001 - whatever it is, the table says so
        if os.environ.get("INVOKER_BENCH_TRACEBACK"):
            sys.excepthook(type(error), error, error.__traceback__)
        measured = [failed(name, f"{type(error).__name__}: {error}"[:300])]
    answer.send(measured)
    answer.close()
