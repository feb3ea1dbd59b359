"""The page for agents says what the door decides by."""

from api.operations import OPERATIONS
from tests.api.silo_page import PAGE, rewritten


def test_the_tables_are_current() -> None:
    """`python -m tests.api.silo_page` would change nothing."""
    page = PAGE.read_text(encoding="utf-8")

    assert rewritten(page) == page


def test_every_operation_is_on_the_page() -> None:
    """No operation on silos goes untold."""
    page = PAGE.read_text(encoding="utf-8")
    silos = [each for each in OPERATIONS if each.handler.__module__.startswith("api.silo.")]
    offered = [f"{each.method} {each.path}" for each in silos]

    assert 5 == len(offered)
    assert [] == [operation for operation in offered if operation not in page]
