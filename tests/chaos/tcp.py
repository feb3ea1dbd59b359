"""A TCP proxy that can be told to misbehave, for faults between a client and a server."""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from typing import Final, Literal, Self

HOST: Final = "127.0.0.1"
_CHUNK: Final = 65536
# SO_LINGER on with no time: closing sends RST instead of FIN.
_RESET: Final = struct.pack("ii", 1, 0)

Mode = Literal["pass", "slow", "reset", "half-open", "refuse"]


@dataclass(eq=False)
class _Pair:
    """A client's connection and ours to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None

    def abort(self) -> None:
        """Tear both connections down with RST, in the middle of whatever is said."""
        for writer in filter(None, (self.client, self.server)):
            with contextlib.suppress(OSError, AttributeError):
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _RESET
                )
            writer.transport.abort()


class FaultyLink:
    """Passes connections on to a server, as well as its mode lets it.

    | mode | connections |
    | --- | --- |
    | `pass` | are passed on |
    | `slow` | every piece is `latency` seconds late, in both directions |
    | `reset` | end with RST as soon as the client has said something |
    | `half-open` | stay open, and nothing that is said arrives |
    | `refuse` | end at once; those that there were, too |

    Args:
        port: The server's.
        latency: Seconds.
    """

    def __init__(self, port: int, latency: float = 0.5) -> None:
        self.mode: Mode = "pass"
        self._server_port = port
        self._latency = latency
        self._pairs: set[_Pair] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._take, HOST, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for pair in list(self._pairs):
            pair.abort()
        await asyncio.gather(*self._tasks)

    @property
    def url(self) -> str:
        """Where clients connect instead."""
        if self._server is None:
            raise RuntimeError("the link is not open")
        return f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"

    def become(self, mode: Mode) -> None:
        """Change the mode; for `refuse`, connections that are open end, and what was stuck too."""
        stuck = self.mode == "half-open"
        self.mode = mode
        if mode == "refuse" or stuck:
            for pair in list(self._pairs):
                pair.abort()

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._accept(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = _Pair(writer)
        self._pairs.add(pair)
        try:
            if self.mode == "refuse":
                return
            there, pair.server = await asyncio.open_connection(HOST, self._server_port)
            await asyncio.gather(
                self._pump(reader, pair.server, pair), self._pump(there, writer, pair)
            )
        except OSError:
            return  # the server is away
        finally:
            pair.abort()
            self._pairs.discard(pair)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: _Pair
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_CHUNK):
                if self.mode == "reset":
                    break
                if self.mode == "slow":
                    await asyncio.sleep(self._latency)
                if self.mode == "half-open":
                    continue
                writer.write(piece)
                await writer.drain()
        # The other direction ends with it: HTTP has no use for half a connection.
        pair.abort()
