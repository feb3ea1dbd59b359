"""Events to Kubernetes' clients: what we record, what they post, and that no watch misses one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from api.access import Identity
from api.kubernetes.events import EventSource
from api.kubernetes.feed import Feed
from api.kubernetes.served import Change, Wish
from crds.errors import ConflictError, ExpiredError
from crds.store import EventRecord, Store
from tests.kubectl.binaries import AbsentError, kubectl
from tests.kubernetes.doors import ACCOUNTS, TABLE, Door, account
from tests.kubernetes.static_server import Asked, run, serving

pytestmark = pytest.mark.anyio

Json = dict[str, Any]

EVENTS = "/api/v1/namespaces/{}/events"
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
UID = "6c0f9c34-0f3a-4a43-9d39-4f0c9c1a0c55"
WISH = Wish(Identity("token:1:ops", "platform-admin"), "request")


@pytest.fixture
async def door(door: Door) -> Door:
    """The door, with a namespace for events."""
    await door.ask("POST", ACCOUNTS, account("alice"))
    return door


def recorded(
    message: str, at: datetime = NOON, *, uid: UUID | None = None, **more: Any
) -> EventRecord:
    """An event as a controller records it."""
    values = {"namespace": "alice", "kind": "Machine", "name": "main", "type": "Normal"} | more
    uid = uid or uuid4()
    return EventRecord(
        **values, uid=uid, reason="Started", message=message, count=1, first_at=at, last_at=at
    )


def posted(name: str = "main.1", namespace: str = "alice", **more: Any) -> Json:
    """An event as a client posts it."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": {
            "apiVersion": "invoker.dev/v1",
            "kind": "Workspace",
            "namespace": namespace,
            "name": "main",
            "uid": UID,
        },
        "type": "Warning",
        "reason": "LookedAt",
        "message": "Somebody looked at it.",
        "count": 3,
        "firstTimestamp": "2030-01-01T12:00:00Z",
        "lastTimestamp": "2030-01-01T12:10:00Z",
        "source": {"component": "the-tests"},
        **more,
    }


async def test_what_is_recorded_is_listed(door: Door) -> None:
    """An event of ours has all that clients show: the object, the words, the times, the count."""
    uid = uuid4()
    await door.store.events.record([recorded("x", uid=uid), recorded("x", NOON + MINUTE, uid=uid)])
    found = (await door.ask("GET", EVENTS.format("alice"))).json()["items"]

    (event,) = found
    about = {"apiVersion": "invoker.dev/v1", "kind": "Machine", "name": "main"}
    assert about | {"namespace": "alice", "uid": str(uid)} == event["involvedObject"]
    assert ("Started", "x", "Normal", 2) == tuple(
        event[part] for part in ("reason", "message", "type", "count")
    )
    assert ("2030-01-01T12:00:00Z", "2030-01-01T12:01:00Z") == (
        event["firstTimestamp"],
        event["lastTimestamp"],
    )
    name = event["metadata"]["name"]
    assert name.startswith("main.")
    single = await door.ask("GET", f"{EVENTS.format('alice')}/{name}")
    assert event == single.json()


async def test_events_of_cluster_objects_are_in_the_default_namespace(door: Door) -> None:
    """As in any cluster; the object itself has no namespace."""
    await door.store.events.record([recorded("x", namespace="", kind="Account", name="alice")])
    found = (await door.ask("GET", EVENTS.format("default"))).json()["items"]

    assert ["default"] == [event["metadata"]["namespace"] for event in found]
    assert "namespace" not in found[0]["involvedObject"]


