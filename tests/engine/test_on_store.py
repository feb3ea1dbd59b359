"""The engine on the real store: leases, watch and events behave as the fakes say."""

import asyncio
import random
from uuid import uuid4

from controller.engine import (
    Controller,
    EventRecorder,
    LeaseKeeper,
    Manager,
    Request,
    Router,
    Shards,
    Timing,
    WatchSource,
)
from crds.account import Account
from crds.meta import ObjectMeta
from crds.store import LocalDoorbell, Store
from tests.engine.fakes import ScriptedReconciler, queue
from tests.support.virtual_time import clock, run


class Replica:
    """A whole engine on a store."""

    def __init__(self, store: Store, name: str) -> None:
        rng = random.Random(name)  # noqa: S311 - to repeat
        keeper = LeaseKeeper(store.leases, name, Timing(), asyncio.get_running_loop().time)
        self.reconciler = ScriptedReconciler()
        self.shards = Shards(keeper, rng=rng)
        self.controller = Controller(
            "account",
            self.reconciler,
            queue=queue(),
            clock=store.clock,
            ownership=self.shards,
        )
        self.watch = WatchSource(store, Router([self.controller]), rng=rng)
        self.watch.feed("Account", "account")
        self.manager = Manager(controllers=[self.controller], watch=self.watch, shards=self.shards)
        self.task = asyncio.ensure_future(self.manager.run())

    def names(self) -> set[str]:
        """What was reconciled."""
        return {request.key.name for request in self.reconciler.requests}


def _account(name: str) -> Account:
    return Account.parse(
        {"metadata": {"name": name}, "spec": {"email": f"{name}@example.com"}, "status": {}}
    )


def test_replicas_share_the_keys_and_survive_a_death(database_url: str) -> None:
    """Every change is reconciled by one replica, and by another after a kill."""

    async def main() -> None:
        async with Store.opened(database_url, clock=clock(), doorbell=LocalDoorbell()) as store:
            replicas = [Replica(store, name) for name in "ab"]
            await asyncio.sleep(20)
            for number in range(20):
                await store.create(_account(f"x{number}"))
            await asyncio.sleep(5)
            first, second = replicas

            assert first.names() | second.names() == {f"x{n}" for n in range(20)}
            assert first.names() & second.names() == set()
            assert first.names()
            assert second.names()

            first.shards._keeper._held.clear()
            first.task.cancel()
            await asyncio.sleep(15)

            assert second.names() == {f"x{n}" for n in range(20)}
            second.manager.stop()
            await second.task
            leases = await store.leases.list("")
            assert {lease.holder for lease in leases if lease.name != "replica/a"} <= {None, "a"}

    run(main, seed=4, limit_seconds=200)


def test_a_lost_shards_writes_are_refused(database_url: str) -> None:
    """The fence that a request carries is one that the store checks."""

    async def main() -> list[str]:
        async with Store.opened(database_url, clock=clock(), doorbell=LocalDoorbell()) as store:
            outcomes: list[str] = []

            async def write(request: Request) -> None:
                found = await store.get(Account, request.key.name)
                found.metadata.labels["seen"] = "yes"
                await store.update(found, fence=request.fence)
                outcomes.append("written")
                row = (await store.leases.list(request.fence.lease if request.fence else ""))[0]
                await store.leases.acquire(row.name, "thief", seen=row, duration=10)
                found = await store.get(Account, request.key.name)
                found.metadata.labels["seen"] = "again"
                await store.update(found, fence=request.fence)
                outcomes.append("written")

            replica = Replica(store, "a")
            replica.reconciler.script.append(write)
            await asyncio.sleep(5)
            await store.create(_account("x"))
            await asyncio.sleep(2)
            fenced = replica.controller.stats.results["fenced"]
            replica.manager.stop()
            await replica.task
            return [*outcomes, f"fenced {fenced}"]

    assert run(main, limit_seconds=100) == ["written", "fenced 1"]


def test_events_add_up(database_url: str) -> None:
    """Counts of later batches are added to the row that is there."""

    async def main() -> list[int]:
        async with Store.opened(database_url, clock=clock(), doorbell=LocalDoorbell()) as store:
            account = _account("x")
            account.metadata = ObjectMeta(name="x", uid=uuid4())
            recorder = EventRecorder(store.events, store.clock)
            for _ in range(3):
                recorder.event(account.key, account.uid, "Normal", "Moved", "on")
                recorder.event(account.key, account.uid, "Normal", "Moved", "on")
                await recorder.flush()
            return [event.count for event in await store.events.list()]

    assert run(main, limit_seconds=100) == [6]
