"""Sources: no change is missed, none of our own wakes us, resyncs come evenly."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from controller.engine import (
    Controller,
    Priority,
    Router,
    TimerSource,
    WatchSource,
)
from crds.meta import Key
from crds.store import WatchEvent
from tests.engine.fakes import FakeLog, ScriptedReconciler, controller, key
from tests.support.virtual_time import run

A, B, C = key("a"), key("b"), key("c")


class Bench:
    """A log, a watch source, and a controller whose keys are looked at but not taken."""

    def __init__(self) -> None:
        self.log = FakeLog()
        self.thing = controller(ScriptedReconciler())
        self.owner = controller(ScriptedReconciler(), name="owner")
        self.router = Router([self.thing, self.owner])
        self.watch = WatchSource(self.log, self.router, rng=random.Random(1))  # noqa: S311
        self.watch.feed("Thing", "thing")

    async def queued(self, subject: Controller | None = None) -> list[tuple[str, Priority]]:
        """What came, taken out."""
        await asyncio.sleep(1)
        subject = subject or self.thing
        result = []
        while len(subject.queue):
            item = await subject.queue.get()
            subject.queue.done(item.key)
            result.append((item.key.name, item.priority))
        return result


Scene = Callable[[Bench], Coroutine[Any, Any, None]]


@asynccontextmanager
async def _running(source: WatchSource | TimerSource) -> Any:
    task = asyncio.ensure_future(source.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _play(scene: Scene, limit: float = 10_000) -> None:
    async def main() -> None:
        bench = Bench()
        bench.log.change(A, type_="ADDED")
        async with _running(bench.watch):
            await scene(bench)

    for seed in range(3):
        run(main, seed=seed, limit_seconds=limit)


def test_initial_list_comes_last() -> None:
    """All keys are queued once at the beginning, behind everything that happens."""

    async def scene(bench: Bench) -> None:
        before = bench.watch.synced
        assert [("a", Priority.INITIAL)] == await bench.queued()
        assert [False, True, True] == [before, bench.watch.synced, bench.watch.alive]

    _play(scene)


def test_wishes_come_first() -> None:
    """Every change of a wish queues its key, ahead of what was only observed."""

    async def scene(bench: Bench) -> None:
        await bench.queued()
        bench.log.change(B, type_="ADDED")
        bench.log.change(A)
        bench.log.change(B, type_="DELETED")

        assert [("b", Priority.USER), ("a", Priority.USER)] == await bench.queued()

    _play(scene)


def test_own_status_writes_do_not_wake() -> None:
    """A change of nothing but the status is skipped for the controller of the kind."""

    async def scene(bench: Bench) -> None:
        await bench.queued()
        bench.log.change(A, spec_changed=False)

        assert await bench.queued() == []

    _play(scene)


def test_mapped_changes_reach_other_controllers() -> None:
    """A child's status wakes its owner, through a mapper; a mapper's bug stops nobody."""

    def broken(_: WatchEvent) -> Iterator[tuple[str, Key]]:
        raise ValueError

    def to_owner(event: WatchEvent) -> Iterator[tuple[str, Key]]:
        yield "owner", event.key._replace(kind="Owner")

    async def scene(bench: Bench) -> None:
        bench.watch.map("Thing", broken)
        bench.watch.map("Thing", to_owner)
        await bench.queued()
        bench.log.change(A, spec_changed=False)

        assert [("a", Priority.EVENT)] == await bench.queued(bench.owner)

    _play(scene)


def test_reconnect_misses_nothing() -> None:
    """After a lost connection the watch goes on from the last version, without a new list."""

    async def scene(bench: Bench) -> None:
        await bench.queued()
        bench.log.watch_error = ConnectionError()
        bench.log.ring()
        await asyncio.sleep(0.01)
        assert not bench.watch.alive
        bench.log.change(B, type_="ADDED")

        assert [("b", Priority.USER)] == await bench.queued()
        assert bench.log.lists == 1
        assert bench.watch.alive

    _play(scene)


def test_quiet_watch_is_alive_again() -> None:
    """A watch that came back is alive although nothing happens."""

    async def scene(bench: Bench) -> None:
        await bench.queued()
        bench.log.watch_error = ConnectionError()
        bench.log.ring()
        await asyncio.sleep(10)

        assert bench.watch.alive

    _play(scene)


def test_expired_lists_again() -> None:
    """When the log was compacted past us, everything is listed again and nothing is lost."""

    async def scene(bench: Bench) -> None:
        await bench.queued()
        bench.log.watch_error = ConnectionError()
        bench.log.ring()
        await asyncio.sleep(0)
        bench.log.change(B, type_="ADDED")
        bench.log.compacted = bench.log.version
        bench.log.events.clear()
        queued = await bench.queued()

        assert [("a", Priority.INITIAL), ("b", Priority.INITIAL)] == queued
        assert bench.log.lists == 2

    _play(scene)


def test_frozen_watch_is_opened_anew() -> None:
    """A watch that says nothing for a minute is not trusted."""

    async def scene(bench: Bench) -> None:
        await bench.queued()
        await asyncio.sleep(601)

        assert 10 <= len(bench.log.watches) <= 12
        assert bench.log.lists == 1

    _play(scene)


def test_relist_queues_what_was_acquired() -> None:
    """The keys of a shard that became ours are queued, the others are not."""

    async def scene(bench: Bench) -> None:
        bench.log.change(B, type_="ADDED")
        await bench.queued()
        bench.watch.relist(lambda each: each == B)

        assert [("b", Priority.INITIAL)] == await bench.queued()

    _play(scene)


def test_resync_is_even_and_complete() -> None:
    """Every object comes once a period, at the lowest urgency, and never many at a time."""

    async def main() -> tuple[dict[str, int], int]:
        bench = Bench()
        for number in range(1000):
            bench.log.change(key(f"k{number}"), type_="ADDED")
        source = TimerSource(
            bench.log,
            bench.router,
            kind="Thing",
            controller="thing",
            period=3600,
            rng=random.Random(3),  # noqa: S311 - to repeat
        )
        counts: dict[str, int] = {}
        herd = 0
        async with _running(source):
            for _ in range(180):
                await asyncio.sleep(59)
                came = await bench.queued()
                herd = max(herd, len(came))
                for name, priority in came:
                    counts[name] = counts.get(name, 0) + 1
                    assert priority is Priority.RESYNC
        return counts, herd

    counts, herd = run(main, limit_seconds=20_000)

    assert {3} == set(counts.values())
    assert len(counts) == 1000
    assert herd < 60


def test_unknown_controller_is_an_error() -> None:
    """A key for a controller that is not there is a mistake in the wiring."""

    async def main() -> None:
        Router([]).push("nobody", A)

    with pytest.raises(KeyError):
        run(main, limit_seconds=1)
