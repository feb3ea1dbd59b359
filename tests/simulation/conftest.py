"""One database a process for all runs, and a table of what they came to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest

from tests.support.postgres import Databases

TALLY, MUTANT = "tally", "mutant"
ALL_POINTS = "--all-points"
RARE = "rare"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the sweeps strike at every point, whatever stride a life has."""
    parser.addoption(ALL_POINTS, action="store_true", help="sweep every point of every life")


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known that `rare` puts on."""
    config.addinivalue_line("markers", f"{RARE}: only with {ALL_POINTS}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is rare, unless every point is struck."""
    if config.getoption(ALL_POINTS, default=False):
        return
    left_out = [item for item in items if item.get_closest_marker(RARE)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


class Tally:
    """Counts a test's runs and how many of them broke something.

    Args:
        counts: Where they are kept: a plain list, which reports carry between processes.
    """

    def __init__(self, counts: list[int]) -> None:
        self._counts = counts

    @property
    def runs(self) -> int:
        """How many runs were begun."""
        return self._counts[0]

    @runs.setter
    def runs(self, value: int) -> None:
        self._counts[0] = value

    @property
    def violations(self) -> int:
        """How many of them broke something."""
        return self._counts[1]

    @violations.setter
    def violations(self, value: int) -> None:
        self._counts[1] = value


@pytest.fixture(scope="session")
def url(databases: Databases) -> Iterator[str]:
    """A migrated database that every run empties before it begins."""
    with databases.fresh() as found:
        yield found


@pytest.fixture
def every(request: pytest.FixtureRequest) -> bool:
    """Whether to strike at every point."""
    return bool(request.config.getoption(ALL_POINTS, default=False))


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """What this test adds to the table."""
    counts = [0, 0]
    request.node.user_properties.append((TALLY, counts))
    return Tally(counts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was run, what broke, how long it took, and which seeded bugs were caught."""
    rows: defaultdict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0, 0.0])
    mutants: dict[str, bool] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            if report.when == "call":
                _add(rows, mutants, report)
    if not rows and not mutants:
        return
    terminalreporter.section("simulation")
    terminalreporter.write_line(
        f"{'sweep':26}{'life':30}{'runs':>6}{'violations':>12}{'seconds':>9}"
    )
    for (sweep, life), (runs, violations, seconds) in sorted(rows.items()):
        terminalreporter.write_line(
            f"{sweep:26}{life:30}{runs:6.0f}{violations:12.0f}{seconds:9.1f}"
        )
    runs, violations, seconds = (sum(row[place] for row in rows.values()) for place in range(3))
    terminalreporter.write_line(f"{'all':56}{runs:6.0f}{violations:12.0f}{seconds:9.1f}")
    if mutants:
        terminalreporter.write_line(f"mutants killed: {sum(mutants.values())}/{len(mutants)}")


def _add(
    rows: dict[tuple[str, str], list[float]],
    mutants: dict[str, bool],
    report: pytest.TestReport,
) -> None:
    """Count one test's report in."""
    properties = dict(report.user_properties)
    if MUTANT in properties:
        mutants[str(properties[MUTANT])] = report.passed
    if TALLY not in properties:
        return
    counts = properties[TALLY]
    assert isinstance(counts, list)
    name, _, parameters = report.nodeid.partition("@")[0].rpartition("::")[2].partition("[")
    row = rows[name.removeprefix("test_"), parameters.rstrip("]").split("-")[0]]
    row[0] += counts[0]
    row[1] += counts[1] or report.failed
    row[2] += report.duration
