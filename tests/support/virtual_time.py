"""The virtual clock of the product's own plans, for tests."""

from deploy.local.virtual_time import (
    START,
    DeadlockError,
    LimitError,
    VirtualTimeError,
    VirtualTimeLoop,
    clock,
    run,
    running_loop,
)

__all__ = [
    "START",
    "DeadlockError",
    "LimitError",
    "VirtualTimeError",
    "VirtualTimeLoop",
    "clock",
    "run",
    "running_loop",
]
