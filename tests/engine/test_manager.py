"""The manager: starts everything, tells how it is, ends it in the right order."""

import asyncio
import random

import anyio
import pytest

from controller.engine import (
    Leader,
    LeaseKeeper,
    Manager,
    Request,
    Router,
    Shards,
    Timing,
    WatchSource,
)
from tests.engine.fakes import (
    FakeLeases,
    FakeLog,
    ScriptedReconciler,
    controller,
    key,
)
from tests.support.virtual_time import run


class Replica:
    """A whole engine on fakes."""

    def __init__(self, reconciler: ScriptedReconciler, *, grace: float = 20.0) -> None:
        rng = random.Random(1)  # noqa: S311 - to repeat
        self.trouble = [False]
        self.ping_error: Exception | None = None
        self.leases = FakeLeases(rng)
        view = self.leases.seen_by(lambda: self.trouble[0])
        now = asyncio.get_running_loop().time
        self.log = FakeLog()
        self.shards = Shards(LeaseKeeper(view, "me", Timing(), now), rng=rng)
        self.thing = controller(reconciler, ownership=self.shards)
        self.watch = WatchSource(self.log, Router([self.thing]), rng=rng)
        self.watch.feed("Thing", "thing")
        self.leader = Leader("gc", self._duty, LeaseKeeper(view, "me", Timing(), now), rng=rng)
        self.manager = Manager(
            controllers=[self.thing],
            watch=self.watch,
            shards=self.shards,
            leaders=[self.leader],
            ping=self._ping,
            grace=grace,
        )

    async def _duty(self, _: object) -> None:
        await asyncio.sleep(1e6)

    async def _ping(self) -> None:
        if self.ping_error is not None:
            raise self.ping_error

    def holders(self) -> set[str | None]:
        """Who holds any lease."""
        return {row.holder for row in self.leases.rows.values()}


def test_everything_is_reconciled_from_a_cold_start() -> None:
    """Leases come, what they own is listed, and every object is reconciled."""
    reconciler = ScriptedReconciler()

    async def main() -> list[str]:
        replica = Replica(reconciler)
        for number in range(50):
            replica.log.change(key("x", f"account-{number}"), type_="ADDED")
        task = asyncio.ensure_future(replica.manager.run())
        await asyncio.sleep(20)
        ailing = await replica.manager.ready()
        replica.manager.stop()
        await task
        return ailing

    assert run(main, limit_seconds=100) == []
    assert len({request.key for request in reconciler.requests}) == 50
    assert all(request.fence is not None for request in reconciler.requests)


def test_shutdown_finishes_work_then_releases() -> None:
    """Workers get their grace under leases that are kept, then every lease is released."""
    held: list[set[str | None]] = []

    async def main() -> tuple[float, set[str | None]]:
        async def slow(request: Request) -> None:
            await asyncio.sleep(15)
            request.guard()
            held.append(replica.holders())

        replica = Replica(ScriptedReconciler([slow]))
        replica.log.change(key("x"), type_="ADDED")
        task = asyncio.ensure_future(replica.manager.run())
        await asyncio.sleep(10)
        replica.manager.stop()
        begun = asyncio.get_running_loop().time()
        await asyncio.sleep(1)
        assert "manager: shutting down" in await replica.manager.ready()
        await task
        return asyncio.get_running_loop().time() - begun, replica.holders()

    took, holders = run(main, limit_seconds=100)

    assert took < 15
    assert held == [{"me"}]
    assert holders == {None}


def test_shutdown_ends_what_takes_too_long() -> None:
    """After the grace workers are cancelled, and the leases are released all the same."""

    async def hang(_: Request) -> None:
        await asyncio.sleep(100)

    async def main() -> tuple[float, set[str | None]]:
        replica = Replica(ScriptedReconciler([hang]), grace=5)
        replica.log.change(key("x"), type_="ADDED")
        task = asyncio.ensure_future(replica.manager.run())
        await asyncio.sleep(10)
        replica.manager.stop()
        begun = asyncio.get_running_loop().time()
        await task
        return asyncio.get_running_loop().time() - begun, replica.holders()

    took, holders = run(main, limit_seconds=100)

    assert 5 <= took < 7
    assert holders == {None}


def test_cancelling_releases_too() -> None:
    """A manager that is cancelled does not leave its leases to run out."""

    async def main() -> set[str | None]:
        replica = Replica(ScriptedReconciler())
        async with anyio.create_task_group() as group:
            group.start_soon(replica.manager.run)
            await asyncio.sleep(10)
            group.cancel_scope.cancel()
        return replica.holders()

    assert run(main, limit_seconds=100) == {None}


def test_a_failing_part_ends_the_whole() -> None:
    """A part that dies does not leave half an engine behind."""

    class Broken:
        async def run(self) -> None:
            await asyncio.sleep(5)
            raise ValueError("broken")

    async def main() -> None:
        await Manager(controllers=[controller(ScriptedReconciler())], runnables=[Broken()]).run()

    with pytest.raises(ExceptionGroup, match="unhandled"):
        run(main, limit_seconds=100)


def test_health_says_what_ails() -> None:
    """The checks name the database, the leases and the watch when they are away, and only then."""

    async def main() -> list[str]:
        replica = Replica(ScriptedReconciler())
        task = asyncio.ensure_future(replica.manager.run())
        await asyncio.sleep(20)
        healthy = await replica.manager.ready()
        replica.trouble[0] = True
        replica.ping_error = ConnectionError()
        await asyncio.sleep(20)
        replica.log.watch_error = ConnectionError()
        replica.log.ring()
        await asyncio.sleep(0.1)
        ailing = await replica.manager.ready()
        replica.trouble[0] = False
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert healthy == []
        return ailing

    assert run(main, limit_seconds=200) == [
        "watch: the log of changes cannot be read",
        "shards: no lease was renewed in time",
        "database: ConnectionError",
    ]
