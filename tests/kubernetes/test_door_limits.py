"""No client keeps others from being served: not by asking much, nor by taking nothing."""

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest
from starlette.types import Message

from api.kubernetes.errors import ApiError
from api.kubernetes.limits import Limits, Seats
from api.kubernetes.lists import PIECE
from api.kubernetes.streams import Stream
from crds.account import Account, AccountSpec
from crds.meta import ObjectMeta
from tests.api.service import settings
from tests.kubernetes.doors import ACCOUNTS, TABLE, Door, opened

pytestmark = pytest.mark.anyio


async def test_each_has_a_share_and_all_have_a_limit() -> None:
    """One client's requests leave place for others, until there is no place at all."""
    seats = Seats(3, 2, patience_seconds=0)
    first = [await seats.take("a") for _ in range(2)]
    with pytest.raises(ApiError) as refused:
        await seats.take("a")
    await seats.take("b")
    with pytest.raises(ApiError):
        await seats.take("c")
    first[0]()
    await seats.take("c")

    assert (429, "TooManyRequests", 1) == (
        refused.value.code,
        refused.value.reason,
        refused.value.retry_after,
    )


async def test_who_finds_no_place_waits_for_one() -> None:
    """A burst is served one after the other, without anybody having to come back."""
    seats = Seats(1, 1)
    give_back = await seats.take("a")
    waiting = asyncio.create_task(seats.take("a"))
    await asyncio.sleep(0)
    give_back()

    assert callable(await waiting)


async def test_limits_are_settings(database_url: str) -> None:
    """An operator can let in more, or fewer."""
    limits = Limits.of(settings(database_url, INVOKER_KUBERNETES_WATCHES_EACH="1"))
    await limits.watches.take("a")

    with pytest.raises(ApiError):
        await limits.watches.take("a")


async def test_places_are_given_back(database_url: str) -> None:
    """Lists and watches that ended, well or not, take no place any more."""
    one = {"INVOKER_KUBERNETES_WATCHES": "1", "INVOKER_KUBERNETES_REQUESTS": "1"}
    codes = set()
    async with opened(database_url, **one) as door:
        door.service.api.feed.end()
        for query in ("watch=true", "watch=true&resourceVersion=1", "", "continue=x") * 9:
            codes.add((await door.ask("GET", f"{ACCOUNTS}?{query}")).status_code)

    assert {200, 400} == codes


async def _endless() -> AsyncGenerator[bytes, None]:
    while True:
        yield b"x"


async def test_a_client_that_takes_nothing_is_let_go() -> None:
    """A connection whose client sleeps is closed, and its place is free again."""
    left: list[bool] = []
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) > 3:
            await asyncio.Event().wait()

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    stream = Stream(_endless(), lambda: left.append(True), stall_seconds=0.01)
    await stream({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)

    assert [True] == left
    assert all(message.get("more_body", True) for message in sent)


@pytest.mark.parametrize("accept", ["application/json", TABLE])
@pytest.mark.parametrize("count", [0, 1, 2 * PIECE + 1])
async def test_a_list_in_pieces_is_a_list(door: Door, accept: str, count: int) -> None:
    """However many there are, the pieces make what a page of all of them is."""
    await asyncio.gather(
        *(
            door.store.create(
                Account(metadata=ObjectMeta(name=f"a{number}"), spec=AccountSpec(email="a@b.c"))
            )
            for number in range(count)
        )
    )
    whole = await door.ask("GET", ACCOUNTS, headers={"Accept": accept})
    part = "rows" if accept == TABLE else "items"
    names: list[str] = []
    resume = ""
    while True:
        query = f"limit={PIECE}&continue={resume}"
        page = (await door.ask("GET", f"{ACCOUNTS}?{query}", headers={"Accept": accept})).json()
        names += [json.dumps(each) for each in page[part]]
        resume = page["metadata"].get("continue", "")
        if not resume:
            break

    assert names == [json.dumps(each) for each in whole.json()[part]]
    assert page["metadata"] == whole.json()["metadata"]
    assert count == len(names)


async def test_clients_do_not_name_metrics(door: Door) -> None:
    """Whatever paths are asked for, the labels of metrics are few."""
    for number in range(5):
        await door.ask("GET", f"{ACCOUNTS}/x/made-up-{number}")
        await door.ask("GET", f"/apis/made-up-{number}.dev/v1/made-up-{number}")
        await door.ask(
            "POST", f"/apis/authentication.k8s.io/v1/selfsubjectreviews/x/made-up-{number}"
        )

    assert "made-up" not in (await door.ask("GET", "/metrics")).text
