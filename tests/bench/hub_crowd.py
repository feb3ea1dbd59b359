"""Gateways and viewers in their hundreds, on one loop: what they send each other and how late."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Self
from uuid import UUID

import aiohttp
from aiohttp import web

FRAME: Final = struct.Struct(">B16sQ")
STAMP: Final = struct.Struct(">Q")
DOMAIN: Final = "localhost"
# Connections that are opened at once: each asks the API about itself.
AT_ONCE: Final = 50
ARRIVAL_SECONDS: Final = 10.0
SNAPSHOT: Final = {"columns": 80, "rows": 24, "data": "$ "}


@dataclass(frozen=True)
class Door:
    """Where a crowd goes in.

    Attributes:
        port: Of workerd.
        ours: Whether the hub is behind it, or a room that passes on what it gets.
    """

    port: int
    ours: bool

    def gateway(self, room: UUID) -> tuple[str, dict[str, str]]:
        """A gateway's address and headers."""
        token = {"authorization": "Bearer a-token-of-the-bench", "x-gateway-id": str(room)}
        path = "/gw/connect" if self.ours else f"/{room}/gateway"
        return self._at(path), {"host": DOMAIN, **token}

    def viewer(self, room: UUID) -> tuple[str, dict[str, str]]:
        """A viewer's address and headers; a room's one session has the room's id."""
        ours = f"/vps/{room}/terminal?session_id={room}"
        path = ours if self.ours else f"/{room}/viewer"
        return self._at(path), {"host": DOMAIN, "cookie": "session=of-the-bench"}

    def _at(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@dataclass(frozen=True)
class Pace:
    """What each gateway sends: so many frames of so many bytes, one in so many seconds."""

    frames: int
    size: int
    every: float


@dataclass
class Turn:
    """Seconds from a gateway's send to a viewer's receipt, one for each arrival.

    Attributes:
        others: Of all viewers of a gateway but the last.
        last: Of the last one, who may be replaced by somebody slow.
    """

    others: list[float] = field(default_factory=list)
    last: list[float] = field(default_factory=list)

    @property
    def every(self) -> list[float]:
        """All of them."""
        return self.others + self.last


class Arrivals:
    """What viewers get."""

    def __init__(self) -> None:
        self.begin(0)

    def begin(self, expected: int) -> None:
        """Forget what came, and expect so many."""
        self._turn, self._missing, self._all = Turn(), expected, asyncio.Event()

    def note(self, seconds: float, *, last: bool) -> None:
        """One has arrived."""
        (self._turn.last if last else self._turn.others).append(seconds)
        self._missing -= 1
        if self._missing == 0:
            self._all.set()

    async def complete(self) -> Turn:
        """Return them once all are there.

        Raises:
            RuntimeError: Some do not come.
        """
        try:
            async with asyncio.timeout(ARRIVAL_SECONDS):
                await self._all.wait()
        except TimeoutError:
            raise RuntimeError(f"{self._missing} frames did not arrive") from None
        return self._turn


class Room:
    """One gateway, its session, and those who watch it."""

    def __init__(self, number: int, door: Door, http: aiohttp.ClientSession) -> None:
        self.id = UUID(int=number + 1, version=4)
        self.door = door
        self.sequence = 0
        self.viewers: list[tuple[aiohttp.ClientWebSocketResponse, asyncio.Task[None]]] = []
        self._http = http

    async def open(self) -> None:
        """Connect the gateway, and say hello."""
        address, headers = self.door.gateway(self.id)
        self.gateway = await self._http.ws_connect(address, headers=headers, max_msg_size=0)
        if self.door.ours:
            session = {"session_id": str(self.id), "sequence": 0}
            hello = {"type": "gateway.hello", "protocol": 1, "version": "1", "sessions": [session]}
            await self.gateway.send_json(hello)
        # It ends with the connection.
        self._answering = asyncio.create_task(self._answer())

    async def join(self, note: Callable[[float], None]) -> None:
        """Let somebody watch, who notes how late each frame is; they have a picture now."""
        socket = await self._connect()
        shown = asyncio.Event()
        self.viewers.append((socket, asyncio.create_task(_watch(self, socket, shown, note))))
        if self.door.ours:
            await shown.wait()

    async def replace_last(self) -> None:
        """Have the last viewer leave, and somebody come who never reads."""
        socket, watching = self.viewers.pop()
        await socket.close()
        await watching
        self.slow = await self._connect()

    async def unread(self) -> int:
        """How many bytes of output wait for the one who never reads."""
        await self.slow.send_str('{"type": "ping"}')
        size = 0
        async for message in self.slow:
            if message.type is aiohttp.WSMsgType.BINARY:
                size += len(message.data) - FRAME.size
            elif '"pong"' in message.data:
                break
        return size

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        address, headers = self.door.viewer(self.id)
        return await self._http.ws_connect(address, headers=headers, max_msg_size=0)

    async def send(self, size: int) -> None:
        """Send a frame with so many bytes of output."""
        stamp = STAMP.pack(time.perf_counter_ns())
        head = FRAME.pack(1, self.id.bytes, self.sequence)
        self.sequence += size
        await self.gateway.send_bytes(head + stamp + bytes(size - STAMP.size))

    async def _answer(self) -> None:
        async for message in self.gateway:
            asked = json.loads(message.data)
            if asked["type"] != "session.snapshot.request":
                continue
            place = {"session_id": str(self.id), "sequence": self.sequence}
            answer = {"type": "session.snapshot", "id": asked["id"], **place, **SNAPSHOT}
            await self.gateway.send_json(answer)


async def _watch(
    room: Room,
    socket: aiohttp.ClientWebSocketResponse,
    shown: asyncio.Event,
    note: Callable[[float], None],
) -> None:
    async for message in socket:
        if message.type is aiohttp.WSMsgType.BINARY:
            (sent,) = STAMP.unpack_from(message.data, FRAME.size)
            note((time.perf_counter_ns() - sent) / 1e9)
            if room.door.ours:
                await socket.send_json(_ack(room, message.data))
        elif '"session.snapshot"' in message.data[:40]:
            shown.set()


def _ack(room: Room, frame: bytes) -> dict[str, object]:
    _, _, sequence = FRAME.unpack_from(frame)
    drawn = sequence + len(frame) - FRAME.size
    return {"type": "session.ack", "session_id": str(room.id), "sequence": drawn}


class Crowd:
    """So many rooms behind one door, each with as many viewers."""

    def __init__(self, door: Door, rooms: list[Room]) -> None:
        self.door = door
        self.rooms = rooms
        self._arrivals = Arrivals()

    @classmethod
    async def gather(
        cls, door: Door, gateways: int, viewers: int, http: aiohttp.ClientSession
    ) -> Self:
        """Have them all come in."""
        rooms = [Room(number, door, http) for number in range(gateways)]
        crowd = cls(door, rooms)
        await _some_at_once(room.open() for room in rooms)
        for number in range(viewers):
            note = partial(crowd._arrivals.note, last=number == viewers - 1)
            await _some_at_once(room.join(note) for room in rooms)
        return crowd

    @property
    def connections(self) -> int:
        """How many there are."""
        return sum(len(room.viewers) + 1 for room in self.rooms)

    async def talk(self, pace: Pace) -> Turn:
        """Have each gateway send frames, evenly apart; return what all viewers got."""
        viewers = sum(len(room.viewers) for room in self.rooms)
        self._arrivals.begin(viewers * pace.frames)
        begin = asyncio.get_running_loop().time() + 0.1
        await asyncio.gather(
            *(
                _send(room, pace, begin + pace.every * number / len(self.rooms))
                for number, room in enumerate(self.rooms)
            )
        )
        return await self._arrivals.complete()

    async def slow_down(self) -> None:
        """Replace a viewer of each gateway by one who never reads."""
        await _some_at_once(room.replace_last() for room in self.rooms)

    async def most_unread(self) -> int:
        """The most bytes that wait for one of those."""
        return max([await room.unread() for room in self.rooms])


async def _send(room: Room, pace: Pace, begin: float) -> None:
    for turn in range(pace.frames):
        await asyncio.sleep(begin + turn * pace.every - asyncio.get_running_loop().time())
        await room.send(pace.size)


async def _some_at_once(work: Iterable[Awaitable[None]]) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(each: Awaitable[None]) -> None:
        async with gate:
            await each

    await asyncio.gather(*(one(each) for each in work))


async def serve_api() -> tuple[web.AppRunner, int]:
    """Serve an API that lets everybody in, and says to whom they belong; returns its port too."""

    async def taken(_: web.Request) -> web.Response:
        return web.Response(status=204)

    async def authorize(request: web.Request) -> web.Response:
        asked = await request.json()
        names = {"gateway": asked["vps"], "session": asked["session"]}
        return web.json_response({**names, "viewer": "viewer", "account": "account"})

    app = web.Application()
    app.router.add_post("/hub/gateways/{gateway}/authentication", taken)
    app.router.add_post("/hub/gateways/{gateway}/observations", taken)
    app.router.add_post("/hub/terminals/authorization", authorize)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port: int = runner.addresses[0][1]
    return runner, port
