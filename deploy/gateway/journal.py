"""Commands come twice, and are done once."""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from deploy.gateway.problems import RefusedError
from deploy.gateway.protocol import Message, encode
from deploy.gateway.state import Done, Store

REMEMBERED_SECONDS: Final = 600.0
"""How long the same command can come again (docs/protocols.md, "Commands")."""
MOST_REMEMBERED: Final = 1000

log = logging.getLogger(__name__)


class Journal:
    """Remembers which commands were carried out, over restarts too.

    Args:
        store: Where.
        now: The clock, unix seconds.
    """

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._underway: dict[str, tuple[str, asyncio.Future[Message]]] = {}

    async def once(self, command: Message, carry_out: Callable[[], Awaitable[Message]]) -> Message:
        """Return a command's answer; it is carried out unless it was, or is being so.

        Raises:
            RefusedError: Another command has this id.
        """
        id_, digest = command["id"], _digest(command)
        done = self._store.state.done.get(id_)
        if done is not None and done.at + REMEMBERED_SECONDS > self._now():
            _check(done.digest, digest)
            return done.answer
        if id_ in self._underway:
            before, answer = self._underway[id_]
            _check(before, digest)
            return await asyncio.shield(answer)
        task = asyncio.ensure_future(carry_out())
        self._underway[id_] = (digest, task)
        try:
            answered = await asyncio.shield(task)
            self._remember(id_, digest, answered)
            return answered
        finally:
            del self._underway[id_]

    def _remember(self, id_: str, digest: str, answer: Message) -> None:
        now, done = self._now(), self._store.state.done
        done.pop(id_, None)
        done[id_] = Done(digest, answer, now)
        for old in [each for each in done if done[each].at + REMEMBERED_SECONDS <= now]:
            del done[old]
        while len(done) > MOST_REMEMBERED:
            del done[next(iter(done))]
        try:
            self._store.save()
        except OSError:
            # It was carried out, which is what counts; after a restart it may be so again.
            log.exception("the state is not saved")


def _digest(command: Message) -> str:
    return hashlib.sha256(encode(command).encode()).hexdigest()


def _check(before: str, digest: str) -> None:
    if before != digest:
        raise RefusedError("conflict", "Another command has this id.")
