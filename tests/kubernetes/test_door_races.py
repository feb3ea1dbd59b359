"""What happens between a read and a write, or while the database is away, loses nothing."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest

from api.kubernetes import watches
from api.kubernetes.feed import Feed
from api.kubernetes.options import Form, ListOptions
from api.kubernetes.rows import RowSource
from api.kubernetes.selectors import Selector
from api.kubernetes.served import Batch
from api.kubernetes.watches import Watch
from crds.account import Account, AccountSpec
from crds.errors import ConflictError, ExpiredError
from crds.meta import ObjectMeta, Resource
from crds.store import Store
from tests.kubernetes.doors import ACCOUNTS, WORKSPACES, Door, account

pytestmark = pytest.mark.anyio

MAIN = f"{WORKSPACES.format('alice')}/main"
OPTIONS = ListOptions(True, None, None, None, None, None, False, 1, None, None)


async def _away() -> bool:
    raise psycopg.OperationalError("gone")


def _watch(door: Door, **options: Any) -> Watch:
    source = RowSource(Account, door.store, door.service.api.feed)
    asked = ListOptions(
        **{name: options.get(name, getattr(OPTIONS, name)) for name in ListOptions.__slots__}
    )
    return Watch(source, Selector(), asked, Form("object"), door.store.clock.now, _away)


async def test_a_watch_outlives_the_database(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever cannot be asked about has done nothing wrong: their watch goes on."""
    monkeypatch.setattr(watches, "CHECK_SECONDS", 0.0)
    await door.ask("POST", ACCOUNTS, account("a"))
    told = []
    async with aclosing(cast("Any", _watch(door).lines())) as lines:
        async for chunk in lines:
            told += [json.loads(line)["object"]["metadata"]["name"] for line in chunk.splitlines()]
            if len(told) == 1:
                await door.ask("POST", ACCOUNTS, account("b"))
            elif told[-1] == "b":
                await door.ask("POST", ACCOUNTS, account("c"))
            else:
                break

    assert ["a", "b", "c"] == told


async def test_a_watch_that_cannot_begin_says_why(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that was answered 200 ends in an event, not in the middle of nothing."""

    async def fail(*_: object, **__: object) -> Any:
        raise psycopg.OperationalError("gone")

    monkeypatch.setattr(Store, "page", fail)
    lines = [line async for line in _watch(door).lines()]
    event = json.loads(lines[0])

    assert ("ERROR", 503) == (event["type"], event["object"]["code"])


async def test_who_follows_is_told_of_a_restored_backup(database_url: str) -> None:
    """Versions that have not been, after all, must not be waited for in silence."""
    async with Store.opened(database_url) as store, Feed(store).running() as feed:
        for name in "abc":
            await _make(store, name)
        since = await store.log.newest()
        following = asyncio.ensure_future(_first(feed, since))
        await asyncio.sleep(0)
        await store.database.execute("DELETE FROM object_log WHERE resource_version > 1")
        # The reader of the log loses its connection with the database that is replaced.
        feed._newest = 0
        feed._wake()

        with pytest.raises(ExpiredError):
            async with asyncio.timeout(10):
                await following


async def _first(feed: Feed, since: int) -> Batch:
    return await anext(feed.follow(None, since))


async def _make(store: Store, name: str) -> None:
    meta = ObjectMeta(name=name)
    await store.create(Account(metadata=meta, spec=AccountSpec(email="a@b.c")))


class _Interrupted:
    """Has somebody be faster, once, before the store deletes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.delete = Store.delete
        self.calls = 0
        monkeypatch.setattr(Store, "delete", self._hooked())

    async def first(self, _: Store, /) -> None:
        """What the other one does."""

    def _hooked(self) -> Any:
        async def delete(
            store: Store, kind: type[Resource], name: str, namespace: str = "", **more: Any
        ) -> Mapping[str, Any] | None:
            self.calls += 1
            if self.calls == 1:
                await self.first(store)
            return await self.delete(store, kind, name, namespace, **more)

        return delete


class _Locked(_Interrupted):
    async def first(self, _: Store) -> None:
        raise ConflictError("somebody's open transaction holds the row")


class _Gone(_Interrupted):
    async def first(self, store: Store) -> None:
        await self.delete(store, Account, "a1")


class _Replaced(_Interrupted):
    async def first(self, store: Store) -> None:
        await self.delete(store, Account, "a1")
        await _make(store, "a1")


async def test_a_row_that_is_held_for_a_moment_is_deleted_all_the_same(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A precondition that holds is not said to fail because somebody looked at the row."""
    made = (await door.ask("POST", ACCOUNTS, account("a1"))).json()
    _Locked(monkeypatch)
    options = {"preconditions": {"uid": made["metadata"]["uid"]}}
    answer = await door.ask("DELETE", f"{ACCOUNTS}/a1", options)

    assert (200, "Success") == (answer.status_code, answer.json()["status"])


@pytest.mark.parametrize("preconditions", [True, False])
async def test_what_took_the_name_is_deleted_only_without_preconditions(
    door: Door,
    monkeypatch: pytest.MonkeyPatch,
    preconditions: bool,  # noqa: FBT001 - a case
) -> None:
    """A uid tells which one is meant; a name means whatever has it."""
    made = (await door.ask("POST", ACCOUNTS, account("a1"))).json()
    _Replaced(monkeypatch)
    options = {"preconditions": {"uid": made["metadata"]["uid"]}} if preconditions else {}
    answer = await door.ask("DELETE", f"{ACCOUNTS}/a1", options)
    left = (await door.ask("GET", ACCOUNTS)).json()["items"]

    assert (409 if preconditions else 200, int(preconditions)) == (answer.status_code, len(left))
    assert all(UUID(each["metadata"]["uid"]) for each in left)


async def test_a_collection_is_deleted_although_others_delete_too(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is gone already is no reason to leave the rest."""
    for name in ("a1", "a2", "a3"):
        await door.ask("POST", ACCOUNTS, account(name))
    _Gone(monkeypatch)
    answer = await door.ask("DELETE", ACCOUNTS)
    left = (await door.ask("GET", ACCOUNTS)).json()["items"]

    assert (200, []) == (answer.status_code, left)


async def test_what_is_rare_is_not_looked_for_one_by_one(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of one of a thousand costs a few statements, not a thousand."""
    for number in range(30):
        await _make(door.store, f"a{number:02}")
    pages = 0
    page = Store.page

    async def counted(*arguments: Any, **more: Any) -> Any:
        nonlocal pages
        pages += 1
        return await page(*arguments, **more)

    monkeypatch.setattr(Store, "page", counted)
    query = "limit=1&labelSelector=nobody=has"
    answer = await door.ask("GET", f"{ACCOUNTS}?{query}")

    assert (1, []) == (pages, answer.json()["items"])
