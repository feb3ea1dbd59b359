"""The gateway hub, in memory: gateways connect to it, the control plane sends commands to it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Final, Literal, NamedTuple
from uuid import UUID, uuid4

from deploy.local.simulators.clock import Now, wall_anchored
from deploy.local.simulators.gateways.control import EDGE_TOKEN
from deploy.local.simulators.gateways.link import Link, NotTakenError
from deploy.local.simulators.gateways.outbox import Outbox, Sink
from deploy.local.simulators.gateways.relay import Relay
from deploy.local.simulators.gateways.words import (
    ANSWERS,
    COMMAND_BODY,
    GRACE_SECONDS,
    HELLO_SECONDS,
    OBSERVED,
    POLICY,
    PROTOCOL,
    REPLACED,
    SILENCE_SECONDS,
    UNKNOWN,
    Message,
)
from deploy.local.simulators.wire import Answer, Call, json_answer

Authenticate = Callable[[UUID, str], Awaitable[int]]
"""Whether a token is a gateway's: 204, 401 for a wrong one, 404 without such a gateway."""
Check = Callable[[Message], None]
"""Raises a ValueError that says what is wrong with a message."""

GOOD: Final = 204
_COMMANDS = re.compile(r"/hub/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/commands")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OWN = "hub."


class Trouble(NamedTuple):
    """Why there is no answer, as problem details (RFC 9457)."""

    status: int
    code: str
    detail: str


TROUBLES: Final = {
    "unauthenticated": Trouble(401, "unauthenticated", "Show a valid credential."),
    "not-found": Trouble(404, "not-found", "There is no such thing."),
    "method-not-allowed": Trouble(405, "method-not-allowed", "Commands are posted."),
    "conflict": Trouble(409, "conflict", "Take a new id for a new command."),
    "too-large": Trouble(413, "too-large", "The command is too large."),
    "busy": Trouble(429, "busy", "Too many commands wait for this gateway."),
    "offline": Trouble(503, "gateway-offline", "The gateway is not connected."),
    "lost": Trouble(503, "gateway-lost", "Whether the command was carried out is not known."),
    "timeout": Trouble(504, "gateway-timeout", "The gateway did not answer within 10 s."),
}


class Sent(NamedTuple):
    """A command that went to a gateway.

    Attributes:
        at: Unix seconds.
        gateway: Which one.
        message: The command.
    """

    at: float
    gateway: UUID
    message: Message


def _accept(_: Message) -> None:
    """Find nothing wrong."""


class Hub:
    """Answers `POST /hub/{gateway}/commands`, takes gateways' connections, and reports.

    Args:
        sink: Where observations go.
        authenticate: Whose token it is.
        now: Unix seconds; the running loop's by default.
        token: What the control plane has to show.
        check: Finds what is wrong with messages, by the protocol's schemas;
            without it only a command's type and id are looked at.

    Attributes:
        sent: Every command that went to a gateway, oldest first.
        complaints: What was wrong with gateways' messages.
    """

    def __init__(
        self,
        sink: Sink,
        authenticate: Authenticate,
        *,
        now: Now | None = None,
        token: str = EDGE_TOKEN,
        check: Check = _accept,
    ) -> None:
        self.sink = sink
        self.authenticate = authenticate
        self.now = now or wall_anchored()
        self.token = token
        self.check = check
        self.sent: list[Sent] = []
        self.complaints: list[str] = []
        self._hubs: dict[UUID, _GatewayHub] = {}

    async def __call__(self, call: Call) -> Answer:
        """Answer a call of the control plane."""
        verdict = await self._relay(call)
        if isinstance(verdict, Trouble):
            return _refuse(verdict)
        return json_answer(verdict, headers={"cache-control": "no-store"})

    async def connect(self, gateway: UUID, token: str) -> Link:
        """Take a gateway's connection.

        Raises:
            NotTakenError: With the status that a gateway is answered.
        """
        try:
            status = await self.authenticate(gateway, token)
        except Exception as error:
            raise NotTakenError(503) from error
        if status != GOOD:
            raise NotTakenError(status)
        return self._hub(gateway).accept()

    def is_connected(self, gateway: UUID) -> bool:
        """Whether a gateway is connected and has said hello."""
        return self._hub(gateway).ready() is not None

    def of_type(self, *types: str) -> list[Message]:
        """The commands of these types that went to gateways."""
        return [each.message for each in self.sent if each.message["type"] in types]

    async def aclose(self) -> None:
        """Stop; nothing more is reported."""
        for hub in self._hubs.values():
            await hub.aclose()

    def _hub(self, gateway: UUID) -> _GatewayHub:
        if gateway not in self._hubs:
            self._hubs[gateway] = _GatewayHub(self, gateway)
        return self._hubs[gateway]

    async def _relay(self, call: Call) -> Message | Trouble:
        """Send a command on: the gateway's answer, or why there is none."""
        found = _COMMANDS.fullmatch(call.path)
        if found is None:
            return TROUBLES["not-found"]
        if call.headers.get("authorization", "") != f"Bearer {self.token}":
            return TROUBLES["unauthenticated"]
        if call.method != "POST":
            return TROUBLES["method-not-allowed"]
        if len(call.body) > COMMAND_BODY:
            return TROUBLES["too-large"]
        try:
            command = self._command(call)
        except ValueError as error:
            return Trouble(400, "bad-command", str(error))
        verdict = await self._hub(UUID(found[1])).command(command)
        return TROUBLES[verdict] if isinstance(verdict, str) else verdict

    def _command(self, call: Call) -> Message:
        """Read a command.

        Raises:
            ValueError: It is none; with the field and the rule.
        """
        try:
            given = call.json()
        except ValueError:
            raise ValueError("the body is not JSON") from None
        if not isinstance(given, dict) or given.get("type") not in ANSWERS:
            raise ValueError("type: is none of a command")
        command = {"id": str(uuid4()), **given}
        if not isinstance(command["id"], str) or not _ID.fullmatch(command["id"]):
            raise ValueError("id: is not what the pattern asks for")
        if command["id"].startswith(_OWN):
            raise ValueError(f"id: those that begin with {_OWN} are the hub's own")
        self.check(command)
        return command