async def test_what_is_posted_is_kept(door: Door) -> None:
    """Nothing of an event that a client posts is lost, and its name is taken then."""
    more: Json = {
        "reportingComponent": "kopf",
        "reportingInstance": "dev",
        "action": "Looking",
        "eventTime": "2030-01-01T12:00:00.123456Z",
        "series": {"count": 7, "lastObservedTime": "2030-01-01T12:20:00Z"},
        "related": {"kind": "Machine", "name": "main"},
    }
    body = posted(**more)
    body["metadata"]["labels"] = {"tier": "one"}
    made = await door.ask("POST", EVENTS.format("alice"), body)
    again = await door.ask("POST", EVENTS.format("alice"), body)
    found = (await door.ask("GET", f"{EVENTS.format('alice')}/main.1")).json()

    assert (201, 409) == (made.status_code, again.status_code)
    assert found == made.json()
    assert body | {"count": 7} == {
        **found,
        "metadata": {part: found["metadata"][part] for part in ("name", "namespace", "labels")},
    }


async def test_only_the_name_of_a_prefix_is_made(door: Door) -> None:
    """Clients that let the server name an event may; two of the same words stay two."""
    body = posted()
    body["metadata"] = {"generateName": "main-"}
    names = {
        (await door.ask("POST", EVENTS.format("alice"), body)).json()["metadata"]["name"]
        for _ in range(2)
    }

    assert 2 == len(names)
    assert all(name.startswith("main-") for name in names)


async def test_what_was_never_told_is_filled_in(door: Door) -> None:
    """An event without times or count happened once, when it was posted."""
    body: Json = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "bare"}, "type": ""}
    body |= {"involvedObject": {"kind": "Workspace", "name": "main"}, "count": None}
    made = (await door.ask("POST", EVENTS.format("alice"), body)).json()

    assert ("Normal", 1) == (made["type"], made["count"])
    assert made["firstTimestamp"] == made["lastTimestamp"] == made["metadata"]["creationTimestamp"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "Odd"}, "type"),
        ({"count": -1}, "count"),
        ({"count": 2**31}, "count"),
        ({"count": "3"}, "count"),
        ({"firstTimestamp": "yesterday"}, "firstTimestamp"),
        ({"message": "x" * 5000}, "message"),
        ({"message": 7}, "message"),
        ({"involvedObject": {"namespace": "bob"}}, "involvedObject.namespace"),
        ({"involvedObject": {"name": {"a": 1}}}, "involvedObject.name"),
        ({"source": "me"}, "source"),
        ({"series": {"count": "x"}}, "series.count"),
    ],
)
async def test_what_breaks_a_rule_is_refused(door: Door, change: Json, field: str) -> None:
    """A value of a wrong type, or beyond its bounds, is named."""
    refused = await door.ask("POST", EVENTS.format("alice"), posted(**change))

    assert 422 == refused.status_code
    assert [field] == [cause["field"] for cause in refused.json()["details"]["causes"]]


async def test_a_recorder_raises_the_count(door: Door) -> None:
    """Clients patch an event that recurs, by a merge patch or a strategic one."""
    await door.ask("POST", EVENTS.format("alice"), posted())
    for count, type_ in ((4, "merge-patch+json"), (5, "strategic-merge-patch+json")):
        patch = {"count": count, "lastTimestamp": "2030-01-01T13:00:00Z"}
        path = f"{EVENTS.format('alice')}/main.1"
        assert 200 == (await door.patch(path, patch, type_)).status_code

    found = (await door.ask("GET", f"{EVENTS.format('alice')}/main.1")).json()
    assert (5, "2030-01-01T13:00:00Z") == (found["count"], found["lastTimestamp"])


async def test_a_recorded_event_can_be_patched_and_ours_goes_on(door: Door) -> None:
    """Somebody's annotation on an event of ours does not stop us from recording the next."""
    uid = uuid4()
    await door.store.events.record([recorded("x", uid=uid)])
    (event,) = (await door.ask("GET", EVENTS.format("alice"))).json()["items"]
    path = f"{EVENTS.format('alice')}/{event['metadata']['name']}"
    patched = await door.patch(path, {"metadata": {"annotations": {"seen": "yes"}}})
    await door.store.events.record([recorded("x", NOON + MINUTE, uid=uid)])

    assert {"seen": "yes"} == patched.json()["metadata"]["annotations"]
    assert event["involvedObject"] == patched.json()["involvedObject"]
    assert [1, 1] == [each.count for each in await door.store.events.list(uid=uid)]


