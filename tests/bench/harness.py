"""What a bench hands back, and how it is timed, judged and shown."""

from __future__ import annotations

import asyncio
import math
import resource
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

from rich.console import Console
from rich.table import Table

BYTES_PER_PAGE: Final = resource.getpagesize()
TIMES: Final = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True)
class Reference:
    """The floor or peer of the same run, in the measurement's unit."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit that PERFORMANCE.md sets.

    Attributes:
        of: What is limited: the ratio to the reference, or the value itself.
        sense: Which side of the limit is good.
        limit: The limit itself.
    """

    of: Literal["ratio", "value"]
    sense: Literal["≤", "≥"]
    limit: float

    def __str__(self) -> str:
        """As people write it; a ratio carries the sign for times."""
        return f"{self.sense} {self.limit:g}{TIMES if self.of == 'ratio' else ''}"

    def met_by(self, number: float | None) -> bool:
        """Whether a number is on the good side; none at all is not."""
        if number is None or math.isnan(number):
            return False
        return number <= self.limit if self.sense == "≤" else number >= self.limit


def ratio_at_most(limit: float) -> Goal:
    """The ratio to the reference may be so large."""
    return Goal("ratio", "≤", limit)


def ratio_at_least(limit: float) -> Goal:
    """The ratio to the reference must be so large."""
    return Goal("ratio", "≥", limit)


def at_most(limit: float) -> Goal:
    """The value itself may be so large."""
    return Goal("value", "≤", limit)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure beside what it is judged by.

    Attributes:
        name: What was measured.
        value: In `unit`; None when the bench failed or was skipped.
        unit: Of the value and of the reference.
        reference: The floor or peer of the same run.
        goal: Where PERFORMANCE.md sets one.
        absent: Why there is no value: `failed: …` or `skipped: …`.
    """

    name: str
    value: float | None
    unit: str
    reference: Reference | None = None
    goal: Goal | None = None
    absent: str = ""

    @property
    def ratio(self) -> float | None:
        """The value in terms of the reference."""
        if self.value is None or self.reference is None or not self.reference.value:
            return None
        return self.value / self.reference.value

    @property
    def met(self) -> bool | None:
        """Whether the goal was met; None without a goal."""
        if self.goal is None:
            return None
        return self.goal.met_by(self.ratio if self.goal.of == "ratio" else self.value)

    @property
    def failed(self) -> bool:
        """Whether the bench broke; a goal that is missed is no failure."""
        return self.absent.startswith("failed")

    def to_json(self) -> dict[str, Any]:
        """The form that `.invoker/bench.json` has; a missing value's reason is its reference."""
        reference: dict[str, Any] | None = None
        if self.reference is not None:
            reference = {"name": self.reference.name, "value": rounded(self.reference.value)}
        elif self.absent:
            reference = {"name": self.absent, "value": None}
        return {
            "name": self.name,
            "value": rounded(self.value),
            "unit": self.unit,
            "reference": reference,
            "ratio": rounded(self.ratio),
            "goal": None if self.goal is None else str(self.goal),
            "met": False if self.failed else self.met,
        }


def failed(name: str, why: str) -> Measurement:
    """A bench that broke."""
    return Measurement(name, None, "", absent=f"failed: {why}")


def skipped(name: str, why: str) -> Measurement:
    """A bench that cannot run here."""
    return Measurement(name, None, "", absent=f"skipped: {why}")


@dataclass(frozen=True, slots=True)
class Spent:
    """What a piece of work took of this process, in seconds."""

    wall: float
    cpu: float


class Stopwatch:
    """Times the block it is around: the wall clock, and this process's CPU with all its threads."""

    def __enter__(self) -> Self:
        """Start."""
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.spent = Spent(time.perf_counter() - self._wall, time.process_time() - self._cpu)


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that so many per cent do not exceed (nearest rank).

    Raises:
        ValueError: There are no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("a percentile of nothing")
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def median(values: Iterable[float]) -> float:
    """The median."""
    return statistics.median(values)


async def in_turn(
    runs: int, ours: Callable[[], Awaitable[Spent]], theirs: Callable[[], Awaitable[Spent]]
) -> tuple[Spent, Spent]:
    """Medians of two pieces of work that take turns, so that a noisy neighbour hits both.

    One turn of each goes before that and is thrown away: caches and plans are cold in it.
    """
    pairs = [(await ours(), await theirs()) for _ in range(runs + 1)][1:]
    return middle(pair[0] for pair in pairs), middle(pair[1] for pair in pairs)


async def pooled(work: Callable[[int], Awaitable[object]], *, at_once: int, count: int) -> Spent:
    """Do a piece of work for each number, so many at once."""
    left = iter(range(count))

    async def each() -> None:
        for number in left:
            await work(number)

    with Stopwatch() as watch:
        await asyncio.gather(*(each() for _ in range(at_once)))
    return watch.spent


async def until(holds: Callable[[], bool], *, every: float = 0.005) -> None:
    """Return when something holds that nobody announces: counters of what is being measured."""
    while not holds():  # noqa: ASYNC110 - the measured thing must not pay for an announcement
        await asyncio.sleep(every)


def middle(spent: Iterable[Spent]) -> Spent:
    """The medians of several runs."""
    every = list(spent)
    return Spent(median(s.wall for s in every), median(s.cpu for s in every))


def resident_bytes() -> int:
    """The memory of this process that is in use now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * BYTES_PER_PAGE


def rounded(number: float | None, digits: int = 4) -> float | None:
    """A number to so many significant digits; more would be noise."""
    if number is None or number == 0 or not math.isfinite(number):
        return None if number is None or not math.isfinite(number) else 0.0
    return round(number, digits - 1 - math.floor(math.log10(abs(number))))


def show(measurements: Sequence[Measurement], console: Console) -> None:
    """Print the table."""
    table = Table(title="beside the floor or the peer of the same run", title_justify="left")
    for heading in ("what", "value", "unit", "reference", "its value", "ratio", "goal", "met"):
        numeric = heading in ("value", "its value", "ratio")
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for one in measurements:
        table.add_row(*_cells(one))
    console.print(table)


def _cells(one: Measurement) -> list[str]:
    reference = one.reference
    return [
        one.name,
        _text(one.value),
        one.unit,
        reference.name if reference else one.absent,
        _text(reference.value if reference else None),
        "" if one.ratio is None else f"{_text(one.ratio)}{TIMES}",
        str(one.goal or ""),
        {True: "yes", False: "NO", None: ""}[one.met],
    ]


def _text(number: float | None) -> str:
    short = rounded(number, 3)
    return "" if short is None else f"{short:,.10g}"
