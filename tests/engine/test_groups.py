"""Tests of one group run in one process, however many there are."""

import pytest

pytestmark = pytest.mark.xdist_group("together")


def test_the_scheduler_hears_of_groups(request: pytest.FixtureRequest) -> None:
    """A group is a part of the name that pytest-xdist goes by, whatever pytest makes of names.

    Otherwise each process would start a stack of its own, and nothing would say so.
    """
    at_once = getattr(request.config.option, "loadgroup", False)

    assert at_once == request.node.nodeid.endswith("@together")


def test_the_longest_group_begins_first(request: pytest.FixtureRequest) -> None:
    """Where tests run at once, no process is left alone with the group that takes longest."""
    names = [item.nodeid for item in request.session.items]
    longest = [place for place, name in enumerate(names) if name.endswith("@e2e")]

    assert list(range(len(longest))) == longest
