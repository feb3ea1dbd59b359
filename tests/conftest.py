"""Fixtures that every part's tests share."""

import gc
import logging
import signal
from collections.abc import Iterator

import pytest
import structlog

from deploy.local.postgres import EmbeddedPostgres
from tests.support.postgres import Databases, serving

# So many objects more than at the last look, and the collector looks again; Python's own is 700.
GARBAGE = 10_000
# The longest of all groups, and most of it is waiting: begun last, it would be waited for alone.
FIRST = "@e2e"


def pytest_configure() -> None:
    """Take SIGINT back where a shell started us in the background with it ignored.

    What tests start would inherit that, and could not be interrupted.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have tests of a group run in one process, which has what they share once.

    pytest-xdist 3.8 tells its scheduler of groups by the tests' names, and writes them where
    pytest 9.2 does not look any more.
    The longest group goes first; the others keep their order.
    """
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        groups = sorted({mark.args[0] for mark in item.iter_markers("xdist_group")})
        if groups and not item.nodeid.endswith(tail := f"@{'_'.join(groups)}"):
            item._id = type(item._id).parse(f"{item.nodeid}{tail}")
    items.sort(key=lambda item: not item.nodeid.endswith(FIRST))


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays until the end: modules and collected tests.

    Going over that heap again and again takes a fifth of the sweeps' time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The product is asyncio only: its database driver is."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _log_as_found() -> Iterator[None]:
    """Leave the log as it was found: whoever silences it does so for one test."""
    disabled = logging.root.manager.disable
    configuration = structlog.get_config()
    yield
    logging.disable(disabled)
    structlog.configure(**configuration)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL server of this test process, shared by its tests."""
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def databases(postgres: EmbeddedPostgres) -> Databases:
    """Hands out databases, for tests that need several or an empty one."""
    return Databases(postgres)


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """The URL of a fresh, migrated database of this test's own."""
    with databases.fresh() as url:
        yield url
