import asyncio

from controller.providers import Breaker, BreakerState
from tests.providers.clock import run


def fail(breaker: Breaker, times: int = 5, *, subjects: int = 2) -> None:
    """Fail some times, over some objects in turn."""
    for turn in range(times):
        breaker.failed(f"object {turn % subjects}")


def test_opens_after_failures_in_a_row() -> None:
    """Five failures in a row stop the calls, and the change is told once with its time."""

    async def act() -> tuple[bool, BreakerState, list[tuple[BreakerState, float]]]:
        breaker, told = Breaker(), list[tuple[BreakerState, float]]()
        breaker.listeners.append(lambda state, at: told.append((state, at)))
        await asyncio.sleep(3)
        fail(breaker)
        return breaker.admit(), breaker.state, told

    actual = run(act)

    assert (False, BreakerState.OPEN, [(BreakerState.OPEN, 3.0)]) == actual


def test_a_success_between_starts_the_count_anew() -> None:
    """Failures count only in a row."""

    async def act() -> bool:
        breaker = Breaker()
        fail(breaker, 4)
        breaker.succeeded()
        fail(breaker, 4)
        return breaker.admit()

    assert run(act)


def test_old_failures_do_not_count() -> None:
    """Failures count only within the window."""

    async def act() -> bool:
        breaker = Breaker(window=60)
        fail(breaker, 4)
        await asyncio.sleep(61)
        fail(breaker, 4)
        return breaker.admit()

    assert run(act)


def test_one_broken_object_is_no_outage() -> None:
    """A machine on a dead host hangs for ever; the others are still served."""

    async def act() -> bool:
        breaker = Breaker()
        fail(breaker, 50, subjects=1)
        return breaker.admit()

    assert run(act)


def test_one_probe_after_the_cool_down() -> None:
    """After the cool-down exactly one call passes, and its success closes the breaker."""

    async def act() -> list[object]:
        breaker = Breaker(cool_down=15)
        fail(breaker)
        await asyncio.sleep(14)
        early = breaker.admit()
        await asyncio.sleep(1)
        probe, second, state = breaker.admit(), breaker.admit(), breaker.state
        breaker.succeeded()
        return [early, probe, second, state, breaker.admit(), breaker.state]

    actual = run(act)

    assert [
        False,
        True,
        False,
        BreakerState.HALF_OPEN,
        True,
        BreakerState.CLOSED,
    ] == actual


def test_a_failed_probe_opens_again() -> None:
    """A failed probe costs another cool-down."""

    async def act() -> list[bool]:
        breaker = Breaker(cool_down=15)
        fail(breaker)
        await asyncio.sleep(15)
        breaker.admit()
        breaker.failed("anything")
        await asyncio.sleep(14)
        early = breaker.admit()
        await asyncio.sleep(1)
        return [early, breaker.admit()]

    actual = run(act)

    assert [False, True] == actual


def test_an_abandoned_probe_frees_its_place() -> None:
    """A probe that was cancelled does not block the breaker for ever."""

    async def act() -> bool:
        breaker = Breaker(cool_down=15)
        fail(breaker)
        await asyncio.sleep(15)
        breaker.admit()
        breaker.abandoned()
        return breaker.admit()

    assert run(act)