async def test_events_are_selected_as_describe_does(door: Door) -> None:
    """By the object's uid, name, kind and version, by reason, and by type."""
    await door.ask("POST", EVENTS.format("alice"), posted())
    await door.store.events.record([recorded("x")])
    selectors = {
        f"involvedObject.uid={UID}": 1,
        "involvedObject.name=main,involvedObject.kind=Workspace": 1,
        "involvedObject.apiVersion=invoker.dev/v1,involvedObject.namespace=alice": 2,
        "reason=Started": 1,
        "type!=Warning": 1,
        "involvedObject.name=other": 0,
    }

    for selector, expected in selectors.items():
        params = {"fieldSelector": selector}
        found = (await door.ask("GET", "/api/v1/events", params=params)).json()["items"]
        assert expected == len(found), selector


async def test_a_table_shows_what_happened_to_what(door: Door) -> None:
    """As kubectl prints events: without a name in front, the object as kind and name."""
    await door.ask("POST", EVENTS.format("alice"), posted())
    found = (await door.ask("GET", EVENTS.format("alice"), headers={"Accept": TABLE})).json()

    narrow = [n for n, each in enumerate(found["columnDefinitions"]) if not each["priority"]]
    assert ["Last Seen", "Type", "Reason", "Object", "Message"] == [
        found["columnDefinitions"][n]["name"] for n in narrow
    ]
    assert ["Warning", "LookedAt", "workspace/main", "Somebody looked at it."] == [
        found["rows"][0]["cells"][n] for n in narrow[1:]
    ]


async def test_events_are_not_deleted(door: Door) -> None:
    """They expire; nobody takes one away."""
    await door.ask("POST", EVENTS.format("alice"), posted())
    refused = await door.ask("DELETE", f"{EVENTS.format('alice')}/main.1")

    assert refused.status_code in (403, 405)


