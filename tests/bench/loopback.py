"""A provider that does nothing: answers every request with the same JSON. `loopback.py BODY`."""

from __future__ import annotations

import asyncio
import sys
from typing import cast

from tests.bench.stage import run

HEAD = (
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nfly-request-id: 01J\r\n"
    "content-length: {}\r\n\r\n"
)


class Answer(asyncio.Protocol):
    """Answers a GET at its empty line, without reading it."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer once for every head."""
        *heads, self._rest = (self._rest + data).split(b"\r\n\r\n")
        if heads:
            self._transport.write(self._answer * len(heads))


async def main(body: bytes) -> None:
    """Serve until killed; says the port."""
    answer = HEAD.format(len(body)).encode() + body
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answer(answer), "127.0.0.1", 0)
    sys.stdout.write(f"ready\n{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    run(main(sys.argv[1].encode()))
