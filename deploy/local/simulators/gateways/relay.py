"""Commands to one gateway, and their answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from deploy.local.simulators.clock import Now
from deploy.local.simulators.gateways.link import Link
from deploy.local.simulators.gateways.words import (
    ANSWER_REMEMBERED,
    ANSWERS,
    COMMAND_SECONDS,
    COMMANDS_WAITING,
    REMEMBERED_SECONDS,
    Message,
)

Verdict = Message | Literal["offline", "lost", "timeout", "busy", "conflict"]
"""The gateway's answer, or why there is none."""


@dataclass(slots=True)
class _Sent:
    """A command that was sent; kept so that it is not sent twice."""

    command: Message
    link: Link
    at: float
    answer: Message | None = None
    waiting: list[asyncio.Future[Verdict]] = field(default_factory=list)


class Relay:
    """Sends a command once for its id, and answers it again for as long as it is remembered.

    Args:
        now: Unix seconds.
    """

    def __init__(self, now: Now) -> None:
        self._now = now
        self._sent: dict[str, _Sent] = {}

    async def run(
        self, command: Message, link: Link | None, sending: Callable[[Message], None]
    ) -> Verdict:
        """Send a command and wait for its answer.

        Args:
            command: A message with its id.
            link: The gateway's connection that has said hello; None without one.
            sending: Told of a command that goes to the gateway.
        """
        now = self._now()
        self._forget_old(now)
        sent = self._sent.get(command["id"])
        if sent is not None and sent.command != command:
            return "conflict"
        if sent is not None and sent.answer is not None:
            return sent.answer
        if link is None:
            return "offline"
        if sum(bool(each.waiting) for each in self._sent.values()) >= COMMANDS_WAITING:
            return "busy"
        if sent is None or sent.link is not link or now - sent.at >= COMMAND_SECONDS:
            sent = _Sent(command, link, now, waiting=[] if sent is None else sent.waiting)
            self._sent[command["id"]] = sent
            if not link.to_gateway(command):
                return "lost"
            sending(command)
        return await self._answer_of(sent, sent.at + COMMAND_SECONDS - now)

    def answer(self, message: Message) -> None:
        """Take an answer; one that nobody waits for any more is kept for who asks again."""
        sent = self._sent.get(message["id"])
        if sent is None or sent.answer is not None:
            return
        wanted = ANSWERS[sent.command["type"]]
        taken_on = message["type"] == "ack" and message["ok"] and wanted != "ack"
        if taken_on or message["type"] not in (wanted, "ack"):
            return
        if len(json.dumps(message)) > ANSWER_REMEMBERED:
            del self._sent[message["id"]]
        else:
            sent.answer = message
        _tell(sent, message)

    def lose(self) -> None:
        """The connection is gone: whether a command was carried out will not be known."""
        for sent in self._sent.values():
            _tell(sent, "lost")

    def clear(self) -> None:
        """Forget all commands."""
        self.lose()
        self._sent.clear()

    def _forget_old(self, now: float) -> None:
        for id_, sent in list(self._sent.items()):
            if sent.at + REMEMBERED_SECONDS <= now and not sent.waiting:
                del self._sent[id_]

    @staticmethod
    async def _answer_of(sent: _Sent, patience: float) -> Verdict:
        waiting: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        sent.waiting.append(waiting)
        try:
            async with asyncio.timeout(patience):
                return await waiting
        except TimeoutError:
            return "timeout"
        finally:
            if waiting in sent.waiting:
                sent.waiting.remove(waiting)


def _tell(sent: _Sent, verdict: Verdict) -> None:
    waiting, sent.waiting = sent.waiting, []
    for each in waiting:
        if not each.done():
            each.set_result(verdict)
