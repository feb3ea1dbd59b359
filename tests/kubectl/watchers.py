"""A process with many watches over TLS, which remembers the versions that each was sent."""

import asyncio
import json
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httptools
import uvloop

from tests.kubectl.door import Access

# One in each event. To decode a hundred thousand objects a second would take more than a machine.
_VERSION: Final = re.compile(rb'"resourceVersion": ?"(\d+)"')
_ERROR: Final = re.compile(rb'"type": ?"ERROR"')
_READ_BYTES: Final = 2**18
_RECONNECT_SECONDS: Final = 0.05


class Watcher:
    """One watch that begins anew where it was cut.

    Attributes:
        versions: The version of every event, in the order of arrival.
        connections: How often it was let in.
        errors: The ERROR events.
    """

    def __init__(self, access: Access, path: str, since: int) -> None:
        self._access = access
        self._path = path
        self._last = since
        self._rest = b""
        self._parser = httptools.HttpResponseParser(self)
        self.versions: list[int] = []
        self.connections = 0
        self.errors: list[str] = []
        self.let_in = asyncio.Event()

    async def follow(self, until: asyncio.Future[int], reads: asyncio.Event) -> None:
        """Follow changes until a version that is told later; read only once `reads` is set."""
        while not self._is_over(until):
            with suppress(OSError, asyncio.IncompleteReadError, httptools.HttpParserError):
                await self._connection(until, reads)
            if not self._is_over(until):
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _connection(self, until: asyncio.Future[int], reads: asyncio.Event) -> None:
        server = urlsplit(self._access.server)
        reader, writer = await asyncio.open_connection(
            server.hostname, server.port, ssl=self._access.tls, limit=_READ_BYTES
        )
        try:
            writer.write(self._request(server.netloc))
            self._rest = b""
            self._parser = httptools.HttpResponseParser(self)
            # The head comes at once, changes or none.
            self._parser.feed_data(await reader.readuntil(b"\r\n\r\n"))
            if self._parser.get_status_code() != 200:
                raise ConnectionRefusedError(self._parser.get_status_code())
            self.connections += 1
            self.let_in.set()
            await reads.wait()
            await self._events(reader, until)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _events(self, reader: asyncio.StreamReader, until: asyncio.Future[int]) -> None:
        while not self._is_over(until):
            reading = asyncio.ensure_future(reader.read(_READ_BYTES))
            await asyncio.wait(
                (reading, until) if not until.done() else (reading,),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not reading.done() and self._is_over(until):
                reading.cancel()
                return
            chunk = await reading
            if not chunk:
                return
            self._parser.feed_data(chunk)

    def on_body(self, body: bytes) -> None:
        """Take note of whole lines; the parser calls this."""
        whole, newline, self._rest = (self._rest + body).rpartition(b"\n")
        if not newline:
            return
        if _ERROR.search(whole):
            self.errors.append(whole.decode())
            return
        found = [int(match) for match in _VERSION.findall(whole)]
        self.versions += found
        self._last = found[-1] if found else self._last

    def _is_over(self, until: asyncio.Future[int]) -> bool:
        return bool(self.errors) or (until.done() and self._last >= until.result())

    def _request(self, host: str) -> bytes:
        joint = "&" if "?" in self._path else "?"
        return (
            f"GET {self._path}{joint}watch=true&resourceVersion={self._last} HTTP/1.1\r\n"
            f"Host: {host}\r\nAuthorization: Bearer {self._access.token}\r\n"
            "Accept: application/json\r\n\r\n"
        ).encode()


async def main(kubeconfig: Path, path: str, since: int, count: int, slow: int) -> None:
    """Watch; say when all are let in; wait for the last version; say what each was sent.

    The slow ones do not read before all others are through.
    """
    access = Access.read(kubeconfig)
    until: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    at_once, later = asyncio.Event(), asyncio.Event()
    at_once.set()
    watchers = [Watcher(access, path, since) for _ in range(count + slow)]
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(watcher.follow(until, at_once if number < count else later))
            for number, watcher in enumerate(watchers)
        ]
        for watcher in watchers:
            await watcher.let_in.wait()
        _say({"ready": True})
        until.set_result(int(await asyncio.to_thread(sys.stdin.readline)))
        if count:
            await asyncio.wait(tasks[:count])
        _say(_summary(watchers[:count]))
        later.set()
    _say(_summary(watchers[count:]))


def _summary(watchers: list[Watcher]) -> dict[str, object]:
    """What they were sent, each different sequence once."""
    counts: dict[tuple[int, ...], int] = {}
    for watcher in watchers:
        sent = tuple(watcher.versions)
        counts[sent] = counts.get(sent, 0) + 1
    return {
        "sequences": [{"versions": sent, "watchers": count} for sent, count in counts.items()],
        "connections": [watcher.connections for watcher in watchers],
        "errors": [error for watcher in watchers for error in watcher.errors],
    }


def _say(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _kubeconfig, _path, *_numbers = sys.argv[1:]
    uvloop.run(main(Path(_kubeconfig), _path, *map(int, _numbers)))
