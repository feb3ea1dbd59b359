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
from deploy.local.simulators.digitalocean import API_HOST
from deploy.local.simulators.gateways import HUB_HOST
from tests.simulation.invariants import Watchman


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
    HANDED_OVER = "another replica takes over in the middle of the effect"


# With one replica; what needs two is swept with two.
AT_EFFECTS = [fault for fault in Fault if fault not in (Fault.CRASH_RECORDED, Fault.HANDED_OVER)]


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

    Attributes:
        calm: Whether nothing goes wrong at any effect.
        outage: How every call to the machines' provider fails at present, reads included.
        interpose: Answers a request in the provider's place, or with None lets it through.
    """

    def __init__(self, *perturbations: Perturbation) -> None:
        self.calm = not perturbations
        self._due = {(_counts_rows(p.fault), p.at): p.fault for p in perturbations}
        self.effects: list[str] = []
        self.writes = 0
        self.struck: list[str] = []
        self.outage: Fault | None = None
        self.interpose: Callable[[httpx.Request], httpx.Response | None] = lambda _: None

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
        name: The process's.
        watchman: Looks at every mutation, before and after.
        stale: Makes lists stale for a while, and frees the shards.
        lose_lease: Takes the sender's leases away.
        hand_over: Gives the sender's leases to another replica, and that one time to act.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        plan: Plan,
        life: Life,
        *,
        name: str,
        watchman: Watchman,
        stale: Callable[[], Awaitable[None]],
        lose_lease: Callable[[], Awaitable[None]],
        hand_over: Callable[[], Awaitable[None]],
    ) -> None:
        self._inner = inner
        self._plan = plan
        self._life = life
        self._name = name
        self._watchman = watchman
        self._stale = stale
        self._lose_lease, self._hand_over = lose_lease, hand_over

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on, or not."""
        if self._life.dead:
            await asyncio.Event().wait()
        if self._plan.outage is not None and request.url.host == FLY:
            return _refusal(request, self._plan.outage)
        if (answer := self._plan.interpose(request)) is not None:
            return answer
        if request.method == "GET" or not _is_api(request):
            answer = await self._inner.handle_async_request(request)
            self._watchman.heard(request, answer)
            return answer
        fault = self._plan.effect(f"{request.method} {request.url.path}")
        if fault in REFUSALS:
            return _refusal(request, fault)
        # As it is when it is sent: how long it is on its way is nobody's choice.
        await self._watchman.before(request)
        if self._plan.calm and request.url.host in OWNED and request.method != "DELETE":
            await self._watchman.check_owner(self._name)
        await self._fail_before(request, fault)
        answer = await self._inner.handle_async_request(request)
        await answer.aread()
        self._watchman.after(request)
        await self._fail_after(request, fault)
        return answer

    async def _fail_before(self, request: httpx.Request, fault: Fault | None) -> None:
        match fault:
            case Fault.CRASH_BEFORE:
                await self._life.end()
            case Fault.TIMEOUT_BEFORE:
                raise httpx.ReadTimeout("timed out", request=request)
            case Fault.LEASE_LOST:
                await self._lose_lease()
            case Fault.HANDED_OVER:
                await self._hand_over()
            case _:
                pass

    async def _fail_after(self, request: httpx.Request, fault: Fault | None) -> None:
        match fault:
            case Fault.CRASH_AFTER:
                await self._life.end()
            case Fault.STALE:
                await self._stale()
                await self._life.end()
            case Fault.TIMEOUT_AFTER:
                raise httpx.ReadTimeout("timed out", request=request)
            case Fault.RESET_AFTER:
                raise httpx.ReadError("connection reset", request=request)
            case _:
                pass


FLY = "api.machines.dev"
# Where only the holder of a shard changes anything, collectors aside.
OWNED = (FLY, API_HOST, HUB_HOST)
REFUSALS: dict[Fault | None, tuple[int, str]] = {
    Fault.TOO_MANY: (429, "rate limit exceeded"),
    Fault.BROKEN: (500, "internal error"),
    Fault.CONFLICT: (409, "something odd"),
}


def _is_api(request: httpx.Request) -> bool:
    return request.url.host in (*OWNED, "api.cloudflare.com", "api.netlify.com")


def _refusal(request: httpx.Request, fault: Fault | None) -> httpx.Response:
    if fault is Fault.TIMEOUT_BEFORE:
        raise httpx.ReadTimeout("timed out", request=request)
    status, error = REFUSALS[fault]
    headers = {"retry-after": "2"} if fault is Fault.TOO_MANY else {}
    return httpx.Response(status, headers=headers, json={"error": error}, request=request)


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
        wrote = any(f"{name}(" in query for name in WRITES) and self._wrote(rows)
        if wrote and self._plan.write(query[:40]) is Fault.CRASH_RECORDED:
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
