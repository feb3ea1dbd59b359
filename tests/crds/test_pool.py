"""The pool of connections, and people who are cancelled while they wait for one."""

import asyncio
from contextlib import suppress

import pytest

from crds.store.database import Database, Pool, make_pool
from tests.support.virtual_time import run

# Longer than whoever waits for a connection goes on waiting.
PATIENCE_SECONDS = 60.0
# As many turns of the loop as there are steps in waiting for a connection, and in giving one back.
TURNS = range(9)


async def turn(times: int) -> None:
    """Let everybody else come to their next step, so many times."""
    for _ in range(times):
        await asyncio.sleep(0)


async def hurt(pool: Pool, between: int) -> None:
    """Have one wait for the only connection, and cancel them twice before it is given back."""
    async with pool.connection():
        waiter = asyncio.create_task(Database(pool).fetch("SELECT 1 AS one"))
        await turn(20)
        waiter.cancel()
        await turn(between)
        waiter.cancel()
    with suppress(asyncio.CancelledError):
        await waiter


@pytest.mark.parametrize("seed", range(8))
def test_cancelled_twice_while_waiting(database_url: str, seed: int) -> None:
    """However soon somebody is cancelled again, the next one has a connection at once."""

    async def main() -> list[float]:
        late = []
        async with make_pool(database_url, 1) as pool:
            for between in TURNS:
                await hurt(pool, between)
                asked = asyncio.get_running_loop().time()
                await Database(pool).fetch("SELECT 1 AS one")
                late.append(asyncio.get_running_loop().time() - asked)
        return late

    assert {0.0} == set(run(main, seed=seed, limit_seconds=PATIENCE_SECONDS * 100))


def test_cancelled_as_the_connection_comes(database_url: str) -> None:
    """Whoever is cancelled ends, also when that happens together with what they waited for."""

    async def main() -> list[bool]:
        ended = []
        async with make_pool(database_url, 1) as pool:
            for turns in TURNS:
                async with pool.connection():
                    waiter = asyncio.create_task(_wait_and_go_on(pool))
                    await turn(20)
                await turn(turns)
                waiter.cancel()
                await asyncio.wait([waiter], timeout=PATIENCE_SECONDS)
                ended.append(waiter.cancelled())
                waiter.cancel()
        return ended

    assert [True] * len(TURNS) == run(main, limit_seconds=PATIENCE_SECONDS * 100)


async def _wait_and_go_on(pool: Pool) -> None:
    async with pool.connection():
        pass
    await asyncio.Event().wait()
