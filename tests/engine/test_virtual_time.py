"""Virtual time: what every simulation stands on."""

import asyncio
import inspect
import time
from asyncio import base_events
from collections.abc import Sequence
from functools import partial

import psycopg
import pytest

from deploy.local.virtual_time import (
    SETTLE_SECONDS,
    START,
    DeadlockError,
    LimitError,
    VirtualTimeLoop,
    clock,
    run,
    running_loop,
)

HOUR = 3600.0


async def _interleaving() -> str:
    order: list[str] = []

    async def worker(name: str) -> None:
        for _ in range(5):
            await asyncio.sleep(1)
            order.append(name)

    async with asyncio.TaskGroup() as group:
        for name in "abcdef":
            group.create_task(worker(name))
    return "".join(order)


def test_overridden_method_exists() -> None:
    """The private method that is replaced is there, takes nothing, and is what runs the loop."""
    method = base_events.BaseEventLoop._run_once  # type: ignore[attr-defined]

    assert list(inspect.signature(method).parameters) == ["self"]
    assert "_run_once" in inspect.getsource(base_events.BaseEventLoop.run_forever) or (
        "_run_once" in inspect.getsource(base_events)
    )


def test_fifty_hours_pass_at_once() -> None:
    """Sleeping costs no real time."""

    async def main() -> float:
        for _ in range(50 * 60):
            await asyncio.sleep(60)
        return asyncio.get_running_loop().time()

    before = time.perf_counter()
    passed = run(main, limit_seconds=51 * HOUR)

    assert pytest.approx(50 * HOUR) == passed
    assert time.perf_counter() - before < 1


def test_same_seed_same_order() -> None:
    """A seed repeats a run exactly."""
    first = run(_interleaving, seed=7, limit_seconds=60)

    assert first == run(_interleaving, seed=7, limit_seconds=60)


def test_other_seed_other_order() -> None:
    """Seeds explore different orders."""
    orders = {run(_interleaving, seed=seed, limit_seconds=60) for seed in range(10)}

    assert len(orders) == 10


def test_plain_callbacks_keep_their_order() -> None:
    """Callbacks that are not task steps run first in, first out, whatever the seed."""
    seen: list[int] = []

    async def main() -> None:
        for number in range(20):
            asyncio.get_running_loop().call_soon(seen.append, number)
        await asyncio.sleep(1)

    run(main, seed=3, limit_seconds=2)

    assert list(range(20)) == seen


@pytest.mark.parametrize("others", [(), (3.0, 7.0, 20.0), (20.0, 3.0, 11.0, 12.0, 1.0)])
def test_timers_of_one_moment_keep_their_order(others: tuple[float, ...]) -> None:
    """Timers of one moment come in the order in which they were set, whatever else there is."""
    seen: list[int] = []

    async def main() -> None:
        loop = running_loop()
        for number in range(20):
            loop.call_at(10.0, seen.append, number)
            for when in others:
                loop.call_at(when, seen.clear).cancel()
        await asyncio.sleep(11)

    run(main, limit_seconds=12)

    assert list(range(20)) == seen


def test_clock_follows_the_loop() -> None:
    """The product's clock begins at the start that was asked for and moves with the loop."""

    async def main() -> float:
        await asyncio.sleep(HOUR)
        return (clock().now() - START).total_seconds()

    assert run(main, limit_seconds=2 * HOUR) == HOUR


def test_deadlock_names_the_tasks() -> None:
    """Waiting for what can never come is an error that lists who waits."""

    async def stuck_for_ever() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlockError, match="stuck_for_ever"):
        run(stuck_for_ever, limit_seconds=1)


def test_limit_names_the_tasks() -> None:
    """A program that takes longer than it may is an error that lists who still runs."""

    async def sleeps_on() -> None:
        while True:  # noqa: ASYNC110 - the fault itself
            await asyncio.sleep(1)

    with pytest.raises(LimitError, match="sleeps_on"):
        run(sleeps_on, limit_seconds=100)


def test_spinning_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that never lets the clock move is an error."""
    monkeypatch.setattr("deploy.local.virtual_time.ROUNDS_AT_ONE_INSTANT", 5_000)

    async def spins() -> None:
        while True:  # noqa: ASYNC110 - the fault itself
            await asyncio.sleep(0)

    with pytest.raises(LimitError, match="spins"):
        run(spins, limit_seconds=1)


def test_clean_up_runs_after_an_error() -> None:
    """What a program does in `finally` happens, on virtual time, even when it was given up."""
    cleaned: list[str] = []

    async def main() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(HOUR)
            cleaned.append("yes")

    with pytest.raises(DeadlockError):
        run(main, limit_seconds=1)

    assert cleaned == ["yes"]


def test_threads_hold_the_clock() -> None:
    """An executor at work counts as in flight: no timer overtakes it."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, time.sleep, 0.02)
        return loop.time()

    async def with_timer() -> float:
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(main())
            group.create_task(asyncio.sleep(HOUR))
        return answer.result()

    assert run(with_timer, limit_seconds=2 * HOUR) == 0.0


def test_queries_hold_the_clock(database_url: str) -> None:
    """While PostgreSQL works, virtual time stands still, though a timer waits."""

    async def query() -> float:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            for _ in range(20):
                await connection.execute("select pg_sleep(0.002)")
        return asyncio.get_running_loop().time()

    async def main() -> float:
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(query())
            group.create_task(asyncio.sleep(HOUR))
        return answer.result()

    assert run(main, limit_seconds=2 * HOUR) == 0.0


