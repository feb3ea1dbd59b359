"""One product for the session, with people in it."""

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.person import Person
from tests.e2e.product import Product
from tests.e2e.silo import Silo

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here starts the whole stack; where tests run at once, one worker has it."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.xdist_group("e2e"))


@pytest.fixture(scope="session")
def product() -> Iterator[Product]:
    """The product on the embedded cloud; nothing of it is left in the end."""
    with tempfile.TemporaryDirectory(prefix="invoker-e2e-") as directory:
        product = Product(Path(directory) / "state", Path(directory) / "log")
        with product:
            yield product
            left = product.stop(signal.SIGINT)
        assert [] == left, "processes are left behind"


@pytest.fixture(scope="session")
def alice(product: Product) -> Person:
    """Somebody whose machine runs; no test changes that."""
    alice = Person(product, "Alice")
    alice.move_in()
    return alice


@pytest.fixture(scope="session")
def bob(product: Product) -> Person:
    """Somebody without a machine."""
    return Person(product, "Bob")


@pytest.fixture
def resident(product: Product) -> Person:
    """Somebody of this test's own, whose machine runs."""
    resident = Person(product, "Carol")
    resident.move_in()
    return resident


@pytest.fixture(scope="session")
def example(product: Product) -> Silo:
    """The dev environment of the example, whether it is there or not."""
    return Silo(product)


@pytest.fixture
def silo(example: Silo) -> Silo:
    """A dev environment that runs; it is there for all tests that ask for it."""
    example.bring_up()
    return example
