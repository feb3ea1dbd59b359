"""The faulty link itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from tests.chaos.tcp import HOST, FaultyLink, Mode

pytestmark = pytest.mark.anyio


@pytest.fixture
async def link() -> AsyncIterator[FaultyLink]:
    """A link to a server that says everything back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(100):
                writer.write(piece)
        writer.close()

    server = await asyncio.start_server(echo, HOST, 0)
    async with server, FaultyLink(server.sockets[0].getsockname()[1], latency=0.05) as link:
        yield link


async def _say(link: FaultyLink, patience: float = 5) -> str:
    """Say something over a new connection and tell what came of it."""
    host, _, port = link.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(b"hello")
        answer = await asyncio.wait_for(reader.read(100), patience)
    except TimeoutError:
        return "silence"
    except ConnectionResetError:
        return "reset"
    finally:
        writer.transport.abort()
    return answer.decode() or "end"


@pytest.mark.parametrize(
    ("mode", "outcomes"),
    [
        ("pass", {"hello"}),
        ("slow", {"hello"}),
        ("reset", {"reset"}),
        # Whether the end or the reset is seen first is the kernel's to say.
        ("refuse", {"reset", "end"}),
    ],
)
async def test_modes(link: FaultyLink, mode: Mode, outcomes: set[str]) -> None:
    """Each mode does to a connection what it says."""
    link.become(mode)

    assert await _say(link) in outcomes


async def test_half_open(link: FaultyLink) -> None:
    """What is said into a half-open connection is lost; when it heals, the connection is gone."""
    link.become("half-open")
    told = asyncio.create_task(_say(link))
    silence = await _say(link, patience=0.1)
    link.become("pass")

    assert "silence" == silence
    assert "reset" == await told
    assert "hello" == await _say(link)
