"""Processes of the product are killed, the whole of it is stopped and started again."""

import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.patience import eventually
from tests.e2e.person import Person
from tests.e2e.product import PARTS, Product

pytestmark = pytest.mark.slow

REPAIR_SECONDS = 60


@pytest.mark.timeout(180)
@pytest.mark.parametrize("part", PARTS)
def test_killed_part_is_repaired(product: Product, resident: Person, part: str) -> None:
    """After kill -9 of any part the page answers again, nothing is lost, and wishes come true.

    Slow: parts and machines start anew, and the leases of a killed controller have to run out.
    """
    resident.keep("written before")
    product.kill(part)
    resident.until_answered(within=REPAIR_SECONDS)
    resident.subdomain = _rename(resident)
    resident.until_answered(within=REPAIR_SECONDS)

    assert "written before" == resident.notes()


@pytest.fixture
def another() -> Iterator[Product]:
    """A product of this test's own."""
    with tempfile.TemporaryDirectory(prefix="invoker-e2e-") as directory:
        product = Product(Path(directory) / "state", Path(directory) / "log")
        with product:
            yield product


@pytest.mark.timeout(180)
def test_interrupt_and_second_start(another: Product) -> None:
    """Ctrl-C leaves no process behind, and a second start has everything that there was.

    Slow: the product starts twice.
    """
    person = Person(another, "Emil")
    person.move_in()
    person.keep("from the first run")
    uid = person.row("machines")["uid"]
    left = another.stop(signal.SIGINT)
    another.start()
    person.until_answered()

    assert [] == left
    assert "from the first run" == person.notes()
    assert uid == person.row("machines")["uid"]


@pytest.mark.timeout(120)
def test_killed_outright(another: Product) -> None:
    """When the foreground process itself is killed, everything goes with it.

    Slow: the product starts twice.
    """
    person = Person(another, "Emil")
    person.move_in()
    person.keep("from the first run")
    another.kill_all()
    another.start()
    person.until_answered()

    assert "from the first run" == person.notes()


def _rename(person: Person) -> str:
    name = f"new-{uuid.uuid4().hex[:8]}"

    def ask() -> str | None:
        told = person.wish("rename", subdomain=name)["subdomain"]
        return name if told == name else None

    return eventually(ask, within=REPAIR_SECONDS)
