"""Names and marks: ours are known as ours, and only ours."""

from __future__ import annotations

import re
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from controller.machine import names

uids = st.uuids()


@given(uid=uids, taken=st.integers(0, 99))
def test_an_app_tells_whose_it_is(uid: UUID, taken: int) -> None:
    """The uid can be read from the name, whichever name it became."""
    assert names.uid_of_app("prod", names.app_name("prod", uid, taken)) == uid


@given(uid=uids)
def test_another_installations_app_is_not_ours(uid: UUID) -> None:
    """Two installations in one organisation leave each other alone."""
    assert names.uid_of_app("prod", names.app_name("staging", uid)) is None


@given(uid=uids)
def test_a_volume_name_is_legal(uid: UUID) -> None:
    """Fly takes at most 30 of lowercase letters, digits and underscores."""
    name = names.volume_name(uid)

    assert re.fullmatch(r"[a-z0-9_]{1,30}", name)
    assert names.uid_of_volume(name) == uid


@given(text=st.text(max_size=40))
def test_any_other_name_is_nobodys(text: str) -> None:
    """What we did not name is not taken for ours, whatever it looks like."""
    assert names.uid_of_app("prod", text) is None
    found = names.uid_of_volume(text)
    assert found is None or names.volume_name(found) == text.lower()


@given(uid=uids)
def test_marks_need_the_installation(uid: UUID) -> None:
    """A machine's metadata counts only with our installation's mark."""
    marks = names.marks("prod", uid, "ns", "main")

    assert names.marked_uid("prod", marks) == uid
    assert names.marked_uid("staging", marks) is None
    assert names.marked_uid("prod", {**marks, names.UID_MARK: "rubbish"}) is None
