"""Runs something on one replica at a time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import structlog

from controller.engine.leases import LeaseKeeper
from controller.engine.queue import Backoff
from controller.engine.reconciler import Grip

log = structlog.get_logger("invoker.leader")

LEADER = "leader/"
Duty = Callable[[Grip], Awaitable[None]]
"""What the leader does; it asks the grip's guard before every effect outside."""


class Leader:
    """Stands for election, and does its duty while it leads.

    Args:
        name: Of the office.
        duty: Cancelled when the lease is not surely ours any more.
        keeper: Holds the lease; used for nothing else.
        rng: Draws the jitter after the duty failed.
    """

    def __init__(self, name: str, duty: Duty, keeper: LeaseKeeper, *, rng: random.Random) -> None:
        self.name = name
        self._duty = duty
        self._keeper = keeper
        self._rng = rng
        self._lease = f"{LEADER}{name}"
        self._backoff = Backoff()
        self._failures = 0

    @property
    def leading(self) -> bool:
        """Whether the lease is surely ours."""
        return self._keeper.valid(self._lease)

    async def run(self) -> None:
        """Stand for ever; `shut_down` resigns."""
        while True:
            await self._campaign()
            log.info("leading", name=self.name)
            async with anyio.create_task_group() as group:
                group.start_soon(self._serve, group.cancel_scope)
                await self._keep()
                group.cancel_scope.cancel()
            await self.shut_down()

    async def shut_down(self) -> None:
        """Resign at once."""
        try:
            await self._keeper.release([self._lease])
        except Exception as error:  # noqa: BLE001 - then it runs out by itself
            log.warning("cannot resign", name=self.name, error=type(error).__name__)

    async def _campaign(self) -> None:
        while True:
            try:
                await self._keeper.look(self._lease)
                if await self._keeper.acquire(self._lease):
                    return
            except Exception as error:  # noqa: BLE001 - as long as the store is away
                log.warning("cannot stand", name=self.name, error=type(error).__name__)
            now = asyncio.get_running_loop().time()
            death = self._keeper.next_death([self._lease]) - now
            await asyncio.sleep(min(self._keeper.timing.renew_every, death))

    async def _serve(self, scope: anyio.CancelScope) -> None:
        """Do the duty; when it ends, for whatever reason, the office is given up for a while."""
        fence = self._keeper.fence(self._lease)
        started = asyncio.get_running_loop().time()
        try:
            await self._duty(Grip(fence, partial(self._keeper.check, fence.lease, fence.epoch)))
        except Exception:
            log.exception("duty failed", name=self.name)
        if asyncio.get_running_loop().time() - started > self._backoff.cap:
            self._failures = 0
        self._failures += 1
        await asyncio.sleep(self._backoff.seconds(self._failures, self._rng))
        scope.cancel()

    async def _keep(self) -> None:
        """Renew until the lease is not surely ours any more."""
        timing = self._keeper.timing
        pause = timing.renew_every
        while self.leading:
            await asyncio.sleep(min(pause, self._keeper.remaining(self._lease)))
            try:
                await self._keeper.renew()
                pause = timing.renew_every
            except Exception as error:  # noqa: BLE001 - the lease itself tells when to stop
                pause = timing.renew_every / 3
                log.warning("cannot renew", name=self.name, error=type(error).__name__)