async def test_a_dry_run_keeps_nothing(door: Door) -> None:
    """The answer is as if it had been posted."""
    made = await door.ask("POST", EVENTS.format("alice"), posted(), params={"dryRun": "All"})

    assert 201 == made.status_code
    assert [] == (await door.ask("GET", EVENTS.format("alice"))).json()["items"]


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A store on a fresh database."""
    async with Store.opened(database_url) as opened:
        yield opened


async def first(source: EventSource, since: int, count: int) -> list[Change]:
    """The first changes after a version."""
    found: list[Change] = []
    async with asyncio.timeout(10), aclosing(source.changes(since)) as batches:  # type: ignore[type-var]  # it is a generator
        async for batch in batches:
            found += batch.changes
            assert [*found] == sorted(found, key=lambda change: change.resource_version)
            if len(found) >= count:
                break
    return found


def source_of(store: Store) -> EventSource:
    """A source that looks often."""
    return EventSource(store, Feed(store), poll_seconds=0.01)


async def test_a_watch_tells_what_is_new_and_what_recurs(store: Store) -> None:
    """One that happens for the first time since the list is added, else modified."""
    source, uid = source_of(store), uuid4()
    await store.events.record([recorded("x", uid=uid)])
    _, since = await source.snapshot(None)
    watching = asyncio.create_task(first(source, since, 2))
    await store.events.record([recorded("x", uid=uid), recorded("y")])

    assert [("MODIFIED", 2), ("ADDED", 1)] == [
        (change.type, change.object["count"]) for change in await watching
    ]


async def test_no_event_is_missed_that_commits_late(store: Store, database_url: str) -> None:
    """Two writers at once: who began first and commits last is not overtaken."""
    source = source_of(store)
    insert = (
        "INSERT INTO events (namespace, kind, name, uid, type, reason, message, first_at, last_at)"
        " VALUES ('a', 'Machine', 'main', gen_random_uuid(), 'Normal', 'Slow', 'x', now(), now())"
    )
    async with await psycopg.AsyncConnection.connect(database_url) as slow:
        await slow.execute(insert)
        _, since = await source.snapshot(None)
        watching = asyncio.create_task(first(source, since, 2))
        quick = asyncio.create_task(store.events.record([recorded("quick")]))
        await _until_somebody_waits(store)
        before = [await store.events.newest(), quick.done(), watching.done()]
        await slow.commit()
    await quick

    assert [since, False, False] == before
    changes = await watching
    assert ["Slow", "Started"] == [change.object["reason"] for change in changes]
    assert since < changes[0].resource_version < changes[1].resource_version


async def _until_somebody_waits(store: Store) -> None:
    async with asyncio.timeout(5):
        query = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not await store.database.fetch(query):  # noqa: ASYNC110 - locks tell nobody
            await asyncio.sleep(0.01)


async def test_versions_are_never_given_back(store: Store) -> None:
    """After everything has expired, a watch from the last list goes on."""
    source = source_of(store)
    await store.events.record([recorded("x"), recorded("y")])
    _, before = await source.snapshot(None)
    await store.events.expire(NOON + 2 * MINUTE, MINUTE)
    _, since = await source.snapshot(None)
    await store.events.record([recorded("z")])

    assert before == since
    assert ["z"] == [each.object["message"] for each in await first(source, since, 1)]


async def test_a_version_that_is_not_there_yet_is_refused(store: Store) -> None:
    """After a restore from a backup clients list again."""
    with pytest.raises(ExpiredError):
        await first(source_of(store), 99, 1)


async def test_pages_go_on_where_they_ended(store: Store) -> None:
    """By namespace and name, those about cluster objects under `default`."""
    source = source_of(store)
    for name, namespace in (("b", "alice"), ("a", "default"), ("a", "zoe"), ("c", "alice")):
        await source.create(posted(name, namespace), WISH)
    every, version = await source.snapshot(None)
    page, same = await source.snapshot(None, after=("alice", "c"), limit=1)

    keys = [(each["metadata"]["namespace"], each["metadata"]["name"]) for each in every]
    assert [("alice", "b"), ("alice", "c"), ("default", "a"), ("zoe", "a")] == keys
    assert every[2:3] == page
    assert version == same
    assert every[:2] == (await source.snapshot("alice"))[0]


async def test_a_write_over_a_newer_event_is_refused(store: Store) -> None:
    """Whoever read an old state reads again."""
    source = source_of(store)
    old = await source.create(posted(), WISH)
    await source.replace(posted(count=4), old, WISH)

    with pytest.raises(ConflictError):
        await source.replace(posted(count=5), old, WISH)


async def test_many_watchers_share_a_look(store: Store) -> None:
    """However many watch, the database is asked for the newest version once a period."""
    source = EventSource(store, Feed(store), poll_seconds=60)
    looks = [await source._look() for _ in range(3)]
    await store.events.record([recorded("x")])

    assert [0, 0, 0, 0] == [*looks, await source._look()]


async def test_watches_end_with_the_process(store: Store) -> None:
    """A process that stops does not wait for those who watch."""
    feed = Feed(store)
    source = EventSource(store, feed, poll_seconds=0.01)
    watching = asyncio.create_task(first(source, 0, 1))
    feed.end()

    assert [] == await watching


@pytest.mark.parametrize("version", ["1.32", "1.37"])
def test_kubectl_asks_the_core_group_for_events(version: str, tmp_path: Path) -> None:
    """Both of kubectl's commands for events read the core group's: no other has to be served."""
    try:
        binary = kubectl(version)
    except AbsentError as error:
        pytest.skip(str(error))

    def answer(asked: Asked) -> tuple[int, Json]:
        assert asked.path == "/api/v1/namespaces/alice/events"
        return 200, {"apiVersion": "v1", "kind": "EventList", "metadata": {}, "items": [posted()]}

    with serving([EventSource.served], answer) as server:
        for words in ("events -n alice", "get events -n alice -o name"):
            done = run(binary, server, tmp_path, *words.split())
            assert (0, True) == (done.returncode, "main" in done.stdout), done.stderr
