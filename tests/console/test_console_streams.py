"""The console's streams on a real database, as a browser's connection has them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message

from api.console.limits import STREAMS_OF_ONE
from api.console.visitors import SESSION
from tests.console.house import Browser, House
from tests.console.seeds import Citizen, phase, settle

pytestmark = pytest.mark.anyio

ALICE, BRUNO = Citizen("alice"), Citizen("bruno")


def data_of(part: bytes) -> dict[str, Any]:
    """The data of a `patch`."""
    lines = dict(line.split(": ", 1) for line in part.decode().strip().split("\n"))
    assert lines["event"] == "patch"
    found: dict[str, Any] = json.loads(lines["data"])
    return found


class Stream:
    """One open stream of the application.

    Args:
        house: The console.
        browser: Whose session it is.
        path: Its path.
        query: Its query.
    """

    def __init__(self, house: House, browser: Browser, path: str, query: str = "") -> None:
        self.sent: asyncio.Queue[Message] = asyncio.Queue()
        self._gone = asyncio.Event()
        cookie = f"{SESSION}={browser.client.cookies[SESSION]}"
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(b"host", b"console"), (b"cookie", cookie.encode())],
            "scheme": "http",
            "server": ("console", 80),
            "client": ("127.0.0.1", 1),
        }
        self._task = asyncio.create_task(house.app(scope, self._receive, self.sent.put))

    async def _receive(self) -> Message:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def next(self) -> Message:
        """The next part of the answer."""
        async with asyncio.timeout(10):
            return await self.sent.get()

    async def patch(self) -> dict[str, Any]:
        """The data of the next patch."""
        while True:
            body = (await self.next()).get("body", b"")
            if body.startswith(b"event: patch"):
                return data_of(body)

    async def close(self) -> None:
        """The browser goes away."""
        self._gone.set()
        await self._task


class TestStreams:
    async def test_table(self, house: House) -> None:
        """A phase change arrives as one row and the numbers beside it; nothing else is sent."""
        await settle(house.store, [ALICE, BRUNO])
        async with house.browser("support") as browser:
            stream = Stream(house, browser, "/console/live/workspaces")
            head, retry = await stream.next(), await stream.next()
            await stream.patch()
            await phase(house.store, ALICE, "Crashed")
            data = await stream.patch()
            await stream.close()

        headers = dict(head["headers"])
        assert (200, b"retry: 2000\n\n") == (head["status"], retry["body"])
        assert b"text/event-stream" == headers[b"content-type"]
        assert b"default-src 'none'" in headers[b"content-security-policy"]
        rows = [html for name, html in data["regions"].items() if name.startswith("row-")]
        assert (1, True) == (len(rows), "Crashed" in rows[0])
        assert {} == data["lists"]

    async def test_filtered(self, house: House) -> None:
        """What leaves the search leaves the list; what comes in comes with its row."""
        await settle(house.store, [ALICE, BRUNO])
        await phase(house.store, BRUNO, "Crashed")
        async with house.browser("support") as browser:
            stream = Stream(house, browser, "/console/live/workspaces", "phase=Crashed")
            before = await stream.patch()
            await phase(house.store, ALICE, "Crashed")
            more = await stream.patch()
            await phase(house.store, BRUNO, "Running", ready=True)
            less = await stream.patch()
            await stream.close()

        assert [1, 2, 1] == [len(each["lists"]["rows"]) for each in (before, more, less)]
        assert set(more["lists"]["rows"]) - set(before["lists"]["rows"]) <= set(more["regions"])

    @pytest.mark.parametrize(
        "path",
        [
            pytest.param("/console/live", marks=pytest.mark.slow),
            f"/console/live/workspaces/{ALICE.account}/main",
            f"/console/live/accounts/-/{ALICE.account}",
        ],
    )
    async def test_pages(self, house: House, path: str) -> None:
        """Every page's stream tells of a change that it shows.

        Slow for the fleet: its looks are a second apart.
        """
        await settle(house.store, [ALICE])
        async with house.browser("support") as browser:
            stream = Stream(house, browser, path)
            await stream.patch()
            await phase(house.store, ALICE, "Crashed")
            data = await stream.patch()
            await stream.close()

        assert "Crashed" in "".join(data["regions"].values())

    async def test_deleted(self, house: House) -> None:
        """A page whose object goes says so."""
        await settle(house.store, [ALICE])
        async with house.browser("support") as browser:
            stream = Stream(house, browser, "/console/live/routes/-/alice")
            await stream.patch()
            await house.store.database.execute(
                "WITH free AS (UPDATE objects SET finalizers = '{}' WHERE kind = 'Route') SELECT 1"
            )
            await stream.patch()
            await house.store.database.execute("DELETE FROM objects WHERE kind = 'Route'")
            data = await stream.patch()
            await stream.close()

        assert "Gone" in data["regions"]["head"]

    async def test_limited(self, house: House) -> None:
        """One session's streams are limited, and a closed one gives its place back."""
        async with house.browser("support") as browser:
            streams = [Stream(house, browser, "/console/live") for _ in range(STREAMS_OF_ONE)]
            for stream in streams:
                await stream.patch()
            full = Stream(house, browser, "/console/live")
            refused = (await full.next())["status"]
            await streams[0].close()
            freed = Stream(house, browser, "/console/live")
            status = (await freed.next())["status"]
            await freed.patch()
            for stream in (*streams[1:], freed):
                await stream.close()

        assert (429, 200) == (refused, status)
        assert {} == house.desk.streams._of
