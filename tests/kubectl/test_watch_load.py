"""Watches miss nothing and repeat nothing: under load, when slow, when cut, when too late."""

import asyncio
import json
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from crds.store import Store
from tests.kubectl.door import Door
from tests.kubectl.load import Load, run

pytestmark = [
    pytest.mark.anyio,
    # An API in a process of its own takes a second to start.
    pytest.mark.slow,
]


@pytest.fixture
def own_door(database_url: str, tmp_path: Path) -> Iterator[Door]:
    """An API of this test's own, which it may kill."""
    with Door(database_url, tmp_path) as door:
        yield door


async def test_a_hundred_watchers_get_every_event_once_and_in_order(own_door: Door) -> None:
    """Whatever the rate, each gets the sequence that was written; a slow one does not matter."""
    result = await run(own_door, Load(watchers=100, slow=1, rate=500, count=1000))

    everything = tuple(result.written)
    assert {everything: 100} == result.fast
    assert {everything: 1} == result.slow
    assert [] == result.errors


async def test_watches_go_on_where_they_were_when_the_api_was_killed(own_door: Door) -> None:
    """After a reconnect with the last version they saw, nothing is missing and nothing double."""

    async def kill_and_restart() -> None:
        await asyncio.to_thread(own_door.stop, signal.SIGKILL)
        await asyncio.to_thread(own_door.start)

    result = await run(
        own_door, Load(watchers=10, slow=0, rate=200, count=600), meanwhile=kill_and_restart
    )

    assert {tuple(result.written): 10} == result.fast
    assert [2] * 10 == result.connections


async def test_a_watch_from_before_the_compaction_is_told_inside_the_stream(
    own_door: Door,
) -> None:
    """The answer is 200 with one ERROR event of a 410 Status: clients then list again."""
    await run(own_door, Load(watchers=0, slow=0, rate=100, count=10, objects=2))
    # A running API may still know the newest changes by itself.
    await asyncio.to_thread(own_door.stop, signal.SIGTERM)
    async with Store.opened(own_door.database_url) as store:
        await store.compact(timedelta(0))
    await asyncio.to_thread(own_door.start)
    with own_door.access.client() as client:
        answer = client.get(
            "/apis/invoker.dev/v1/workspaces", params={"watch": "true", "resourceVersion": "1"}
        )
    (event,) = map(json.loads, answer.text.splitlines())

    assert 200 == answer.status_code
    assert ("ERROR", "Status", 410, "Expired") == (
        event["type"],
        event["object"]["kind"],
        event["object"]["code"],
        event["object"]["reason"],
    )
