"""The lives that are swept, and how densely.

A module of further lives makes a table of its own, as `WORKSPACES`, and is added to `SWEPT`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from zlib import crc32

from tests.simulation.faults import Fault
from tests.simulation.scenarios import SCENARIOS, Scenario, delete_early, sign_up

T = TypeVar("T")


@dataclass(frozen=True)
class Swept:
    """A life and the points at which things go wrong in it.

    Attributes:
        life: What happens.
        begins_with: The life that it begins with, whose points are swept there and not here again.
        stride: Of so many points in a row one is struck; `--all-points` strikes each.
    """

    life: Scenario
    begins_with: str | None = None
    stride: int = 1


def sampled(points: Sequence[T], name: str, fault: Fault, stride: int) -> Sequence[T]:
    """Every n-th point, the same ones every time; one at least, where there are any.

    The first is drawn by the life's name and the fault, so that the faults between them strike
    at more points than one of them does.
    """
    stride = max(1, min(stride, len(points)))
    return points[crc32(f"{name} {fault.name}".encode()) % stride :: stride]


# Of the lives that begin with another one, whose every point is struck.
STRIDE = 4
WORKSPACES: dict[str, Swept] = {
    name: Swept(life) if life in (sign_up, delete_early) else Swept(life, sign_up.__name__, STRIDE)
    for name, life in SCENARIOS.items()
}

SWEPT: dict[str, Swept] = {**WORKSPACES}
