"""Which points of a sampled life are struck."""

from __future__ import annotations

from tests.simulation.faults import AT_EFFECTS, Fault
from tests.simulation.swept import WORKSPACES, sampled

POINTS = range(100)


def test_without_a_stride_every_point_is_struck() -> None:
    """A stride of one leaves nothing out; the lives that all others begin with have it."""
    struck = sampled(POINTS, "life", Fault.BROKEN, 1)

    assert list(POINTS) == list(struck)
    assert {1} == {swept.stride for swept in WORKSPACES.values() if swept.begins_with is None}


def test_the_same_points_each_time() -> None:
    """Every n-th point is struck, from one that only the life and the fault decide."""
    first, *others = sampled(POINTS, "life", Fault.CRASH_AFTER, 7)

    assert [first + 7 * n for n in range(1, len(others) + 1)] == others
    assert [first, *others] == list(sampled(POINTS, "life", Fault.CRASH_AFTER, 7))
    assert first < 7


def test_the_faults_share_the_points() -> None:
    """The faults begin at different points, so that more are struck than one fault strikes."""
    starts = {sampled(POINTS, "life", fault, 5)[0] for fault in AT_EFFECTS}

    assert len(starts) > 2


def test_short_lives_are_struck_once_at_least() -> None:
    """A stride longer than the life leaves one point of it; no points leave none."""
    assert 1 == len(sampled(range(3), "life", Fault.TOO_MANY, 50))
    assert 0 == len(sampled(range(0), "life", Fault.TOO_MANY, 50))
