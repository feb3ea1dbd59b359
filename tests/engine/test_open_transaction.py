"""An operator's open transaction holds up its rows, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from crds.errors import AlreadyExistsError, ConflictError, FencedError
from crds.meta import ObjectMeta
from crds.store import Fence, Store
from crds.store.coalesce import Coalescer
from crds.workspace import Workspace, WorkspaceSpec

pytestmark = pytest.mark.anyio

ROWS, WRITERS = 40, 32
RENEWALS = 40
# As the engine gives a renewal, before it counts as failed.
RENEW_WITHIN = 3.0


def workspace(number: int) -> Workspace:
    """One of many."""
    meta = ObjectMeta(name="main", namespace=f"account{number}")
    return Workspace(metadata=meta, spec=WorkspaceSpec(subdomain=f"account{number}"))


@asynccontextmanager
async def operator(url: str, statement: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """Somebody with psql, who went to lunch before COMMIT."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute(statement)
        yield connection
        await connection.rollback()


UPDATE = """UPDATE workspaces SET annotations = annotations || '{"x": "y"}'"""
INSERT = """INSERT INTO objects (kind, namespace, name, spec)
    VALUES ('Workspace', 'account0', 'main', '{"subdomain": "account0"}')"""


# Writers wait for a quarter of a second each, again and again, in real time.
@pytest.mark.slow
async def test_leases_are_renewed_meanwhile(database_url: str) -> None:
    """While a bulk update is open and every worker runs into it, no renewal and no read fails."""
    async with Store.opened(database_url) as store:
        rows = [await store.create(workspace(number)) for number in range(ROWS)]
        leases = [
            await store.leases.acquire(f"shard/{n}", "r1", seen=None, duration=10) for n in range(4)
        ]
        held = [lease for lease in leases if lease is not None]
        fences = [Fence(lease.name, lease.epoch) for lease in held]
        conflicts, enough = 0, asyncio.Event()

        async def write(number: int) -> None:
            nonlocal conflicts
            while not enough.is_set():
                changed = rows[number].model_copy(deep=True)
                changed.spec.power = "Stopped"
                try:
                    await store.update(changed, fence=fences[number % 4])
                except ConflictError:
                    conflicts += 1

        async with operator(database_url, UPDATE), asyncio.TaskGroup() as group:
            for number in range(WRITERS):
                group.create_task(write(number))
            while conflicts < WRITERS:
                held = [*await asyncio.wait_for(store.leases.renew(held), RENEW_WITHIN)]
            for _ in range(RENEWALS):
                held = [*await asyncio.wait_for(store.leases.renew(held), RENEW_WITHIN)]
            found = await asyncio.wait_for(store.find(Workspace, "main", "account0"), RENEW_WITHIN)
            enough.set()

        assert len(held) == len(fences)
        assert found is not None
        assert found.spec.power == "Running"


async def test_row_that_somebody_holds_is_a_conflict(database_url: str) -> None:
    """A write or a deletion of a row in an open transaction is told soon, and tried again."""
    async with Store.opened(database_url) as store:
        row = await store.create(workspace(0))
        async with operator(database_url, UPDATE):
            row.spec.power = "Stopped"
            with pytest.raises(ConflictError):
                await store.update(row)
            with pytest.raises(ConflictError):
                await store.delete(Workspace, "main", "account0")

        written = await store.update(row)

        assert written.spec.power == "Stopped"


async def test_key_that_somebody_is_taking_is_a_conflict(database_url: str) -> None:
    """So is a creation, until it is known whether the key is taken."""
    async with Store.opened(database_url) as store:
        async with operator(database_url, INSERT) as connection:
            with pytest.raises(ConflictError):
                await store.create(workspace(0))
            await connection.commit()

        with pytest.raises(AlreadyExistsError):
            await store.create(workspace(0))


async def test_fence_holds_after_the_row_was_waited_for(database_url: str) -> None:
    """A writer whose lease moved is refused, however it came to the row's lock."""
    async with Store.opened(database_url) as store:
        row = await store.create(workspace(0))
        lease = await store.leases.acquire("shard/0", "r1", seen=None, duration=10)
        assert lease is not None
        await store.leases.acquire("shard/0", "r2", seen=lease, duration=10)
        row.spec.power = "Stopped"

        with pytest.raises(FencedError):
            await store.update(row, fence=Fence(lease.name, lease.epoch))
        with pytest.raises(FencedError):
            await store.delete(Workspace, "main", "account0", fence=Fence(lease.name, lease.epoch))


async def test_coalescer_does_not_serve_who_gave_up() -> None:
    """What was cancelled before its batch began is not done any more."""
    served: list[int] = []
    begun, first = asyncio.Event(), asyncio.Event()

    async def flush(wishes: list[int]) -> list[None]:
        served.extend(wishes)
        begun.set()
        await first.wait()
        return [None] * len(wishes)

    coalescer = Coalescer[int, None](flush)  # type: ignore[arg-type]  # a list is a sequence
    tasks = [asyncio.create_task(coalescer.submit(number)) for number in range(3)]
    await begun.wait()
    late = [asyncio.create_task(coalescer.submit(number)) for number in (7, 8)]
    await asyncio.sleep(0)
    late[0].cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await late[0]
    first.set()
    await asyncio.gather(*tasks, late[1])

    assert served == [0, 1, 2, 8]
