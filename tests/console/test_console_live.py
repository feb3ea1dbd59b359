"""Streams: only what differs, at most four batches a second, over when the session is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from markupsafe import Markup

from api.console.live import CHECK_SECONDS, GAP_SECONDS, HEARTBEAT_SECONDS, Waker, updates
from api.console.rendering import Rendering
from crds.errors import ConflictError, ExpiredError
from crds.meta import Key
from tests.console.seeds import Citizen
from tests.support.virtual_time import run

ALICE, BRUNO = Citizen("alice"), Citizen("bruno")
KEY = Key("Workspace", "a", "main")


@dataclass
class Page:
    """A page that shows one number, and how often it was looked at."""

    number: int = 0
    looks: int = 0
    period: float = 5.0
    error: Exception | None = None

    def concerns(self, key: Key) -> bool:
        """Only one object's changes."""
        return key == KEY

    async def render(self) -> Rendering:
        """The number, in a region and as a list."""
        self.looks += 1
        if self.error is not None:
            raise self.error
        html = Markup("<p id='a'>{}</p>").format(self.number)
        return Rendering({"a": html, "b": Markup("<p id='b'></p>")}, {"rows": ["b"]})


@dataclass
class Log:
    """A log of changes that a test writes."""

    queue: asyncio.Queue[Collection[Key] | Exception | None] = field(default_factory=asyncio.Queue)
    asked: list[int] = field(default_factory=list)

    async def follow(self, since: int) -> AsyncIterator[Collection[Key]]:
        """What the test puts in; an exception is raised, None is the end."""
        self.asked.append(since)
        while (item := await self.queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    async def newest(self) -> int:
        """Each time a later version."""
        return 10 + len(self.asked)


async def always() -> bool:
    """A session that lives."""
    return True


@asynccontextmanager
async def streaming(
    page: Page, log: Log, *, seen: str = "", alive: Any = always
) -> AsyncIterator[AsyncIterator[bytes]]:
    """A stream of a page."""
    async with (
        Waker(log.follow, log.newest, page.concerns).running() as waker,
        aclosing(updates(page, waker, alive, seen)) as parts,
    ):
        assert (await anext(parts)).startswith(b"retry: ")
        yield parts


def data_of(part: bytes) -> dict[str, Any]:
    """The data of a `patch`."""
    lines = dict(line.split(": ", 1) for line in part.decode().strip().split("\n"))
    assert lines["event"] == "patch"
    found: dict[str, Any] = json.loads(lines["data"])
    return found


class TestUpdates:
    def test_differences_only(self) -> None:
        """The first patch has everything, the next only what differs."""

        async def main() -> list[dict[str, Any]]:
            page, log = Page(), Log()
            async with streaming(page, log) as parts:
                first = data_of(await anext(parts))
                page.number = 1
                log.queue.put_nowait([KEY])
                return [first, data_of(await anext(parts))]

        first, second = run(main, limit_seconds=60)
        assert ({"a", "b"}, {"rows": ["b"]}) == (set(first["regions"]), first["lists"])
        assert {"regions": {"a": "<p id='a'>1</p>"}, "lists": {}} == second

    def test_resumes(self) -> None:
        """Who shows everything already is sent nothing until something differs."""

        async def main() -> tuple[bytes, bytes]:
            page, log = Page(), Log()
            seen = (await page.render()).fingerprint
            async with streaming(page, log, seen=seen) as parts:
                silence = await anext(parts)
            async with streaming(page, log, seen="of another time") as parts:
                return silence, await anext(parts)

        silence, everything = run(main, limit_seconds=60)
        assert b": still here\n\n" == silence
        assert {"a", "b"} == set(data_of(everything)["regions"])

    def test_rate(self) -> None:
        """However often it changes: at most four batches a second, and the last is right."""

        async def main() -> tuple[list[float], dict[str, Any]]:
            page, log = Page(), Log()
            loop = asyncio.get_running_loop()

            async def churn() -> None:
                for _ in range(2000):
                    page.number += 1
                    log.queue.put_nowait([KEY])
                    await asyncio.sleep(0.005)

            task = asyncio.create_task(churn())
            times, last = [], b""
            async with streaming(page, log) as parts:
                async for part in parts:
                    if not part.startswith(b"event: patch"):
                        break
                    times.append(loop.time())
                    last = part
            await task
            return times, data_of(last)

        times, last = run(main, limit_seconds=60)
        gaps = [after - before for before, after in pairwise(times)]
        assert min(gaps) >= GAP_SECONDS - 1e-6
        assert len(times) > 30
        assert "<p id='a'>2000</p>" == last["regions"]["a"]

    def test_others(self) -> None:
        """Changes of what is not shown cost no look: only the period does."""

        async def main() -> int:
            page, log = Page(period=1000), Log()
            async with streaming(page, log) as parts:
                await anext(parts)
                for number in range(100):
                    log.queue.put_nowait([Key("Workspace", "b", str(number))])
                await anext(parts)
            return page.looks

        assert 2 == run(main, limit_seconds=2000)

    def test_looks_anyway(self) -> None:
        """What nobody tells of is found by looking, once a period."""

        async def main() -> float:
            page, log = Page(), Log()
            async with streaming(page, log) as parts:
                await anext(parts)
                page.number = 1
                before = asyncio.get_running_loop().time()
                await anext(parts)
                return asyncio.get_running_loop().time() - before

        assert run(main, limit_seconds=60) == pytest.approx(5 + GAP_SECONDS)

    def test_heartbeat(self) -> None:
        """A quiet stream says every so often that it is there."""

        async def main() -> list[bytes]:
            async with streaming(Page(), Log()) as parts:
                await anext(parts)
                begun = asyncio.get_running_loop().time()
                beats = [await anext(parts) for _ in range(4)]
                assert asyncio.get_running_loop().time() - begun < 4 * (HEARTBEAT_SECONDS + 6)
                return beats

        assert [b": still here\n\n"] * 4 == run(main, limit_seconds=200)

    def test_session_ends(self) -> None:
        """When the session has ended, so does the stream, and says why."""

        async def main() -> tuple[list[bytes], float]:
            asked: list[bool] = [True, False]

            async def alive() -> bool:
                return asked.pop(0)

            async with streaming(Page(), Log(), alive=alive) as parts:
                begun = asyncio.get_running_loop().time()
                found = [part async for part in parts]
                return found, asyncio.get_running_loop().time() - begun

        parts, took = run(main, limit_seconds=200)
        assert b"event: end\ndata: session\n\n" == parts[-1]
        assert 2 * CHECK_SECONDS <= took <= 2 * (CHECK_SECONDS + 6)

    def test_database_away(self) -> None:
        """While the rows cannot be read the stream stays, and goes on afterwards."""

        async def main() -> bytes:
            page, log = Page(error=ConflictError("away")), Log()
            async with streaming(page, log) as parts:
                silence = await anext(parts)
                assert silence.startswith(b":")
                page.error = None
                return await anext(parts)

        assert run(main, limit_seconds=200).startswith(b"event: patch")

    @pytest.mark.parametrize("error", [ExpiredError("compacted"), OSError("broken")])
    def test_feed_lost(self, error: Exception) -> None:
        """A feed that breaks is followed again from the newest version; nothing is missed."""

        async def main() -> tuple[list[int], bytes]:
            page, log = Page(period=1000), Log()
            async with streaming(page, log) as parts:
                await anext(parts)
                log.queue.put_nowait(error)
                page.number = 1
                log.queue.put_nowait([KEY])
                return log.asked, await anext(parts)

        asked, part = run(main, limit_seconds=2000)
        assert "<p id='a'>1</p>" == data_of(part)["regions"]["a"]
        assert 10 == asked[0]

    def test_stopping(self) -> None:
        """When the process stops, the stream ends and says so."""

        async def main() -> bytes:
            log = Log()
            async with streaming(Page(period=1000), log) as parts:
                await anext(parts)
                log.queue.put_nowait(None)
                return [part async for part in parts][-1]

        assert b"event: again\ndata: restart\n\n" == run(main, limit_seconds=60)
