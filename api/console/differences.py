"""What differs between two or three versions of an object's JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING: Final = _Missing()
"""Stands for a field that is not there, which is not the same as null."""


class Change(NamedTuple):
    """One field of two versions.

    Attributes:
        path: Where it is, in dots.
        before: What was there; `MISSING` when nothing was.
        after: What is there.
    """

    path: str
    before: Any
    after: Any


class Dispute(NamedTuple):
    """One field that differs among three versions.

    Attributes:
        path: Where it is, in dots.
        base: What both began with.
        mine: What one made of it.
        theirs: What the other made of it.
    """

    path: str
    base: Any
    mine: Any
    theirs: Any

    @property
    def conflicting(self) -> bool:
        """Whether both changed it, and not to the same."""
        return self.mine != self.theirs and self.base not in (self.mine, self.theirs)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field that is not a map, with its path in dots; lists are fields."""
    if isinstance(value, Mapping) and (value or not path):
        for name, part in value.items():
            yield from leaves(part, f"{path}.{name}" if path else str(name))
    else:
        yield path, value


def changes(before: Any, after: Any) -> list[Change]:
    """The fields that differ, in the order of their paths."""
    old, new = dict(leaves(before or {})), dict(leaves(after or {}))
    pairs = [
        Change(path, old.get(path, MISSING), new.get(path, MISSING))
        for path in sorted(old.keys() | new.keys())
    ]
    return [pair for pair in pairs if pair.before != pair.after and not _both_empty(pair)]


def disputes(base: Any, mine: Any, theirs: Any) -> list[Dispute]:
    """The fields that are not the same in all three versions."""
    a, b, c = (dict(leaves(each)) for each in (base, mine, theirs))
    found = [
        Dispute(path, a.get(path, MISSING), b.get(path, MISSING), c.get(path, MISSING))
        for path in sorted(a.keys() | b.keys() | c.keys())
    ]
    return [each for each in found if not each.base == each.mine == each.theirs]


def merged(base: Any, mine: Any, theirs: Any) -> Any:
    """Both sides' changes; where both changed the same field, mine."""
    if mine == base:
        return theirs
    if theirs == base or not all(isinstance(each, Mapping) for each in (base, mine, theirs)):
        return mine
    fields = {
        name: merged(*(each.get(name, MISSING) for each in (base, mine, theirs)))
        for name in [*mine, *(name for name in theirs if name not in mine)]
    }
    return {name: value for name, value in fields.items() if value is not MISSING}


def _both_empty(pair: Change) -> bool:
    """An empty map and no map at all are the same to everybody."""
    return all(each is MISSING or each in ({}, []) for each in (pair.before, pair.after))
