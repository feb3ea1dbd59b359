"""The rules for subdomains, and the names that are proposed to people."""

import re
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crds.names import MAX_LENGTH, RESERVED, slug, subdomain_candidates, subdomain_problem


@pytest.mark.parametrize("name", ["abc", "a1b", "123", "a-b", "a-b-c", "a" * 20, "al-ice"])
def test_good(name: str) -> None:
    """Three to twenty lowercase letters, digits and inner hyphens are good."""
    assert subdomain_problem(name) is None


@pytest.mark.parametrize(
    "name",
    [
        *("", "ab", "a" * 21, "Abc", "a_b", "a.b", "a b", "-ab", "ab-", "äbc", "abc\n", "xn--abc"),
        *("٣٣٣", "\uff41\uff42\uff43", "abc\x00", "ab--c", "---"),
    ],
)
def test_bad(name: str) -> None:
    """Everything else is not."""
    assert subdomain_problem(name) is not None


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_reserved(name: str) -> None:
    """Reserved words are nobody's."""
    assert subdomain_problem(name) is not None


@given(st.text(max_size=30) | st.text(alphabet="abz019-", max_size=25))
def test_accepted_names_are_host_labels(name: str) -> None:
    """What is accepted is a label by RFC 1123 of 3 to 20 characters, in lowercase ASCII."""
    if subdomain_problem(name) is None:
        assert re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{1,18})[a-z0-9]", name)
        assert name not in RESERVED


@given(st.text())
def test_slug_is_plain(text: str) -> None:
    """A slug has lowercase ASCII letters and digits only, and slugging it again changes nothing."""
    assert re.fullmatch(r"[a-z0-9]*", slug(text))
    assert slug(slug(text)) == slug(text)


@given(st.text(), st.text(), st.text())
def test_candidates_are_good_and_without_end(first: str, last: str, email: str) -> None:
    """Whatever people are called, there are always more names for them, all good."""
    candidates = list(islice(subdomain_candidates(first, last, email), 300))

    assert len(candidates) == 300
    assert all(subdomain_problem(candidate) is None for candidate in candidates)


@given(st.text(), st.text(), st.text())
def test_candidates_are_steady(first: str, last: str, email: str) -> None:
    """The same person gets the same proposals: a repeated sign-up finds its own name again."""
    once, again = (list(islice(subdomain_candidates(first, last, email), 20)) for _ in range(2))

    assert once == again


@pytest.mark.parametrize(
    ("person", "expected"),
    [
        (("Alice", "Liddell", "al@example.com"), ["alice", "aliceliddell", "alice-liddell"]),
        (("René", "Şahin", "r@example.com"), ["rene", "renesahin", "rene-sahin"]),
        (("李", "", "wei.li@example.com"), ["weili"]),
        (("Admin", "", "admin@example.com"), ["admin2", "user2", "admin3"]),
        (("A" * 30, "", "x@example.com"), ["a" * MAX_LENGTH]),
    ],
)
def test_first_proposals(person: tuple[str, str, str], expected: list[str]) -> None:
    """The first name comes first, reserved words are numbered."""
    assert list(islice(subdomain_candidates(*person), len(expected))) == expected
