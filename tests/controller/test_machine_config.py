"""The Fly config: what counts as drift and what does not."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controller.machine.config import covers

scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(document=documents)
def test_a_config_covers_itself(document: Any) -> None:
    """What was written and read back unchanged is no drift."""
    assert covers(document, document)


@given(document=st.dictionaries(st.text(max_size=4), scalars, max_size=3), value=scalars)
def test_fields_of_the_provider_are_no_drift(document: dict[str, Any], value: Any) -> None:
    """The provider fills in fields of its own."""
    assert covers({**document, "of the provider": value}, document)


def test_a_changed_added_or_missing_variable_is_drift() -> None:
    """The environment is exactly ours."""
    desired = {"env": {"A": "1"}}

    assert not covers({"env": {"A": "2"}}, desired)
    assert not covers({"env": {"A": "1", "B": "2"}}, desired)
    assert not covers({"env": {}}, desired)


def test_another_number_of_services_is_drift() -> None:
    """Lists are exactly ours."""
    assert not covers({"services": [{"a": 1}, {"b": 2}]}, {"services": [{"a": 1}]})


def test_absent_is_false() -> None:
    """The provider leaves out what is false."""
    assert covers({}, {"auto_destroy": False})
    assert not covers({"auto_destroy": True}, {"auto_destroy": False})
