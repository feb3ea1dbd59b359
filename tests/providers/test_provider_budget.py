import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.providers import Budget, Priority, Rate
from controller.providers.budget import Bucket
from tests.providers.clock import now, run

WIDE = Rate(1000, 1000)
OWN = Rate(1, 3)


def budget(rate: Rate = OWN, wide: Rate = WIDE) -> Budget:
    """Return a budget with Fly's default rate and room beside it."""
    return Budget(default=rate, wide=wide)


async def moments(taking: list[Callable[[], Awaitable[object]]]) -> list[float]:
    """When each of these was granted, all started at once in this order."""

    async def one(take: Callable[[], Awaitable[object]]) -> float:
        await take()
        return now()

    return await asyncio.gather(*(one(take) for take in taking))


def test_burst_then_rate() -> None:
    """A bucket gives its burst at once and then keeps the provider's rate."""

    async def act() -> list[float]:
        tokens = budget()
        return await moments([lambda: tokens.take("start", "m", Priority.USER)] * 6)

    actual = run(act)

    assert [0, 0, 0, 1, 2, 3] == pytest.approx(actual)


def test_objects_do_not_queue_behind_each_other() -> None:
    """Each action on each object has a bucket of its own."""

    async def act() -> list[float]:
        tokens = budget(Rate(1, 1))
        return await moments(
            [
                lambda: tokens.take("start", "a", Priority.USER),
                lambda: tokens.take("start", "b", Priority.USER),
                lambda: tokens.take("stop", "a", Priority.USER),
            ]
        )

    actual = run(act)

    assert [0, 0, 0] == actual


def test_urgent_before_patient() -> None:
    """Waiters are served by priority, then first come first served."""

    async def act() -> list[str]:
        tokens, served = budget(wide=Rate(1, 1)), list[str]()

        async def take(name: str, priority: Priority) -> None:
            await tokens.take("get", name, priority)
            served.append(name)

        await take("first", Priority.COLLECTION)
        await asyncio.gather(
            take("gc", Priority.COLLECTION),
            take("resync 1", Priority.RESYNC),
            take("resync 2", Priority.RESYNC),
            take("user", Priority.USER),
            take("health", Priority.HEALTH),
        )
        return served

    actual = run(act)

    assert ["first", "user", "health", "resync 1", "resync 2", "gc"] == actual


def test_pause_touches_one_bucket() -> None:
    """A 429 stops its own bucket until Retry-After, and no other."""

    async def act() -> list[float]:
        tokens = budget()
        tokens.pause("start", "a", 10)
        return await moments(
            [
                lambda: tokens.take("start", "a", Priority.USER),
                lambda: tokens.take("start", "a", Priority.USER),
                lambda: tokens.take("start", "b", Priority.USER),
            ]
        )

    actual = run(act)

    assert [10, 11, 0] == pytest.approx(actual)


def test_pause_holds_those_already_waiting() -> None:
    """A pause that comes while somebody waits holds them too."""

    async def act() -> float:
        tokens = budget(Rate(1, 1))
        await tokens.take("start", "a", Priority.USER)
        waiting = asyncio.ensure_future(moments([lambda: tokens.take("start", "a", Priority.USER)]))
        await asyncio.sleep(0.5)
        tokens.pause("start", "a", 10)
        return (await waiting)[0]

    actual = run(act)

    assert actual == pytest.approx(10.5)


def test_cancelled_waiter_costs_no_token() -> None:
    """A waiter that is cancelled, before or after its grant, leaves its token to the next."""

    async def act() -> float:
        tokens = budget(Rate(1, 1))
        await tokens.take("start", "a", Priority.USER)
        gone = asyncio.ensure_future(tokens.take("start", "a", Priority.USER))
        stays = asyncio.ensure_future(moments([lambda: tokens.take("start", "a", Priority.USER)]))
        asyncio.get_running_loop().call_at(1.0, gone.cancel)
        return (await stays)[0]

    actual = run(act)

    assert actual == pytest.approx(1, abs=1e-3)


def test_cancelled_on_the_wide_bucket_returns_the_own_token() -> None:
    """Who gives up while waiting for the wide bucket has not used up its object's token."""

    async def act() -> float:
        tokens = budget(Rate(0.01, 1), wide=Rate(1, 1))
        await tokens.take("get", "other", Priority.USER)
        gone = asyncio.ensure_future(tokens.take("start", "a", Priority.USER))
        await asyncio.sleep(0.1)
        gone.cancel()
        return (await moments([lambda: tokens.take("start", "a", Priority.USER)]))[0]

    actual = run(act)

    assert actual == pytest.approx(1)


def test_full_buckets_are_forgotten() -> None:
    """The table holds the objects of the last seconds, not all that ever were."""

    async def act() -> int:
        tokens = budget()
        for number in range(500):
            await tokens.take("start", f"m{number}", Priority.USER)
            await asyncio.sleep(0.5)
        return len(tokens)

    actual = run(act)

    assert actual < 20


def test_left_counts_the_wide_bucket() -> None:
    """What is left is what could be asked at once, and is known outside of the loop too."""

    async def act() -> tuple[float, Budget]:
        tokens = budget(wide=Rate(1, 5))
        await tokens.take("start", "a", Priority.USER)
        return tokens.left(), tokens

    inside, tokens = run(act)

    assert (4, 4) == (inside, tokens.left())


@settings(deadline=None)  # a busy machine is no failure
@given(
    rate=st.floats(0.1, 50),
    burst=st.integers(1, 20),
    arrivals=st.lists(
        st.tuples(st.floats(0, 20), st.sampled_from(Priority)), min_size=1, max_size=60
    ),
)
def test_never_more_than_the_rate_allows(
    rate: float, burst: int, arrivals: list[tuple[float, Priority]]
) -> None:
    """In every span of time, at most rate * span + burst tokens are given, and all come through."""

    async def act() -> list[float]:
        bucket = Bucket(Rate(rate, burst), now())

        async def arrive(at: float, priority: Priority) -> float:
            await asyncio.sleep(at)
            await bucket.take(priority)
            return now()

        return await asyncio.gather(*(arrive(*arrival) for arrival in arrivals))

    granted = sorted(run(act))

    for first in range(len(granted)):
        for last in range(first, len(granted)):
            allowed = rate * (granted[last] - granted[first]) + burst
            assert last - first + 1 <= allowed + 1e-3


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.sampled_from(Priority), min_size=2, max_size=30))
def test_the_urgent_never_wait_behind_the_patient(priorities: list[Priority]) -> None:
    """Among those who wait at the same time, priority decides and then arrival."""

    async def act() -> list[tuple[Priority, int]]:
        bucket, served = Bucket(Rate(1, 1), now()), list[tuple[Priority, int]]()

        async def take(priority: Priority, turn: int) -> None:
            await bucket.take(priority)
            served.append((priority, turn))

        await bucket.take(Priority.USER)
        await asyncio.gather(*(take(p, turn) for turn, p in enumerate(priorities)))
        return served

    served = run(act)

    assert sorted(served) == served