class _GatewayHub:
    """The hub of one gateway: its connection, its commands, what is to be reported of it."""

    def __init__(self, hub: Hub, gateway: UUID) -> None:
        self._hub = hub
        self._gateway = gateway
        self._phase: Literal["offline", "online", "grace"] = "offline"
        self._link: Link | None = None
        self._relay = Relay(hub.now)
        self._outbox = Outbox(gateway, hub.sink, hub.now, self._forget)
        self._timer: asyncio.TimerHandle | None = None

    async def command(self, command: Message) -> Message | str:
        """Send a command on."""
        return await self._relay.run(command, self.ready(), self._note)

    def ready(self) -> Link | None:
        """The connection that holds, once it has said hello."""
        return self._link if self._link is not None and self._link.greeted else None

    def accept(self) -> Link:
        """Take a new connection; an older one ends, because the gateway has given it up."""
        older, before = self._link, self._phase
        link = Link(self._hear, self._gone, self._hub.now())
        self._link, self._phase = link, "online"
        if older is not None:
            older.end(REPLACED)
            self._relay.lose()
        if before == "offline":
            self._outbox.add("connected", None)
        self._wait(HELLO_SECONDS, self._check_silence)
        return link

    async def aclose(self) -> None:
        """Report nothing more."""
        self._stop_waiting()
        await self._outbox.aclose()

    def _note(self, message: Message) -> None:
        self._hub.sent.append(Sent(self._hub.now(), self._gateway, message))

    def _hear(self, link: Link, message: Message) -> None:
        if link is not self._link:
            return
        link.heard = self._hub.now()
        try:
            self._hub.check(message)
        except ValueError as error:
            self._hub.complaints.append(str(error))
            return
        if message["type"] == "gateway.hello":
            self._greet(link, message)
        elif not link.greeted:
            self._hub.complaints.append("gateway.hello comes first")
        elif message["type"] in OBSERVED:
            self._outbox.add(message["type"], message)
        elif "id" in message:
            self._relay.answer(message)

    def _greet(self, link: Link, message: Message) -> None:
        if message["protocol"] != PROTOCOL:
            link.end(POLICY)
            return
        link.greeted = True
        self._outbox.add(message["type"], message)
        self._wait(SILENCE_SECONDS, self._check_silence)

    def _check_silence(self) -> None:
        """End a connection that says nothing."""
        link = self._link
        if link is None:
            return
        left = link.heard + SILENCE_SECONDS - self._hub.now()
        if link.greeted and left > 0:
            self._wait(left, self._check_silence)
        else:
            link.end(POLICY)

    def _gone(self, link: Link) -> None:
        if link is not self._link:
            return
        self._link, self._phase = None, "grace"
        self._relay.lose()
        self._wait(GRACE_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._phase = "offline"
        self._outbox.add("disconnected", None)

    def _forget(self) -> None:
        """The VPS is no more: nobody is to be connected to it, and nothing to be kept of it."""
        link, self._link, self._phase = self._link, None, "offline"
        self._stop_waiting()
        self._relay.clear()
        if link is not None:
            link.end(UNKNOWN)

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop_waiting()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _refuse(trouble: Trouble) -> Answer:
    body = {
        "type": f"urn:invoker:problem:{trouble.code}",
        "status": trouble.status,
        "title": trouble.code,
        "detail": trouble.detail,
    }
    headers = {"content-type": "application/problem+json", "cache-control": "no-store"}
    return Answer(trouble.status, json.dumps(body).encode(), headers)
