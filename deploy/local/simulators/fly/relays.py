"""The private network: names of apps and machines, led to relays on this computer.

Before a process sees a text, every `<app>.flycast:<port>` and
`<machine>.vm.<app>.internal:<port>` in it becomes `127.0.0.1:<relay>`;
`http://<app>.flycast` without a port means port 80.
The port may also stand alone in the next line, as scripts read their input.
A name without a port elsewhere stays as it is, and leads nowhere.
"""

import asyncio
import contextlib
import re
from dataclasses import dataclass

from deploy.local.simulators.fly.proxy import FlyProxy, ProxyError
from deploy.local.simulators.fly.state import Machine

_HOST = "127.0.0.1"
_HTTP_PORT = 80
_CHUNK = 65536
_APP = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_BEFORE, _AFTER = r"(?<![\w.-])", r"(?![\w-]|\.\w)"
_NAMES = re.compile(
    rf"{_BEFORE}(?:(?P<machine>[0-9a-z]+)\.vm\.(?P<of>{_APP})\.internal"
    rf"|(?P<app>{_APP})\.flycast){_AFTER}(?:(?P<between>:|\n)(?P<port>\d+)\b)?"
)


@dataclass(frozen=True, slots=True)
class _Place:
    """What a name means: an app by the proxy, or (with `machine`) a machine past it."""

    network: str
    app: str
    machine: str
    port: int


class Relays:
    """Listens on the loopback for every private name that somebody was told.

    Args:
        proxy: Picks machines for Flycast, and counts what is under way at them.
    """

    def __init__(self, proxy: FlyProxy) -> None:
        self.proxy = proxy
        self._servers: dict[_Place, tuple[asyncio.Server, int]] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    async def named(self, app: str, text: str) -> str:
        """Return a text with the private names that it holds led to relays.

        Args:
            app: The app that will read it; its network decides what the names lead to.
            text: A variable, a file, an argument or an input.
        """
        known = self.proxy.cloud.apps.get(app)
        parts, end = [], 0
        for found in _NAMES.finditer(text):
            place = _place(found, known.network if known else "")
            if place is not None:
                between = found["between"] or ":"
                parts += [text[end : found.start()], f"{_HOST}{between}{await self._port(place)}"]
                end = found.end()
        return "".join([*parts, text[end:]])

    async def aclose(self) -> None:
        """Stop listening and end what is under way."""
        for server, _ in self._servers.values():
            server.close()
        self._servers.clear()
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _port(self, place: _Place) -> int:
        known = self._servers.get(place)
        if known is None:

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await self._serve(place, reader, writer)

            server = await asyncio.start_server(serve, _HOST, 0)
            # Two texts may name the same place at once: the first one's relay serves both.
            known = self._servers.setdefault(place, (server, server.sockets[0].getsockname()[1]))
            if known[0] is not server:
                server.close()
        return known[1]

    async def _serve(
        self, place: _Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine of a server runs in one
        self._under_way.add(task)
        try:
            with contextlib.suppress(OSError, ProxyError):
                await self._pass_on(place, reader, writer)
        finally:
            self._under_way.discard(task)
            writer.close()

    async def _pass_on(
        self, place: _Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        machine, upstream, downstream = await self.proxy.connect(lambda: self._pick(place))
        # What goes straight to a machine is not seen by the proxy, and does not keep it awake.
        counted = not place.machine
        if counted:
            self.proxy.enter(machine)
        try:
            await asyncio.gather(_copy(reader, downstream), _copy(upstream, writer))
        finally:
            downstream.close()
            if counted:
                self.proxy.leave(machine)

    async def _pick(self, place: _Place) -> Machine:
        if not place.machine:
            return await self.proxy.pick_private(place.network, place.app, place.port)
        cloud = self.proxy.cloud
        machine = cloud.machines.get(place.machine)
        app = cloud.apps.get(place.app)
        if machine is None or app is None or machine.app != app.name:
            raise ProxyError(404, "no such host")
        if app.network != place.network or machine.state != "started":
            raise ProxyError(503, "nobody answers there")
        return machine


def _place(found: re.Match[str], network: str) -> _Place | None:
    port = found["port"]
    if port is None:
        if not found["app"] or not found.string[: found.start()].endswith("http://"):
            return None
        port = str(_HTTP_PORT)
    return _Place(network, found["app"] or found["of"], found["machine"] or "", int(port))


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Pass bytes on until the source has no more, and then say so to the sink only."""
    try:
        while data := await source.read(_CHUNK):
            sink.write(data)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()
    except OSError:
        # The one side is gone: what the other still says has no reader.
        sink.close()
