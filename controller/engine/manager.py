"""Runs the parts together, and ends them in the right order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import anyio
import structlog

from controller.engine.controller import Controller
from controller.engine.leader import Leader
from controller.engine.shards import Shards
from controller.engine.sources import WatchSource

log = structlog.get_logger("invoker.manager")


class Runnable(Protocol):
    """Something that runs until it is cancelled."""

    async def run(self) -> None:
        """Run."""


class Manager:
    """One replica's engine.

    Args:
        controllers: What reconciles.
        watch: Feeds the controllers from the log; fed by `shards` with what was acquired.
        shards: This replica's share; None when it has all keys.
        runnables: Sources and whatever else runs on every replica.
        leaders: What runs on one replica at a time.
        ping: Asks the database for a sign of life; raises when there is none.
        grace: Seconds that workers get to finish at shutdown.
    """

    def __init__(
        self,
        *,
        controllers: Sequence[Controller],
        watch: WatchSource | None = None,
        shards: Shards | None = None,
        runnables: Sequence[Runnable] = (),
        leaders: Sequence[Leader] = (),
        ping: Callable[[], Awaitable[None]] | None = None,
        grace: float = 20.0,
    ) -> None:
        self._controllers = controllers
        self._watch = watch
        self._shards = shards
        self._runnables = runnables
        self._leaders = leaders
        self._ping = ping
        self._grace = grace
        self._stopping = asyncio.Event()
        if shards is not None:
            shards.on_acquire = self._acquired
            shards.on_loss = self._lost

    def stop(self) -> None:
        """Begin to shut down; `run` returns when that is done."""
        self._stopping.set()

    async def run(self) -> None:
        """Run until `stop`, or until a part fails, which ends all others.

        Cancelling it skips the grace, not the release of the leases.
        """
        try:
            async with anyio.create_task_group() as group:
                for part in self._parts():
                    group.start_soon(part.run)
                async with anyio.create_task_group() as workers:
                    for controller in self._controllers:
                        workers.start_soon(controller.run)
                    await self._stopping.wait()
                    self._wind_down(workers.cancel_scope)
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._give_up()

    async def ready(self) -> list[str]:
        """What keeps this replica from working; empty when nothing does."""
        ending = ["manager: shutting down"] if self._stopping.is_set() else []
        return [*ending, *self.healthy(), *await self._database()]

    def healthy(self) -> list[str]:
        """What ails this replica, as it knows itself; empty when nothing does."""
        ailing = [
            f"controller {each.name}: {each.stuck} reconciles are stuck"
            for each in self._controllers
            if each.stuck >= each.workers
        ]
        if self._watch is not None and not self._watch.alive:
            ailing.append("watch: the log of changes cannot be read")
        if self._shards is not None and not self._shards.member:
            ailing.append("shards: no lease was renewed in time")
        return ailing

    def _parts(self) -> list[Runnable]:
        parts = [*self._runnables, *self._leaders]
        parts += [part for part in (self._watch, self._shards) if part is not None]
        return parts

    def _wind_down(self, workers: anyio.CancelScope) -> None:
        """Take no new keys, and give the workers their grace; leases are renewed meanwhile."""
        log.info("shutting down", grace=self._grace)
        for controller in self._controllers:
            controller.stop()
        workers.deadline = anyio.current_time() + self._grace

    async def _give_up(self) -> None:
        """Release every lease, so that others need not wait for it to run out."""
        for leader in self._leaders:
            await leader.shut_down()
        if self._shards is not None:
            try:
                await self._shards.shut_down()
            except Exception as error:  # noqa: BLE001 - then they run out by themselves
                log.warning("cannot release shards", error=type(error).__name__)

    async def _database(self) -> list[str]:
        if self._ping is None:
            return []
        try:
            async with asyncio.timeout(2.0):
                await self._ping()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not reachable
            return [f"database: {type(error).__name__}"]
        return []

    def _acquired(self, shards: frozenset[int]) -> None:
        """Queue all keys of what became ours."""
        owner = self._shards
        if owner is not None and self._watch is not None:
            self._watch.relist(lambda key: owner.shard_of(key) in shards)

    def _lost(self, shards: frozenset[int]) -> None:
        """Forget the keys of what is not ours any more."""
        owner = self._shards
        if owner is not None:
            for controller in self._controllers:
                controller.queue.drop(lambda key: owner.shard_of(key) in shards)
