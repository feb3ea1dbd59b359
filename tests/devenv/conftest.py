"""Databases of dev environments."""

import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from controller.devenv import database
from deploy.local.services.cluster import Cluster
from tests.devenv.guests import KEYS, PASSWORD, Guest

NewGuest = Callable[[], Guest]


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """Not pytest's own directory, which is closed to the user PostgreSQL runs as."""
    path = Path(tempfile.mkdtemp(prefix="invoker-devenv-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster_template(place: Path) -> Path:
    """A cluster that is through its first start."""
    return Cluster.template(place / "template")


@pytest.fixture
def new_guest(place: Path, cluster_template: Path) -> Iterator[NewGuest]:
    """Starts machines with a database of their own."""
    with ExitStack() as stack:

        def start() -> Guest:
            data = Path(tempfile.mkdtemp(dir=place))
            stack.callback(shutil.rmtree, data, ignore_errors=True)
            cluster = Cluster(data, _free_port(), password=PASSWORD, template=cluster_template)
            stack.enter_context(cluster)
            return Guest(cluster)

        yield start


@pytest.fixture(scope="session")
def shared_guest(place: Path, cluster_template: Path) -> Iterator[Guest]:
    """One machine for the tests that leave nothing behind but in the schemas they make anew."""
    data = Path(tempfile.mkdtemp(dir=place))
    with Cluster(data, _free_port(), template=cluster_template) as cluster:
        yield Guest(cluster)


@pytest.fixture
async def old(new_guest: NewGuest) -> Guest:
    """The machine in the old region."""
    guest = new_guest()
    await database.prepare(guest.psql, KEYS)
    return guest


@pytest.fixture
async def new(new_guest: NewGuest) -> Guest:
    """The machine in the new region, made prepared, with nothing in it."""
    guest = new_guest()
    await database.prepare(guest.psql, KEYS)
    return guest


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
