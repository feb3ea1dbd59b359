"""One API for the session, both kubectl, and somewhere for them to be at home."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubectl.binaries import VERSIONS, AbsentError, kubectl
from tests.kubectl.door import Door
from tests.kubectl.runner import Runner
from tests.support.postgres import Databases

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run at once, one worker has the API and everything on it."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("kubectl"))


@pytest.fixture(scope="session")
def door(databases: Databases) -> Iterator[Door]:
    """The API on a database, without a controller: nothing moves by itself."""
    with (
        databases.fresh() as url,
        tempfile.TemporaryDirectory(prefix="invoker-door-") as folder,
        Door(url, Path(folder)) as running,
    ):
        yield running


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """A version of kubectl."""
    version: str = request.param
    return version


@pytest.fixture
def program(version: str) -> Path:
    """The kubectl of that version."""
    try:
        return kubectl(version)
    except AbsentError as error:
        pytest.skip(str(error))


@pytest.fixture
def runner(program: Path, version: str, door: Door, tmp_path: Path) -> Runner:
    """That kubectl at the API."""
    return Runner(program, version, door.kubeconfig, tmp_path)
