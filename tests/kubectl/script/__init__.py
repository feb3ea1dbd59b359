"""The script: what operators do with kubectl, and what they may rely on when they do."""

from collections.abc import Sequence
from typing import Final

from tests.kubectl.script.accessing import ACCESSING
from tests.kubectl.script.applying import APPLYING, SERVER_SIDE
from tests.kubectl.script.converging import CONVERGING
from tests.kubectl.script.deleting import DELETING, WAITING
from tests.kubectl.script.describing import DESCRIBING, EXPLAINING
from tests.kubectl.script.developing import DEVELOPING
from tests.kubectl.script.discovering import DISCOVERING, PROXYING
from tests.kubectl.script.hosting import HOSTING
from tests.kubectl.script.reading import READING
from tests.kubectl.script.validating import VALIDATING
from tests.kubectl.script.watching import WATCHING
from tests.kubectl.script.writing import EDITING, PATCHING, WRITING
from tests.kubectl.steps import Topic

SCRIPT: Final[Sequence[Topic]] = (
    DISCOVERING,
    PROXYING,
    READING,
    WATCHING,
    WRITING,
    EDITING,
    PATCHING,
    APPLYING,
    SERVER_SIDE,
    VALIDATING,
    DESCRIBING,
    EXPLAINING,
    DELETING,
    WAITING,
    ACCESSING,
    DEVELOPING,
    HOSTING,
    CONVERGING,
)
