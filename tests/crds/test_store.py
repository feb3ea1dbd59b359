"""The store keeps objects, their log and its order, for the API and for plain SQL alike."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from crds.account import Account, AccountSpec
from crds.clock import Clock
from crds.errors import (
    AlreadyExistsError,
    ConflictError,
    ExpiredError,
    FencedError,
    InvalidError,
    NotFoundError,
)
from crds.meta import Key, ObjectMeta
from crds.store import Fence, Store, WatchEvent
from crds.workspace import Workspace, WorkspaceSpec

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A store on a fresh database."""
    async with Store.opened(database_url) as opened:
        yield opened


def account(name: str = "alice", *finalizers: str) -> Account:
    """An account to store."""
    return Account(
        metadata=ObjectMeta(name=name, finalizers=list(finalizers)),
        spec=AccountSpec(email=f"{name}@example.com"),
    )


async def changes(store: Store, since: int, count: int) -> list[WatchEvent]:
    """The next `count` changes after a version."""
    seen: list[WatchEvent] = []
    async with asyncio.timeout(5), aclosing(store.watch(None, since)) as events:  # type: ignore[type-var]  # an async generator
        async for event in events:
            seen.append(event)
            if len(seen) == count:
                break
    return seen


async def sql(url: str, *statements: str) -> list[Any]:
    """Run statements as an operator with psql would, in one transaction."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        for statement in statements:
            cursor = await connection.execute(statement)
        return await cursor.fetchall() if cursor.description else []


async def test_create_and_get(store: Store) -> None:
    """What was created is read back with uid, version and generation 1."""
    created = await store.create(account())
    read = await store.get(Account, "alice")

    assert created == read
    assert read.metadata.uid is not None
    assert read.metadata.resource_version > 0
    assert read.metadata.generation == 1


async def test_create_twice(store: Store) -> None:
    """A key is taken once."""
    await store.create(account())

    with pytest.raises(AlreadyExistsError):
        await store.create(account())


async def test_bad_name(store: Store) -> None:
    """A name that breaks RFC 1123 is refused, and nothing is written."""
    with pytest.raises(InvalidError):
        await store.create(account("Not_A_Name"))

    assert (await store.list(Account)).items == []


async def test_update_moves_generation_only_with_spec(store: Store) -> None:
    """Generation follows the spec, not the metadata nor the status."""
    first = await store.create(account())
    first.spec.plan = "Pro"
    second = await store.update(first)
    second.metadata.labels["team"] = "a"
    third = await store.update(second)
    third.status.workspaces = 1
    fourth = await store.update_status(third)

    assert [2, 2] == [second.metadata.generation, third.metadata.generation]
    read = await store.get(Account, "alice")
    assert read.metadata.resource_version == fourth.metadata.resource_version
    assert (2, 1) == (read.metadata.generation, read.status.workspaces)


async def test_stale_update_conflicts(store: Store) -> None:
    """A write on what was read before somebody else's write is refused."""
    first = await store.create(account())
    stale = first.model_copy(deep=True)
    first.spec.plan = "Pro"
    await store.update(first)

    with pytest.raises(ConflictError):
        await store.update(stale)
    with pytest.raises(ConflictError):
        await store.update_status(stale)


async def test_recording_a_status_over_a_moved_row(store: Store) -> None:
    """The status's one writer can record an effect although the wish moved meanwhile."""
    first = await store.create(account())
    mine = first.model_copy(deep=True)
    first.spec.plan = "Pro"
    await store.update(first)
    mine.status.workspaces = 3
    await store.update_status(mine, if_unmoved=False)

    read = await store.get(Account, "alice")
    assert ("Pro", 3) == (read.spec.plan, read.status.workspaces)


async def test_no_op_write_has_no_version(store: Store) -> None:
    """A write that changes nothing bumps nothing and wakes nobody."""
    created = await store.create(account())
    again = await store.update(created)
    status = await store.update_status(again)

    assert created.metadata.resource_version == again.metadata.resource_version
    assert created.metadata.resource_version == status.metadata.resource_version
    assert await store.log.newest() == created.metadata.resource_version


