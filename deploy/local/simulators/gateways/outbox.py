"""What the hub saw of one gateway and has not told the API yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import structlog

from crds.store import observations
from crds.store.observations import Observation
from deploy.local.simulators.clock import Now
from deploy.local.simulators.gateways.words import (
    REPORT_AFTER_SECONDS,
    REPORT_RETRY_SECONDS,
    REPORT_SIZE,
    Message,
)

Sink = Callable[[UUID, Sequence[Observation]], Awaitable[None]]
"""Takes a report; raises `UnknownGatewayError` for a gateway that is no more."""

_OF_GATEWAY = {
    "gateway.hello": observations.HELLO,
    "gateway.health": observations.HEALTH,
    "gateway.updated": observations.UPDATE,
}

log = structlog.get_logger("deploy.local.simulators.gateways")


class UnknownGatewayError(Exception):
    """There is no such gateway: the API's 404."""


class Outbox:
    """Keeps the newest observation of each thing until it is reported.

    Args:
        gateway: Whose.
        sink: Where reports go.
        now: Unix seconds.
        unknown: Called when the gateway turns out to be no more.
    """

    def __init__(self, gateway: UUID, sink: Sink, now: Now, unknown: Callable[[], None]) -> None:
        self._gateway = gateway
        self._sink = sink
        self._now = now
        self._unknown = unknown
        self._waiting: dict[str, Observation] = {}
        self._last = 0
        self._reporting: asyncio.Task[None] | None = None

    def add(self, kind: str, message: Message | None) -> None:
        """Note what was seen; `kind` is `connected`, `disconnected` or the message's type."""
        now = self._now()
        # From the clock, so that it goes on growing when the hub forgot everything.
        self._last = max(self._last + 1, int(now * 1000))
        subject = subject_of(kind, message)
        seen = datetime.fromtimestamp(now, UTC)
        self._waiting.pop(subject, None)
        self._waiting[subject] = Observation(
            self._gateway, subject, self._last, kind, seen, message
        )
        if self._reporting is None or self._reporting.done():
            self._reporting = asyncio.get_running_loop().create_task(self._report())

    def clear(self) -> None:
        """Forget what was not reported."""
        self._waiting.clear()

    async def aclose(self) -> None:
        """Report nothing more."""
        if self._reporting is not None:
            self._reporting.cancel()
            await asyncio.gather(self._reporting, return_exceptions=True)

    async def _report(self) -> None:
        """Report until nothing waits; what failed again after 1, 2, 4 … 60 s."""
        failed = 0
        await asyncio.sleep(REPORT_AFTER_SECONDS)
        while self._waiting:
            batch = list(self._waiting.values())[:REPORT_SIZE]
            try:
                await self._sink(self._gateway, batch)
            except UnknownGatewayError:
                self.clear()
                self._unknown()
                return
            except Exception as error:  # noqa: BLE001 - whatever ails the API, the hub tries again
                failed += 1
                log.warning("cannot report", error=type(error).__name__)
                await asyncio.sleep(min(REPORT_RETRY_SECONDS, 2.0 ** (failed - 1)))
            else:
                failed = 0
                self._forget(batch)

    def _forget(self, batch: Sequence[Observation]) -> None:
        """Drop what was reported; what was seen anew meanwhile stays."""
        for each in batch:
            if self._waiting.get(each.subject) is each:
                del self._waiting[each.subject]


def subject_of(kind: str, message: Message | None) -> str:
    """What an observation is about: the next one about the same replaces it."""
    if message is None:
        return observations.CONNECTION
    match kind:
        case "session.started" | "session.ended":
            subject = observations.session_subject(UUID(message["session_id"]))
        case "session.error":
            subject = observations.session_error_subject(UUID(message["session_id"]))
        case "agent.installed":
            subject = observations.agent_subject(message["agent"])
        case _:
            subject = _OF_GATEWAY[kind]
    return subject
