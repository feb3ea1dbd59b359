"""What counts as an orphan, and when so many do that rows must have been lost."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from controller.orphans import Thing, too_many


def things(kind: str, number: int) -> list[Thing]:
    """So many things of a kind, of as many machines."""
    return [Thing(kind, "app", f"{kind}{n}", UUID(int=n)) for n in range(number)]  # type: ignore[arg-type]  # a kind by its name


@pytest.mark.parametrize("kind", ["app", "volume", "machine", "entry"])
def test_brake_covers_every_kind(kind: str) -> None:
    """More than five of a kind and more than a tenth of it are not leaks."""
    lost = too_many(things(kind, 6), things(kind, 59))

    assert [f"6 of 59 {kind}s"] == lost


@pytest.mark.parametrize(("orphans", "listed"), [(5, 5), (6, 60), (0, 0)])
def test_leaks_are_few(orphans: int, listed: int) -> None:
    """Five, or a tenth, may be leaks."""
    assert not too_many(things("app", orphans), things("app", listed))


def test_kinds_are_counted_apart() -> None:
    """Entries do not hide how many apps are lost."""
    lost = too_many(things("app", 6), things("app", 6) + things("entry", 500))

    assert lost == ["6 of 6 apps"]


@pytest.mark.parametrize(
    ("kind", "row", "expected"),
    [
        ("app", None, True),
        ("app", {"app": "another", "intent": None}, False),
        ("volume", None, False),
        ("volume", {"volume": "another", "intent": None}, True),
        ("volume", {"volume": "another", "intent": "volumes.create"}, False),
        ("volume", {"volume": None, "intent": None}, False),
        ("machine", {"machine": "it", "intent": None}, False),
    ],
)
def test_unwanted(kind: str, row: dict[str, str | None] | None, expected: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """A row that names another one judges; one that names none, or is changing, does not."""
    thing = Thing(kind, "app", "it", uuid4())  # type: ignore[arg-type]  # a kind by its name

    assert expected == thing.unwanted(row)
