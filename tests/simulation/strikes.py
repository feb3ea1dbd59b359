"""Where a table of lives is struck, and what becomes of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import pytest

from tests.simulation.conftest import RARE, Tally
from tests.simulation.faults import Fault, Perturbation
from tests.simulation.sweep import calm, compare, live
from tests.simulation.swept import Swept, sampled

Strike = list[Perturbation]
Table = Mapping[str, Swept]
CRASHES = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)


def replay(
    scenario: str, strike: Iterable[Perturbation] = (), *, seed: int = 0, replicas: int = 1
) -> str:
    """The command that runs it again."""
    words = " ".join(f"{p.fault.name} {p.at}" for p in strike)
    return f"python -m tests.simulation {scenario} {words} --seed {seed} --replicas {replicas}"


def thinned(names: Iterable[str], often: Collection[str], group: str = "") -> list[object]:
    """Lives as parameters: those that are not run often only where every point is struck.

    Args:
        names: The lives.
        often: Those of them that are always run.
        group: Those are run in one process, which then knows their calm runs; none if empty.
    """
    together = [pytest.mark.xdist_group(group)] if group else []
    rarely = getattr(pytest.mark, RARE)
    return [
        pytest.param(
            name, marks=together if name in often else [rarely, pytest.mark.xdist_group(name)]
        )
        for name in names
    ]


def grouped(names: Iterable[str]) -> list[object]:
    """Lives as parameters: those of one life in one process, which knows its calm run."""
    return [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in names]


class Sweep:
    """Strikes at a life of a table.

    Args:
        url: A database, which every run empties.
        tally: Where runs are counted.
        table: The lives.
        scenario: Which one.
        every: Whether to strike at every point, whatever is sampled.
        replicas: How many controllers run.
    """

    def __init__(
        self,
        url: str,
        tally: Tally,
        table: Table,
        scenario: str,
        *,
        every: bool,
        replicas: int = 1,
    ) -> None:
        self._url, self._tally, self._table, self._name = url, tally, table, scenario
        self._every, self._replicas = every, replicas

    def points(self, faults: Sequence[Fault]) -> list[Strike]:
        """Every fault at every point of the life but those of the one that it begins with."""
        begins_with = self._table[self._name].begins_with
        return [
            [Perturbation(fault, at)]
            for fault in faults
            for at in range(
                0 if begins_with is None else self._reach(begins_with, fault),
                self._reach(self._name, fault),
            )
        ]

    def pairs(self) -> list[Strike]:
        """A crash at every point, and a second one during the recovery from it."""
        return [
            [first, Perturbation(CRASHES[n % 2], first.at + 1 + n % 3)]
            for n, (first,) in enumerate(self.points(CRASHES))
        ]

    def run(self, strikes: Sequence[Strike], stride: int) -> None:
        """Strike each in a run of its own, or a sample, the same every time; tell all that broke.

        Raises:
            AssertionError: With what replays each that broke.
        """
        life = self._table[self._name].life
        expected = calm(self._url, life, self._replicas)
        broken = []
        if not self._every:
            strikes = sampled(strikes, self._name, Fault.CRASH_AFTER, stride)
        for strike in strikes:
            self._tally.runs += 1
            try:
                compare(expected, live(self._url, life, strike, replicas=self._replicas))
            except Exception as error:  # noqa: BLE001 - all of them are to be told
                self._tally.violations += 1
                command = replay(self._name, strike, replicas=self._replicas)
                broken.append(f"{command}\n{error}")
        assert not broken, f"{len(broken)} broke:\n" + "\n".join(broken)

    def _reach(self, scenario: str, fault: Fault) -> int:
        """How many points a run has at which a fault can strike."""
        outcome = calm(self._url, self._table[scenario].life, self._replicas)
        return outcome.writes if fault is Fault.CRASH_RECORDED else len(outcome.effects)