async def test_finalizer_holds_the_row(store: Store) -> None:
    """Deletion waits for the finalizer, is marked once, and takes none on afterwards."""
    created = await store.create(account("alice", "invoker.dev/test"))
    await store.delete(Account, "alice")
    marked = await store.get(Account, "alice")

    assert marked.deleting
    assert marked.metadata.generation == 2
    marked.metadata.finalizers.append("late")
    with pytest.raises(InvalidError):
        await store.update(marked)

    marked.metadata.finalizers.clear()
    await store.update(marked)
    assert await store.find(Account, "alice") is None
    types = [event.type for event in await changes(store, 0, 4)]
    assert ["ADDED", "MODIFIED", "MODIFIED", "DELETED"] == types
    assert created.uid == (await changes(store, 0, 4))[-1].uid


async def test_delete_preconditions(store: Store) -> None:
    """Deletion is refused for another uid or version than the one that is meant."""
    created = await store.create(account())
    with pytest.raises(ConflictError):
        await store.delete(Account, "alice", resource_version=created.metadata.resource_version + 1)
    await store.delete(Account, "alice", uid=created.uid)
    with pytest.raises(NotFoundError):
        await store.delete(Account, "alice")


async def test_fence(store: Store) -> None:
    """A writer whose lease moved on writes nothing, whichever write it tries."""
    lease = await store.leases.acquire("shard/1", "a", seen=None, duration=10)
    assert lease is not None
    old = Fence("shard/1", lease.epoch)
    created = await store.create(account(), fence=old)
    await store.leases.acquire("shard/1", "b", seen=lease, duration=10)

    created.spec.plan = "Pro"
    with pytest.raises(FencedError):
        await store.update(created, fence=old)
    with pytest.raises(FencedError):
        await store.update_status(created, fence=old)
    with pytest.raises(FencedError):
        await store.create(account("bob"), fence=old)
    with pytest.raises(FencedError):
        await store.delete(Account, "alice", fence=old)
    assert (await store.get(Account, "alice")).spec.plan == "Free"


async def test_statuses_share_a_statement(store: Store) -> None:
    """In one batch each wish succeeds or fails by itself."""
    good = await store.create(account("good"))
    stale = await store.create(account("stale"))
    await store.update(stale.model_copy(update={"spec": AccountSpec(email="x@y.z")}))
    gone = await store.create(account("gone"))
    await store.delete(Account, "gone")
    for each in (good, stale, gone):
        each.status.workspaces = 9

    results = await asyncio.gather(
        *(store.update_status(each) for each in (good, stale, gone)), return_exceptions=True
    )
    assert isinstance(results[0], Account)
    assert isinstance(results[1], ConflictError)
    assert isinstance(results[2], NotFoundError)


async def test_plain_sql_obeys_the_same_rules(store: Store, database_url: str) -> None:
    """An operator's UPDATE moves version and generation and shows in a watch, in commit order."""
    await store.create(account("alice"))
    await store.create(account("bob"))
    await sql(
        database_url,
        'UPDATE accounts SET spec = spec || \'{"plan": "Pro"}\'',
        "UPDATE accounts SET spec = spec || '{\"state\": \"Suspended\"}' WHERE name = 'alice'",
    )

    events = await changes(store, 0, 5)
    assert [event.resource_version for event in events] == sorted(
        {event.resource_version for event in events}
    )
    alice = await store.get(Account, "alice")
    assert (3, "Suspended") == (alice.metadata.generation, alice.spec.state)
    assert events[-1].resource_version == alice.metadata.resource_version
    assert events[-1].previous is not None
    assert events[-1].previous["spec"]["state"] == "Active"


async def test_plain_sql_delete_waits_for_finalizers(store: Store, database_url: str) -> None:
    """DELETE by SQL asks for deletion like any other and cannot skip a finalizer."""
    await store.create(account("alice", "invoker.dev/test"))
    await sql(database_url, "DELETE FROM accounts WHERE name = 'alice'")

    marked = await store.get(Account, "alice")
    assert marked.deleting
    await sql(database_url, "UPDATE objects SET finalizers = '{}' WHERE name = 'alice'")
    assert await store.find(Account, "alice") is None
    assert (await changes(store, 0, 4))[-1].type == "DELETED"


async def test_plain_sql_cannot_change_identity(store: Store, database_url: str) -> None:
    """Nobody can move a uid or a name."""
    await store.create(account())
    with pytest.raises(psycopg.errors.CheckViolation):
        await sql(database_url, "UPDATE objects SET name = 'mallory'")


