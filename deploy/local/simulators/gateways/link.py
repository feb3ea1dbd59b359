"""A connection between a gateway and the hub."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from deploy.local.simulators.gateways.words import Message


class NotTakenError(Exception):
    """The hub took no connection.

    Attributes:
        status: As in docs/protocols.md: 401, 404 or 503.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"the hub answered {status}")
        self.status = status


class Link:
    """Both ends of a connection; what is sent arrives at once and in order.

    Args:
        hear: Takes what the gateway sends.
        gone: Told when the connection has ended.

    Attributes:
        greeted: Whether the gateway has said hello.
        heard: When the gateway last sent something, on the hub's clock.
        since: When it began.
        inbox: What the hub sent and the gateway has not read; None at its end.
        code: Why it ended; None while it is open.
    """

    def __init__(
        self,
        hear: Callable[[Link, Message], None],
        gone: Callable[[Link], None],
        now: float,
    ) -> None:
        self.greeted = False
        self.heard = self.since = now
        self.inbox: asyncio.Queue[Message | None] = asyncio.Queue()
        self.code: int | None = None
        self._hear = hear
        self._gone = gone

    def to_hub(self, message: Message) -> bool:
        """Send from the gateway; returns whether the connection was open."""
        if self.code is not None:
            return False
        self._hear(self, message)
        return True

    def to_gateway(self, message: Message) -> bool:
        """Send from the hub; returns whether the connection was open."""
        if self.code is not None:
            return False
        self.inbox.put_nowait(message)
        return True

    def end(self, code: int) -> None:
        """End it, from either side."""
        if self.code is not None:
            return
        self.code = code
        self.inbox.put_nowait(None)
        self._gone(self)
