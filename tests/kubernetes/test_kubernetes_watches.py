"""The rules of watching, and the feed behind them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from api.kubernetes.door import Door as Sources
from api.kubernetes.feed import Feed
from api.kubernetes.options import Form, ListOptions
from api.kubernetes.paths import target_of
from api.kubernetes.selectors import parse
from api.kubernetes.served import Batch
from api.kubernetes.watches import INITIAL_END, Watch
from crds.account import Account, AccountSpec
from crds.errors import ExpiredError
from crds.meta import ObjectMeta
from crds.store import Store
from crds.store.store import POOL_SIZE
from tests.kubernetes.doors import Door

pytestmark = pytest.mark.anyio

ACCOUNT = {"Account"}


def watch_of(door: Door, **options: Any) -> Watch:
    """A watch on accounts."""
    target = target_of("/apis/invoker.dev/v1/accounts")
    assert target is not None
    source = Sources(door.service.api).source(target)
    chosen = {
        "watch": True,
        "labels": None,
        "fields": None,
        "version": None,
        "match": None,
        "initial": None,
        "bookmarks": False,
        "timeout": None,
        "limit": None,
        "resume": None,
        **options,
    }
    selector = parse(source.served, None, chosen["labels"], chosen["fields"])

    async def allowed() -> bool:
        return True

    now = door.store.clock.now
    return Watch(source, selector, ListOptions(**chosen), Form("object"), now, allowed)


async def told(watch: Watch, count: int) -> list[tuple[str, dict[str, Any]]]:
    """The first events of a watch."""
    found: list[tuple[str, dict[str, Any]]] = []
    async with aclosing(watch.lines()) as lines:
        async with asyncio.timeout(10):
            async for chunk in lines:
                events = [json.loads(line) for line in chunk.splitlines()]
                found += [(event["type"], event["object"]) for event in events]
                if len(found) >= count:
                    return found
    return found


def types(events: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """Only the types."""
    return [type_ for type_, _ in events]


async def make(store: Store, name: str, **labels: str) -> Account:
    """An account with labels."""
    meta = ObjectMeta(name=name, labels=labels)
    return await store.create(Account(metadata=meta, spec=AccountSpec(email="a@b.c")))


async def test_without_a_version_everything_comes_first(door: Door) -> None:
    """A watch from nowhere begins with what there is, as ADDED, and goes on with changes."""
    made = await make(door.store, "a")
    watching = asyncio.create_task(told(watch_of(door), 2))
    await asyncio.sleep(0.05)
    made.spec.plan = "Pro"
    await door.store.update(made)

    assert ["ADDED", "MODIFIED"] == types(await watching)


async def test_from_a_version_only_what_is_after_it(door: Door) -> None:
    """A watch from a list's version misses nothing and repeats nothing."""
    first = await make(door.store, "a")
    await make(door.store, "b")
    await make(door.store, "c")
    events = await told(watch_of(door, version=first.metadata.resource_version), 2)

    assert [("ADDED", "b"), ("ADDED", "c")] == [(t, o["metadata"]["name"]) for t, o in events]


async def test_initial_events_end_with_a_marked_bookmark(door: Door) -> None:
    """Initial events are what there is and then the bookmark that clients wait for."""
    await make(door.store, "a")
    watch = watch_of(door, initial=True, match="NotOlderThan", bookmarks=True)
    events = await told(watch, 2)

    assert ["ADDED", "BOOKMARK"] == types(events)
    assert events[1][1]["metadata"]["annotations"] == {INITIAL_END: "true"}
    assert int(events[1][1]["metadata"]["resourceVersion"]) > 0


async def test_a_version_that_has_not_been_is_one_error_event(door: Door) -> None:
    """A version that cannot be watched from ends a stream that was answered 200."""
    events = await told(watch_of(door, version=10**12), 1)

    assert ["ERROR"] == types(events)
    assert (410, "Expired") == (events[0][1]["code"], events[0][1]["reason"])


async def test_crossing_a_selector_is_coming_and_going(door: Door) -> None:
    """An object that begins or ceases to match is ADDED or DELETED to who watches the selector."""
    made = await make(door.store, "a", tier="gold")
    since = made.metadata.resource_version
    for tier in ("iron", "gold"):
        made.metadata.labels = {"tier": tier}
        made = await door.store.update(made)
    await door.store.delete(Account, "a")
    events = await told(watch_of(door, version=since, labels="tier=gold"), 3)

    assert ["DELETED", "ADDED", "DELETED"] == types(events)
    assert events[0][1]["metadata"]["labels"] == {"tier": "gold"}
    versions = [int(obj["metadata"]["resourceVersion"]) for _, obj in events]
    assert versions == sorted(set(versions))


async def test_a_watch_ends_in_its_time(door: Door) -> None:
    """The timeout is heeded, and the last word is how far the client has seen."""
    made = await make(door.store, "a")
    version = made.metadata.resource_version
    events = await told(watch_of(door, version=version, timeout=1, bookmarks=True), 99)

    assert ["BOOKMARK"] == types(events)


async def collect(batches: AsyncIterator[Batch], count: int) -> list[int]:
    """The versions of the first changes."""
    versions: list[int] = []
    async with asyncio.timeout(10):
        async for batch in batches:
            versions += [change.resource_version for change in batch.changes]
            if len(versions) >= count:
                break
    return versions


async def test_followers_of_every_age_see_the_same(database_url: str) -> None:
    """Who reads from the memory, who fell behind it and who came late all see every change once."""
    async with Store.opened(database_url) as store, Feed(store, keep=5).running() as feed:
        begun = await store.log.newest()
        early = asyncio.create_task(collect(feed.follow(ACCOUNT, begun), 30))
        for number in range(30):
            await make(store, f"a{number}")
        late = await collect(feed.follow(ACCOUNT, begun), 30)
        everything = list(range(begun + 1, begun + 31))

        assert everything == late
        assert everything == await early


async def test_the_feed_outlives_its_reader(database_url: str) -> None:
    """When the reader of the log breaks, followers go on without a gap."""
    async with Store.opened(database_url) as store, Feed(store, keep=5).running() as feed:
        begun = await store.log.newest()
        following = asyncio.create_task(collect(feed.follow(ACCOUNT, begun), 6))
        for number in range(3):
            await make(store, f"a{number}")
        await store.database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        # Whoever gets a dead connection from the pool is told once.
        for _ in range(POOL_SIZE):
            with suppress(psycopg.OperationalError):
                await store.database.fetch("SELECT 1")
        for number in range(3, 6):
            await make(store, f"a{number}")

        assert list(range(begun + 1, begun + 7)) == await following


async def test_a_feed_knows_what_it_cannot_know(database_url: str) -> None:
    """A version that is compacted, or of a restored backup's future, is refused."""
    async with Store.opened(database_url) as store:
        for name in "abc":
            await make(store, name)
        await store.compact(timedelta(seconds=-1))
        async with Feed(store).running() as feed:
            for version in (1, 10**9):
                with pytest.raises(ExpiredError):
                    await anext(feed.follow(None, version))
