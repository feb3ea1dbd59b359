"""Whatever modes and whatever work of developers follow each other, nothing of theirs is lost."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.devenv import database, rls
from crds.devenv import RlsMode
from tests.devenv.guests import KEYS, Guest
from tests.devenv.rls_model import ACTIONS, CATALOGUE, Action, Model

MODES: tuple[RlsMode, ...] = ("production", "permissive", "disabled")
# What makes or breaks the memory of a table comes up more often.
LIKELY: tuple[Action, ...] = ("create secured", "create secured", "enable", "disable", "disable")
WORK = st.lists(st.tuples(st.sampled_from(ACTIONS + LIKELY), st.integers(0, 5)), max_size=8)
LIVES = st.lists(st.tuples(WORK, st.sampled_from(MODES)), min_size=1, max_size=5)


@pytest.mark.slow
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(life=LIVES)
def test_every_mode_holds_and_can_be_left(
    shared_guest: Guest, life: list[tuple[list[tuple[Action, int]], RlsMode]]
) -> None:
    """After each mode the catalogue is as a model in a few lines says, and production restores.

    Slow because every step is a real psql against a real PostgreSQL.
    """
    shared_guest.clear()
    shared_guest.sql("create schema elsewhere")
    model = Model()
    asyncio.run(database.prepare(shared_guest.psql, KEYS))
    for work, mode in [*life, ([], "production")]:
        for action, number in work:
            model.act(action, number)
        shared_guest.sql(*model.sql)
        model.sql.clear()

        asyncio.run(rls.apply(shared_guest.psql, mode))
        model.apply(mode)

        assert model.rows() == shared_guest.sql(CATALOGUE)
        assert [] == asyncio.run(rls.inspect(shared_guest.psql, mode))