async def test_broken_spec_by_sql_is_told(store: Store, database_url: str) -> None:
    """A spec that an operator broke is named with its field; a list still shows the others."""
    await store.create(account("alice"))
    await store.create(account("bob"))
    await sql(
        database_url,
        "UPDATE accounts SET spec = spec || '{\"plan\": \"Gold\"}' WHERE name = 'alice'",
    )

    with pytest.raises(InvalidError, match=r"spec\.plan"):
        await store.get(Account, "alice")
    page = await store.list(Account)
    assert ["bob"] == [item.metadata.name for item in page.items]
    assert [Key("Account", "", "alice")] == [broken.key for broken in page.broken]


async def test_watch_tells_status_from_spec(store: Store) -> None:
    """A watcher can tell a change of the wish from one of the observation."""
    created = await store.create(account())
    created.status.workspaces = 1
    updated = await store.update_status(created)
    updated.metadata.annotations["a"] = "b"
    await store.update(updated)

    assert [True, False, True] == [event.spec_changed for event in await changes(store, 0, 3)]


async def test_watch_misses_nothing_under_concurrent_writers(store: Store) -> None:
    """With 16 writers every change is seen once, in order, and from a list's version on."""
    await store.create(account("before"))
    page = await store.list(Account)

    async def write(number: int) -> None:
        for turn in range(10):
            await store.create(account(f"w{number}-{turn}"))

    watching = asyncio.create_task(changes(store, page.resource_version, 160))
    await asyncio.gather(*(write(number) for number in range(16)))
    events = await watching

    assert 160 == len({event.key for event in events})
    versions = [event.resource_version for event in events]
    assert versions == sorted(set(versions))


async def test_watch_of_one_kind_gets_bookmarks(store: Store) -> None:
    """A quiet kind's watcher learns how far the log was read."""
    await store.create(account())
    async with asyncio.timeout(5), aclosing(store.watch({"Workspace"}, 0)) as events:  # type: ignore[type-var]  # an async generator
        event = await anext(events)

    assert ("BOOKMARK", 1) == (event.type, event.resource_version)


async def test_compacted_and_future_versions_expire(store: Store) -> None:
    """A watch from before the horizon or from the future is told to list again."""
    for name in ("a1", "a2", "a3"):
        await store.create(account(name))
    later = Store(
        store.database,
        Clock(store.clock.anchor + timedelta(days=2), store.clock.loop_time),
        store.doorbell,
    )

    assert 2 == await later.compact(timedelta(days=1))
    with pytest.raises(ExpiredError):
        await changes(store, 0, 1)
    with pytest.raises(ExpiredError):
        await changes(store, 99, 1)
    assert 1 == len(await changes(store, 2, 1))


async def test_list_by_spec_and_namespace(store: Store) -> None:
    """A list can be narrowed by namespace and by a field of the spec."""
    for namespace, subdomain in (("a", "alice"), ("b", "bobby")):
        await store.create(
            Workspace(
                metadata=ObjectMeta(name="main", namespace=namespace),
                spec=WorkspaceSpec(subdomain=subdomain),
            )
        )

    by_namespace = await store.list(Workspace, namespace="a")
    by_spec = await store.list(Workspace, spec={"subdomain": "bobby"})
    assert ["a"] == [item.metadata.namespace for item in by_namespace.items]
    assert ["b"] == [item.metadata.namespace for item in by_spec.items]


async def test_an_open_transaction_holds_up_nobody_else(store: Store, database_url: str) -> None:
    """While an operator's psql has a row locked, the other rows of a batch are written."""
    free, held = await store.create(account("free")), await store.create(account("held"))
    free.status.workspaces = held.status.workspaces = 7
    async with await psycopg.AsyncConnection.connect(database_url) as psql:
        await psql.execute("UPDATE accounts SET spec = spec WHERE name = 'held'")
        await psql.execute("SELECT FROM objects WHERE name = 'held' FOR UPDATE")
        async with asyncio.timeout(3):
            results = await asyncio.gather(
                store.update_status(free), store.update_status(held), return_exceptions=True
            )
        await psql.rollback()

    assert isinstance(results[0], Account)
    assert isinstance(results[1], ConflictError)
