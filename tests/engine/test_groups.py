"""Tests of one group run in one process, however many there are."""

import pytest

pytestmark = pytest.mark.xdist_group("together")


def test_the_scheduler_hears_of_groups(request: pytest.FixtureRequest) -> None:
    """A group is a part of the name that pytest-xdist goes by, whatever pytest makes of names.

    Otherwise each process would start a stack of its own, and nothing would say so.
    """
    at_once = getattr(request.config.option, "loadgroup", False)

    assert at_once == request.node.nodeid.endswith("@together")
