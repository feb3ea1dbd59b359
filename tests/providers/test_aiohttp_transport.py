import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from controller.providers import Call, Gear, Unavailable, aiohttp_transport
from controller.providers.fly import Fly
from tests.providers.fakes import TOKEN, ample

pytestmark = pytest.mark.anyio

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@asynccontextmanager
async def server(*answers: bytes) -> AsyncIterator[tuple[int, list[str]]]:
    """Serve one connection's requests with these answers; an empty one hangs up."""
    asked, script = list[str](), list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            asked.append(head.lstrip(b"{}").split(b" ", 1)[0].decode())
            answer = script.pop(0) if script else b""
            if not answer:
                break
            writer.write(answer)
            await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1], asked
    finally:
        listening.close()
        await listening.wait_closed()


def fly(port: int) -> Fly:
    """Return a client over a real socket."""
    return Fly(
        aiohttp_transport(),
        token=TOKEN,
        org="acme",
        base_url=f"http://127.0.0.1:{port}",
        gear=Gear(budget=ample()),
    )


async def test_a_kept_connection_that_breaks_repeats_no_mutation() -> None:
    """A DELETE whose connection breaks is sent once, and its outcome is unknown."""
    async with server(ANSWER, b"") as (port, asked), fly(port) as client:
        await client.stop_machine("app", "m", call=Call())
        with pytest.raises(Unavailable) as caught:
            await client.destroy_machine("app", "m", call=Call())

    assert asked == ["POST", "DELETE"]
    assert (caught.value.sent, caught.value.outcome_unknown) == (True, True)


async def test_a_refused_connection_sent_nothing() -> None:
    """Where nobody listens, nothing can have happened."""
    async with server() as (port, _):
        pass
    async with fly(port) as client:
        with pytest.raises(Unavailable) as caught:
            await client.stop_machine("app", "m", call=Call())

    assert (caught.value.sent, caught.value.outcome_unknown) == (False, False)
