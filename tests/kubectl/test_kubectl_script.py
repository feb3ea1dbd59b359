"""What operators do with kubectl works, with an old and a new one."""

import pytest

from tests.kubectl.runner import Runner
from tests.kubectl.script import SCRIPT
from tests.kubectl.steps import Topic

pytestmark = pytest.mark.anyio

_ALONE = [topic for topic in SCRIPT if not topic.converges]


# A kubectl takes a tenth of a second of processor time to start.
@pytest.mark.slow
@pytest.mark.parametrize("topic", _ALONE, ids=lambda topic: topic.name)
async def test_every_command_does_what_it_does_on_a_cluster(runner: Runner, topic: Topic) -> None:
    """Each step's own guarantee, told where it fails."""
    reports = await runner.run(topic)

    assert "" == "\n\n".join(str(report) for report in reports if report.problems)
