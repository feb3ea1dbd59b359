"""The wish itself: all transitions of all properties, back again, and what is not allowed."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from crds.workspace import WorkspaceSpec
from tests.simulation.conftest import Tally
from tests.simulation.sweep import live
from tests.simulation.transitions import ILLEGAL, TRANSITIONS


# A life with a dozen wishes, or a dozen minutes of waiting for harm.
@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("life", TRANSITIONS)
def test_transition(url: str, tally: Tally, life: str) -> None:
    """Every wish comes true from every other, and is undone by its opposite; or it is refused."""
    tally.runs += 1

    assert live(url, TRANSITIONS[life]).effects


@pytest.mark.parametrize("value", ILLEGAL, ids=str)
def test_illegal(value: dict[str, Any]) -> None:
    """An illegal value does not get through the types."""
    with pytest.raises(ValidationError):
        WorkspaceSpec.model_validate({"subdomain": "alice", **value})
