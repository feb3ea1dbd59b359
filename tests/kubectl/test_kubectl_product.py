"""The same commands at the whole product, with the controllers at work."""

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.product import Product
from tests.kubectl.binaries import AbsentError, kubectl
from tests.kubectl.runner import Runner
from tests.kubectl.script import SCRIPT
from tests.kubectl.steps import Topic

# The embedded stack takes seconds to start, and a kubectl a tenth of one.
pytestmark = [pytest.mark.anyio, pytest.mark.e2e, pytest.mark.slow]

_TOGETHER = [topic for topic in SCRIPT if not topic.alone]


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    """The product on the embedded cloud; nothing of it is left in the end."""
    with tempfile.TemporaryDirectory(prefix="invoker-kubectl-") as directory:
        product = Product(Path(directory) / "state", Path(directory) / "log")
        with product:
            yield product
            left = product.stop(signal.SIGINT)
        assert [] == left, "processes are left behind"


@pytest.fixture
def runner(product: Product, tmp_path: Path) -> Runner:
    """The newer kubectl at the product."""
    try:
        program = kubectl("1.37")
    except AbsentError as error:
        pytest.skip(str(error))
    return Runner(program, "1.37", product.state / "kubeconfig", tmp_path)


@pytest.mark.parametrize("topic", _TOGETHER, ids=lambda topic: topic.name)
async def test_every_command_works_beside_the_controllers(runner: Runner, topic: Topic) -> None:
    """What nobody else writes to is as with the API alone; what is wished for converges."""
    reports = await runner.run(topic)

    assert "" == "\n\n".join(str(report) for report in reports if report.problems)
