"""Churn on real processes, while they are killed and cut off from each other."""

import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.chaos.checks import STRANGER, STRANGERS_KEY, duplicates, violations
from tests.chaos.citizen import Citizen
from tests.chaos.fleet import REPLICAS, Fleet, fleet, pause
from tests.chaos.tcp import Mode

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

CITIZENS: Final = 20
CHAOS_SECONDS: Final = float(os.environ.get("INVOKER_CHAOS_SECONDS", "75"))
CONVERGE_SECONDS: Final = 120
QUIET_SECONDS: Final = 15
"""Longer than one look at the providers: at rest it must lead to nothing."""
CUTS: Final[tuple[Mode, ...]] = ("slow", "reset", "half-open", "refuse")
PARTS: Final = (*REPLICAS, "postgres", "fly", "kv", "api", "edge")


@pytest.mark.timeout(CHAOS_SECONDS + CONVERGE_SECONDS + 150)
async def test_chaos() -> None:
    """When the faults stop everything converges: one machine each, no orphans, the edge agrees.

    Slow: real processes are tormented in real time.
    """
    seed = int(os.environ.get("INVOKER_CHAOS_SEED", str(random.SystemRandom().randrange(10**6))))
    sys.stdout.write(f"INVOKER_CHAOS_SEED={seed}\n")
    rng = random.Random(seed)  # noqa: S311 - to be repeated
    with tempfile.TemporaryDirectory(prefix="invoker-chaos-") as directory:
        async with fleet(Path(directory) / "state") as running, city(running, rng) as citizens:
            await invite_stranger(running)
            doubles = await torment(running, citizens, rng)
            began = time.monotonic()
            unhappy = await converge(citizens)
            sys.stdout.write(f"converged in {time.monotonic() - began:.0f} s\n")
            wrong = [] if unhappy else await until_right(running, citizens)
            calls = await calls_at_rest(running)
            if unhappy or wrong or calls or doubles:
                keep_log(running)

            assert [] == unhappy
            assert [] == wrong
            assert [] == doubles
            assert {} == calls


@asynccontextmanager
async def city(running: Fleet, rng: random.Random) -> AsyncIterator[list[Citizen]]:
    """Users, signed up."""
    citizens = [
        Citizen(running, number, random.Random(rng.random()))  # noqa: S311 - to be repeated
        for number in range(CITIZENS)
    ]
    try:
        for citizen in citizens:
            await citizen.register()
        yield citizens
    finally:
        for citizen in citizens:
            await citizen.aclose()


async def invite_stranger(running: Fleet) -> None:
    """Put something beside ours that nobody of us made."""
    body = {"app_name": STRANGER, "org_slug": "invoker"}
    await running.fly("POST", "/v1/apps", json=body)
    async with httpx.AsyncClient(trust_env=False) as client:
        address = f"{running.url('kv')}/{STRANGERS_KEY.replace(':', '%3A')}"
        (await client.put(address, content=b'{"version": 1}')).raise_for_status()


async def torment(running: Fleet, citizens: list[Citizen], rng: random.Random) -> list[str]:
    """Let the citizens live while parts die and links break; returns the doubles that were seen."""
    ended, doubles = asyncio.Event(), set[str]()
    async with asyncio.TaskGroup() as group:
        for citizen in citizens:
            group.create_task(citizen.live(ended))
        group.create_task(watch(running, ended, doubles))
        for fault in faults(running, rng):
            await pause(rng, 1, 3)
            await fault()
        running.link.become("pass")
        ended.set()
    return sorted(doubles)


def faults(running: Fleet, rng: random.Random) -> list[Callable[[], Coroutine[Any, Any, None]]]:
    """What happens, in order, for about the time that was asked for."""
    each: list[Callable[[], Coroutine[Any, Any, None]]] = [
        *(lambda part=part: kill(running, part) for part in PARTS),
        *(lambda mode=mode: cut(running, mode, rng) for mode in CUTS),
    ]
    # One takes about four seconds with the pause before it.
    rounds = [rng.sample(each, len(each)) for _ in range(round(CHAOS_SECONDS / 4 / len(each)) or 1)]
    return [fault for one in rounds for fault in one]


async def kill(running: Fleet, part: str) -> None:
    """Kill one part."""
    running.lines.append(f"chaos | kill {part}")
    running.kill(part)


async def cut(running: Fleet, mode: Mode, rng: random.Random) -> None:
    """Let the link to the machines' provider be bad for some seconds."""
    running.lines.append(f"chaos | link {mode}")
    running.link.become(mode)
    await pause(rng, 3, 8)
    running.link.become("pass")


async def watch(running: Fleet, ended: asyncio.Event, doubles: set[str]) -> None:
    """Look at the provider all the time for machines that there are twice."""
    while not ended.is_set():
        with suppress(httpx.HTTPError):
            doubles.update(duplicates(await running.machines()))
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), 0.5)


async def converge(citizens: list[Citizen]) -> list[str]:
    """Have the last wishes heard and wait until they have come true; returns what has not."""
    deadline = time.monotonic() + CONVERGE_SECONDS
    async with asyncio.timeout(CONVERGE_SECONDS):
        await asyncio.gather(*(citizen.settle() for citizen in citizens))
    last: list[str] = []
    while True:
        told = [await discontent(citizen) for citizen in citizens]
        unhappy = [words for words in told if words]
        if not unhappy or time.monotonic() > deadline:
            sys.stdout.write("".join(f"the last to converge: {words}\n" for words in last[:3]))
            return unhappy
        last = unhappy
        await asyncio.sleep(0.5)


async def discontent(citizen: Citizen) -> str:
    """What a citizen has to complain about; parts may still be on their way up."""
    try:
        return await citizen.is_content()
    except httpx.HTTPError as error:
        return f"{citizen.name}: {error!r}"


async def until_right(running: Fleet, citizens: list[Citizen]) -> list[str]:
    """What is wrong, once the last removals had their time."""
    deadline = time.monotonic() + 30
    while True:
        wrong = await violations(running, citizens)
        if not wrong or time.monotonic() > deadline:
            return wrong
        await asyncio.sleep(0.5)


async def calls_at_rest(running: Fleet) -> dict[str, float]:
    """The calls by which something is changed outside although nobody has wished for anything."""
    before = await running.mutating_calls()
    await asyncio.sleep(QUIET_SECONDS)
    after = await running.mutating_calls()
    made = {name: count - before.get(name, 0) for name, count in after.items()}
    return {name: count for name, count in made.items() if count}


def keep_log(running: Fleet) -> None:
    """Keep what the parts wrote, for whoever looks into a failure."""
    handle, name = tempfile.mkstemp(prefix="invoker-chaos-", suffix=".log")
    with os.fdopen(handle, "w") as file:
        file.write("\n".join(running.lines))
    sys.stdout.write(f"what the parts wrote: {name}\n")
