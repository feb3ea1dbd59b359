"""A small hub on a loopback socket, and gateways that connect to it."""

import asyncio
import base64
import hashlib
import json
import struct
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from deploy.gateway.protocol import SOURCE
from deploy.gateway.settings import Multiplexer, Settings

GATEWAY = "6f0d8c62-7a2c-4c59-8a3e-1f9f0b8f6a11"
TOKEN = "a-gateway-token-of-43-characters-or-so"
PATIENCE = 10.0

Message = dict[str, Any]


def _validators() -> dict[str, Draft202012Validator]:
    flows = json.loads((SOURCE / "flows.json").read_text())
    common = json.loads((SOURCE / "common.json").read_text())
    registry: Registry[Any] = Registry().with_resource(
        common["$id"], Resource.from_contents(common)
    )
    names = {*flows["gatewayToHub"], *flows["hubToGateway"]}
    read = {name: json.loads((SOURCE / f"{name}.json").read_text()) for name in names}
    return {name: Draft202012Validator(each, registry=registry) for name, each in read.items()}


VALIDATORS = _validators()
FROM_GATEWAY = json.loads((SOURCE / "flows.json").read_text())["gatewayToHub"]


class Hub:
    """Hears one gateway; every text message is checked against its schema."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.frames: list[tuple[str, int, bytes]] = []
        self.order: list[Message | tuple[str, int, bytes]] = []
        self.connections: list[ServerConnection] = []
        self.refusal = 0
        self.greeting: Callable[[ServerConnection], Any] | None = None
        self._changed = asyncio.Condition()
        self._server: Server | None = None
        self._ids = 0

    @property
    def url(self) -> str:
        """Where gateways connect."""
        assert self._server is not None
        port = next(iter(self._server.sockets)).getsockname()[1]
        return f"ws://127.0.0.1:{port}/gw/connect"

    def settings(self, root: Path, multiplexer: Multiplexer = "pty") -> Settings:
        """Return the settings of a gateway that connects here."""
        return Settings(GATEWAY, TOKEN, self.url, "1.0.0", root, multiplexer=multiplexer)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Hub"]:
        """Serve until the end."""
        async with serve(
            self._hear, "127.0.0.1", 0, process_request=self._admit, compression=None, max_size=None
        ) as self._server:
            yield self

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        bearer = request.headers.get("Authorization")
        known = request.headers.get("X-Gateway-ID") == GATEWAY and bearer == f"Bearer {TOKEN}"
        status = self.refusal or (0 if known else 401)
        return connection.respond(status, "") if status else None

    async def _hear(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        if self.greeting is not None:
            await self.greeting(connection)
        async for content in connection:
            item = self._read(content)
            async with self._changed:
                self.order.append(item)
                if isinstance(item, dict):
                    self.heard.append(item)
                else:
                    self.frames.append(item)
                self._changed.notify_all()

    @staticmethod
    def _read(content: str | bytes) -> Message | tuple[str, int, bytes]:
        if isinstance(content, str):
            message: Message = json.loads(content)
            assert message["type"] in FROM_GATEWAY
            VALIDATORS[message["type"]].validate(message)
            return message
        version, session, sequence = struct.unpack_from(">B16sQ", content)
        assert version == 1
        assert 25 < len(content) <= 65_561
        return str(uuid.UUID(bytes=session)), sequence, content[25:]

    # What a test does

    async def until(self, find: Callable[[], Any]) -> Any:
        """Return what `find` finds, as soon as it does."""
        try:
            async with asyncio.timeout(PATIENCE), self._changed:
                await self._changed.wait_for(find)
        except TimeoutError:
            raise AssertionError(f"not heard; but {str(self.order)[-2000:]}") from None
        return find()

    async def get(self, type_: str, count: int = 1) -> Message:
        """Return the `count`th message of a type, as soon as it is there."""
        await self.until(lambda: len(self.of(type_)) >= count)
        return self.of(type_)[count - 1]

    def of(self, type_: str) -> list[Message]:
        """Return what was heard of a type."""
        return [each for each in self.heard if each["type"] == type_]

    async def send(self, message: Message | str) -> None:
        """Send a message, checked, or a text as it is."""
        if isinstance(message, dict):
            VALIDATORS[message["type"]].validate(message)
            message = json.dumps(message)
        await self.connections[-1].send(message)

    async def ask(self, type_: str, **rest: Any) -> Message:
        """Send a command and return its answer."""
        self._ids += 1
        id_ = rest.pop("id", f"c-{self._ids}")
        before = len(self.answers(id_))
        await self.send({"type": type_, "id": id_, **rest})
        await self.until(lambda: len(self.answers(id_)) > before)
        return self.answers(id_)[before]

    def answers(self, id_: str) -> list[Message]:
        """Return what answered a command."""
        return [each for each in self.heard if each.get("id") == id_]

    async def create(self, session: str, **rest: Any) -> Message:
        """Create a session, a shell unless told."""
        wish = {"title": "t", "agent_type": "shell", "workdir": "/root", **rest}
        return await self.ask("session.create", session_id=session, **wish)

    async def type(self, session: str, data: str) -> None:
        """Type into a session."""
        await self.send({"type": "session.input", "session_id": session, "data": data})

    async def ack(self, session: str, sequence: int) -> None:
        """Say how far a session has been shown."""
        await self.send({"type": "session.ack", "session_id": session, "sequence": sequence})

    def output(self, session: str) -> bytes:
        """Return a session's output, without what was left out."""
        return b"".join(data for of, _, data in self.frames if of == session)

    async def shown(self, session: str, text: bytes) -> bytes:
        """Return a session's output as soon as it holds a text, and ack all of it."""
        await self.until(lambda: text in self.output(session))
        of, sequence, data = next(each for each in reversed(self.frames) if each[0] == session)
        await self.ack(of, sequence + len(data))
        return self.output(session)

    async def snapshot(self, session: str) -> Message:
        """Return a snapshot of a session."""
        return await self.ask("session.snapshot.request", session_id=session)


def public_key(seed: str, comment: str = "ada") -> tuple[str, str]:
    """Return a public key's line and its fingerprint."""
    kind = b"ssh-ed25519"
    secret = hashlib.sha256(seed.encode()).digest()
    blob = b"".join(struct.pack(">I", len(each)) + each for each in (kind, secret))
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    line = f"{kind.decode()} {base64.b64encode(blob).decode()} {comment}"
    return line, f"SHA256:{digest}"
