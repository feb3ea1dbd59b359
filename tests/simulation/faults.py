"""Perturbations: one thing goes wrong at one precise effect."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import httpx
from psycopg import OperationalError
from psycopg.rows import DictRow

from crds.store.database import Database, Pool


class Fault(StrEnum):
    """What can go wrong at an effect outside, or at a write of a row."""

    CRASH_BEFORE = "crash before send"
    CRASH_AFTER = "crash after effect"
    CRASH_RECORDED = "crash after record"
    TIMEOUT_BEFORE = "timeout before effect"
    TIMEOUT_AFTER = "timeout after effect"
    RESET_AFTER = "connection reset after effect"
    TOO_MANY = "429"
    BROKEN = "500"
    CONFLICT = "409 of unknown words"
    STALE = "crash after effect, then stale lists"
    LEASE_LOST = "lease lost in the middle of the effect"


AT_EFFECTS = [fault for fault in Fault if fault is not Fault.CRASH_RECORDED]


@dataclass(frozen=True)
class Perturbation:
    """A fault at the n-th effect (or row write) of the controllers, counted from 0."""

    fault: Fault
    at: int

    def __str__(self) -> str:
        """For the test's name and its failure."""
        return f"{self.fault} at {self.at}"


class Plan:
    """Counts the controllers' effects and row writes and says when a fault is due.

    Args:
        perturbations: What goes wrong; empty for a run without faults.
    """

    def __init__(self, *perturbations: Perturbation) -> None:
        self._due = {(_counts_rows(p.fault), p.at): p.fault for p in perturbations}
        self.effects: list[str] = []
        self.writes = 0
        self.struck: list[str] = []

    def effect(self, what: str) -> Fault | None:
        """Count an effect outside; returns the fault that is due at it."""
        self.effects.append(what)
        return self._strike((False, len(self.effects) - 1), what)

    def write(self, what: str) -> Fault | None:
        """Count a row write; returns the fault that is due after it."""
        self.writes += 1
        return self._strike((True, self.writes - 1), what)

    def _strike(self, key: tuple[bool, int], what: str) -> Fault | None:
        fault = self._due.pop(key, None)
        if fault is not None:
            self.struck.append(f"{fault} at {key[1]} ({what})")
        return fault


def _counts_rows(fault: Fault) -> bool:
    return fault is Fault.CRASH_RECORDED


class Life:
    """Whether a process lives; what it tries when dead comes to nothing."""

    def __init__(self) -> None:
        self.dead = False
        self.on_death: Callable[[], None] = lambda: None

    async def end(self) -> None:
        """Die here and now: whoever calls never gets an answer."""
        self.dead = True
        self.on_death()
        await asyncio.Event().wait()


class FaultTransport(httpx.AsyncBaseTransport):
    """Goes wrong at the planned mutation; looks at the world after every one.

    Args:
        inner: The simulators.
        plan: What goes wrong when.
        life: The process that sends.
        before: Called before a mutation is passed on.
        after: Called after it took effect.
        stale: Makes lists stale for a while.
        lose_lease: Takes the sender's leases away.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        plan: Plan,
        life: Life,
        *,
        before: Callable[[httpx.Request], Awaitable[None]],
        after: Callable[[httpx.Request], Awaitable[None]],
        stale: Callable[[], None],
        lose_lease: Callable[[], Awaitable[None]],
    ) -> None:
        self._inner = inner
        self._plan = plan
        self._life = life
        self._before, self._after = before, after
        self._stale, self._lose_lease = stale, lose_lease

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on, or not."""
        if self._life.dead:
            await asyncio.Event().wait()
        if request.method == "GET" or not _is_api(request):
            return await self._inner.handle_async_request(request)
        fault = self._plan.effect(f"{request.method} {request.url.path}")
        if fault in (Fault.TOO_MANY, Fault.BROKEN, Fault.CONFLICT):
            return _refusal(request, fault)
        if fault is Fault.CRASH_BEFORE:
            await self._life.end()
        if fault is Fault.TIMEOUT_BEFORE:
            raise httpx.ReadTimeout("timed out", request=request)
        if fault is Fault.LEASE_LOST:
            await self._lose_lease()
        await self._before(request)
        answer = await self._inner.handle_async_request(request)
        await answer.aread()
        await self._after(request)
        return await self._outcome(request, answer, fault)

    async def _outcome(
        self, request: httpx.Request, answer: httpx.Response, fault: Fault | None
    ) -> httpx.Response:
        match fault:
            case Fault.CRASH_AFTER:
                await self._life.end()
            case Fault.STALE:
                self._stale()
                await self._life.end()
            case Fault.TIMEOUT_AFTER:
                raise httpx.ReadTimeout("timed out", request=request)
            case Fault.RESET_AFTER:
                raise httpx.ReadError("connection reset", request=request)
            case _:
                pass
        return answer


def _is_api(request: httpx.Request) -> bool:
    return request.url.host in ("api.machines.dev", "api.cloudflare.com")


def _refusal(request: httpx.Request, fault: Fault) -> httpx.Response:
    match fault:
        case Fault.TOO_MANY:
            return httpx.Response(
                429, headers={"retry-after": "2"}, json={"error": "rate limit exceeded"},
                request=request,
            )
        case Fault.CONFLICT:
            return httpx.Response(409, json={"error": "something odd"}, request=request)
        case _:
            return httpx.Response(500, json={"error": "internal error"}, request=request)


class MortalDatabase(Database):
    """A process's database, which it cannot reach any more once it is dead.

    Args:
        pool: Connections, shared by all processes of a world.
        plan: What goes wrong when.
        life: The process.
    """

    def __init__(self, pool: Pool, plan: Plan, life: Life) -> None:
        super().__init__(pool)
        self._plan = plan
        self._life = life

    async def fetch(self, query: str, *parameters: object) -> Sequence[DictRow]:
        """Run a statement; die after it when that is planned."""
        self._check()
        rows = await super().fetch(query, *parameters)
        if any(f"{name}(" in query for name in WRITES) and self._wrote(rows):
            if self._plan.write(query[:40]) is Fault.CRASH_RECORDED:
                await self._life.end()
        self._check()
        return rows

    async def execute(self, query: str, *parameters: object) -> int:
        """Run a statement."""
        self._check()
        return await super().execute(query, *parameters)

    def _check(self) -> None:
        if self._life.dead:
            raise OperationalError("this process is dead")

    @staticmethod
    def _wrote(rows: Sequence[DictRow]) -> bool:
        return any(row["outcome"] == "ok" for row in rows)


WRITES = ("create_object", "write_object", "write_statuses", "delete_object")
