"""Turns at gateways: a few at once, none at one that is slow, and one gateway's are its own."""

from __future__ import annotations

import asyncio

from crds.gateway_turns import (
    AT_ONCE,
    FORGIVEN_SECONDS,
    LONGEST_REST_SECONDS,
    REST_SECONDS,
    SLOW_SECONDS,
    NoTurnError,
    Turns,
)
from tests.support.virtual_time import run, running_loop


async def _ask(turns: Turns, gateway: str, seconds: float) -> float:
    """Ask for so long; returns the rest that is told of instead, or 0."""
    try:
        async with turns.turn(gateway):
            await asyncio.sleep(seconds)
    except NoTurnError as error:
        return error.seconds
    return 0.0


def test_quick_answers_are_waited_for() -> None:
    """However many there are, everybody gets a turn, a few at once."""

    async def main() -> tuple[set[float], float]:
        turns, began = Turns(), running_loop().time()
        rests = await asyncio.gather(*(_ask(turns, "a", 0.1) for _ in range(3 * AT_ONCE)))
        return set(rests), running_loop().time() - began

    rests, took = run(main, limit_seconds=100)

    assert ({0.0}, 0.3) == (rests, round(took, 3))


def test_nobody_waits_for_who_is_slow() -> None:
    """Whoever has no turn knows soon; another gateway is asked all the while."""

    async def main() -> tuple[list[bool], float, float]:
        turns, began = Turns(), running_loop().time()
        slow = [asyncio.create_task(_ask(turns, "a", 10.0)) for _ in range(AT_ONCE)]
        await asyncio.sleep(0)
        late = await asyncio.gather(*(_ask(turns, "a", 0.1) for _ in range(5)))
        took = running_loop().time() - began
        other = await _ask(turns, "b", 0.1)
        await asyncio.gather(*slow)
        return [rest > 0 for rest in late], took, other

    late, took, other = run(main, limit_seconds=100)

    assert ([True] * 5, SLOW_SECONDS, 0.0) == (late, round(took, 3), other)


def test_rests_grow_and_are_forgiven() -> None:
    """Twice as long each time up to the longest; from the beginning after a good while."""

    async def main() -> list[float]:
        turns, rests = Turns(), []
        for pause in (0.0, 0.0, 0.0, 0.0, FORGIVEN_SECONDS):
            await asyncio.sleep(pause)
            await asyncio.gather(*(_ask(turns, "a", 10.0) for _ in range(AT_ONCE)))
            rests.append(await _ask(turns, "a", 0.0))
            await asyncio.sleep(rests[-1])
        return [round(rest, 3) for rest in rests]

    longest = LONGEST_REST_SECONDS
    wanted = [REST_SECONDS, 2 * REST_SECONDS, 4 * REST_SECONDS, longest, REST_SECONDS]
    assert wanted == run(main, limit_seconds=10_000)
