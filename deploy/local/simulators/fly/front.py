"""The proxy on a socket: HTTP/1.1 with streaming both ways, upgrades relayed as bytes."""

import asyncio
import contextlib
from collections.abc import Iterable

import h11

from deploy.local.simulators.fly.proxy import FlyProxy, ProxyError
from deploy.local.simulators.fly.state import Machine

_CHUNK = 65536
_SWITCHING = 101
_HOP = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer"})


class Front:
    """Accepts connections for `<app>.fly.dev` and passes each request to a machine."""

    def __init__(self, proxy: FlyProxy) -> None:
        self.proxy = proxy
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port."""
        self._server = await asyncio.start_server(self._serve, host, port)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def aclose(self) -> None:
        """Stop listening."""
        if self._server:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, h11.ProtocolError, EOFError):
            client = _Side(h11.Connection(h11.SERVER), reader, writer)
            while await self._one(client):
                client.http.start_next_cycle()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _one(self, client: "_Side") -> bool:
        """Pass one request on; return whether another may follow on the connection."""
        request = await client.event()
        if not isinstance(request, h11.Request):
            return False
        headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        try:
            machine, upstream = await self._connect(headers)
        except ProxyError as error:
            await client.refuse(error.status, str(error))
            return False
        self.proxy.enter(machine)
        try:
            return await _exchange(client, upstream, request)
        finally:
            self.proxy.leave(machine)
            upstream.writer.close()

    async def _connect(self, headers: dict[str, str]) -> tuple[Machine, "_Side"]:
        host = headers.get("host", "")
        machine, reader, writer = await self.proxy.connect(lambda: self.proxy.pick(host, headers))
        return machine, _Side(h11.Connection(h11.CLIENT), reader, writer)


class _Side:
    """One end of an exchange."""

    def __init__(
        self, http: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.http = http
        self.reader = reader
        self.writer = writer

    async def event(self) -> object:
        """Return what comes next."""
        while True:
            event = self.http.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self.http.they_are_waiting_for_100_continue:
                await self.send(h11.InformationalResponse(status_code=100, headers=[]))
            self.http.receive_data(await self.reader.read(_CHUNK))

    async def send(self, event: h11.Event) -> None:
        """Send an event's bytes."""
        if data := self.http.send(event):
            self.writer.write(data)
            await self.writer.drain()

    async def refuse(self, status: int, text: str) -> None:
        """Answer in the machine's stead."""
        body = text.encode()
        head = [("content-length", str(len(body))), ("connection", "close")]
        await self.send(h11.Response(status_code=status, headers=head))
        await self.send(h11.Data(data=body))
        await self.send(h11.EndOfMessage())


async def _exchange(client: _Side, upstream: _Side, request: h11.Request) -> bool:
    upgrade = any(name == b"upgrade" for name, _ in request.headers)
    headers = list(request.headers) if upgrade else _end_to_end(request.headers)
    if not upgrade:
        headers.append((b"connection", b"close"))
    await upstream.send(h11.Request(method=request.method, target=request.target, headers=headers))
    upload = asyncio.create_task(_upload(client, upstream))
    try:
        return await _download(client, upstream)
    finally:
        upload.cancel()
        await asyncio.gather(upload, return_exceptions=True)


async def _upload(client: _Side, upstream: _Side) -> None:
    while True:
        event = await client.event()
        if isinstance(event, h11.Data | h11.EndOfMessage):
            await upstream.send(event)
        if not isinstance(event, h11.Data):
            return


async def _download(client: _Side, upstream: _Side) -> bool:
    while True:
        event = await upstream.event()
        if isinstance(event, h11.InformationalResponse):
            if event.status_code == _SWITCHING:
                await client.send(event)
                await _relay(client, upstream)
                return False
        elif isinstance(event, h11.Response):
            head = _end_to_end(event.headers)
            await client.send(
                h11.Response(status_code=event.status_code, headers=head, reason=event.reason)
            )
        elif isinstance(event, h11.Data):
            await client.send(event)
        else:
            await client.send(h11.EndOfMessage())
            return client.http.our_state is h11.DONE and client.http.their_state is h11.DONE


async def _relay(client: _Side, upstream: _Side) -> None:
    async def copy(source: _Side, sink: _Side) -> None:
        early, _ = source.http.trailing_data
        sink.writer.write(early)
        while data := await source.reader.read(_CHUNK):
            sink.writer.write(data)
            await sink.writer.drain()
        sink.writer.close()

    copies = copy(client, upstream), copy(upstream, client)
    await asyncio.gather(*copies, return_exceptions=True)


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name.lower() not in _HOP]