def test_order_of_queries_repeats(database_url: str) -> None:
    """The same seed gives the same order of answers, another seed another."""

    async def main() -> str:
        order: list[str] = []

        async def worker(name: str) -> None:
            async with await psycopg.AsyncConnection.connect(database_url) as connection:
                for _ in range(5):
                    await asyncio.sleep(1)
                    await connection.execute("select 1")
                    order.append(name)

        async with asyncio.TaskGroup() as group:
            for name in "abcd":
                group.create_task(worker(name))
        return "".join(order)

    first = run(main, seed=1, limit_seconds=60)

    assert [first] * 3 == [run(main, seed=1, limit_seconds=60) for _ in range(3)]
    assert first != run(main, seed=2, limit_seconds=60)


async def _order_of_answers(url: str, pauses: Sequence[float]) -> str:
    """Who has an answer when, where PostgreSQL takes so many real seconds for each."""
    order: list[str] = []

    async def worker(name: str, pause: float) -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            for _ in range(2):
                await connection.execute("select pg_sleep(%s)", (pause,))
                order.append(name)

    async with asyncio.TaskGroup() as group:
        for name, pause in zip("abc", pauses, strict=True):
            group.create_task(worker(name, pause))
    return "".join(order)


def test_order_of_answers_is_not_the_machine_s(database_url: str) -> None:
    """However long PostgreSQL takes over which statement, a seed gives one order of answers."""
    slow = SETTLE_SECONDS * 3

    orders = {
        run(partial(_order_of_answers, database_url, pauses), seed=1, limit_seconds=60)
        for pauses in ((0.0, 0.0, 0.0), (slow, 0.0, 0.0), (0.0, slow, 0.0), (0.0, 0.0, slow))
    }

    assert 1 == len(orders)


def test_a_cancelled_statement_has_happened(database_url: str) -> None:
    """Whether a statement was done that nobody waited for is not a matter of who is faster."""

    async def write(connection: psycopg.AsyncConnection, begun: asyncio.Event) -> None:
        begun.set()
        await connection.execute(
            "with slept as (select pg_sleep(0.02)) insert into made select 1 from slept"
        )

    async def main() -> list[int]:
        made = []
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as one:
            await one.execute("create temporary table made (number int)")
            for _ in range(4):
                writer = asyncio.create_task(write(one, begun := asyncio.Event()))
                await begun.wait()
                writer.cancel()
                await asyncio.wait([writer])
                assert writer.cancelled()
                made += await (await one.execute("select count(*) from made")).fetchall()
        return [count for (count,) in made]

    assert [1, 2, 3, 4] == run(main, limit_seconds=60)


def test_a_lock_is_waited_for(database_url: str) -> None:
    """A statement that waits for somebody's open transaction lets that one go on."""

    async def main() -> list[str]:
        order: list[str] = []

        async def second() -> None:
            async with await psycopg.AsyncConnection.connect(database_url) as connection:
                order.append("asks")
                await connection.execute("select pg_advisory_xact_lock(1)")
                order.append("has it")

        async with (
            asyncio.TaskGroup() as group,
            await psycopg.AsyncConnection.connect(database_url) as connection,
        ):
            await connection.execute("select pg_advisory_xact_lock(1)")
            group.create_task(second())
            while not order:  # noqa: ASYNC110 - until it asks
                await asyncio.sleep(0)
            for _ in range(3):
                await connection.execute("select 1")
            order.append("leaves it")
        return order

    assert ["asks", "leaves it", "has it"] == run(main, limit_seconds=60)


def test_an_error_of_postgresql_is_told(database_url: str) -> None:
    """What PostgreSQL refuses raises, and the connection goes on."""

    async def main() -> int:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as one:
            with pytest.raises(psycopg.errors.UndefinedTable):
                await one.execute("select * from nowhere")
            rows = await (await one.execute("select generate_series(1, 20000)")).fetchall()
            return len(rows)

    assert 20_000 == run(main, limit_seconds=60)


def test_nobody_spins_for_the_machine_s_slowness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds in which the machine is still at work are not counted as spinning."""
    monkeypatch.setattr("deploy.local.virtual_time.ROUNDS_AT_ONE_INSTANT", 5_000)

    async def main() -> bool:
        # As long as a thousand times that many rounds could take.
        slow = asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.3)
        while not slow.done():  # noqa: ASYNC110 - the fault itself
            await asyncio.sleep(0)
        return True

    assert run(main, limit_seconds=1)


def test_idle_connection_lets_time_pass(database_url: str) -> None:
    """A connection that waits for news does not hold the clock, and its news arrive."""

    async def main() -> tuple[bytes, float]:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as ear:
            await ear.execute("listen bell")
            loop, heard = running_loop(), asyncio.Event()
            loop.mark_idle(ear.fileno())
            loop.add_reader(ear.fileno(), heard.set)
            await asyncio.sleep(HOUR)
            async with await psycopg.AsyncConnection.connect(
                database_url, autocommit=True
            ) as mouth:
                await mouth.execute("notify bell, 'ding'")
            await heard.wait()
            loop.remove_reader(ear.fileno())
            loop.mark_busy(ear.fileno())
            ear.pgconn.consume_input()
            news = ear.pgconn.notifies()
            assert news is not None
            return news.extra, loop.time()

    assert run(main, limit_seconds=2 * HOUR) == (b"ding", HOUR)


def test_a_program_may_spin_until_an_answer_comes(database_url: str) -> None:
    """Sockets are looked at even when something is always ready."""

    async def main() -> bool:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            query = asyncio.ensure_future(connection.execute("select 1"))
            while not query.done():  # noqa: ASYNC110 - the fault itself
                await asyncio.sleep(0)
        return True

    assert run(main, limit_seconds=1)


def test_loop_is_a_selector_loop() -> None:
    """Code that asks for add_reader gets it."""
    loop = VirtualTimeLoop()
    try:
        assert isinstance(loop, asyncio.SelectorEventLoop)
    finally:
        loop.close()
