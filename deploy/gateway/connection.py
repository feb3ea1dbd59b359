"""The connection to the hub: kept up, and taken up again when it breaks."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from deploy.gateway.outbound import Outbound
from deploy.gateway.protocol import GONE, REPLACED, Message
from deploy.gateway.waits import Waits

UNAUTHORISED: Final = frozenset({401, 403, 404})

log = logging.getLogger(__name__)


class ClosedError(Exception):
    """The connection has ended.

    Attributes:
        code: The close code (RFC 6455, 7.4).
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class UnreachableError(Exception):
    """There is no connection to be had now.

    Attributes:
        status: The HTTP status of the refusal; 0 when nobody answered.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Socket(Protocol):
    """One connection."""

    async def send(self, content: str | bytes) -> None:
        """Send a message.

        Raises:
            ClosedError: The connection has ended.
        """

    def messages(self) -> AsyncIterator[str]:
        """Yield the text messages that come.

        Raises:
            ClosedError: The connection has ended.
        """


Dial = Callable[[], AbstractAsyncContextManager[Socket]]
"""Opens a connection; raises UnreachableError."""


class Speaker(Protocol):
    """Who speaks through the connection."""

    def greet(self) -> Message:
        """Return the hello of a connection that begins."""

    def hear(self, text: str) -> None:
        """Take a text message."""

    def lost(self) -> None:
        """Note that the connection is gone."""


class Connection:
    """Keeps one connection up.

    Args:
        dial: Opens one.
        outbound: What is to be sent.
        speaker: Who hears what comes.
        waits: How long to wait in between.
    """

    def __init__(self, dial: Dial, outbound: Outbound, speaker: Speaker, waits: Waits) -> None:
        self._dial = dial
        self._outbound = outbound
        self._speaker = speaker
        self._waits = waits

    async def run(self) -> None:
        """Come back when the hub has said that the gateway is no more."""
        while True:
            wait = await self._once()
            if wait is None:
                log.warning("the gateway is no more")
                return
            await asyncio.sleep(wait)

    async def _once(self) -> float | None:
        """Connect and speak; return the seconds to wait then, None when there is no then."""
        began = asyncio.get_running_loop().time()
        try:
            async with self._dial() as socket:
                began = asyncio.get_running_loop().time()
                await self._speak(socket)
        except UnreachableError as error:
            log.warning("not connected: %s", error)
            refused = error.status in UNAUTHORISED
            return self._waits.after_refusal() if refused else self._waits.after_failure()
        except ClosedError as error:
            log.warning("connection lost: %s", error)
            if error.code == GONE:
                return None
            if error.code == REPLACED:
                return self._waits.after_replacement()
        lasted = asyncio.get_running_loop().time() - began
        return self._waits.after_failure(lasted)

    async def _speak(self, socket: Socket) -> None:
        self._outbound.begin(self._speaker.greet())
        log.info("connected")
        sending = asyncio.create_task(self._outbound.drain(socket.send))
        try:
            # A send that fails has a receive that fails as well, and that one knows the code.
            async for text in socket.messages():
                self._speaker.hear(text)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            self._outbound.end()
            self._speaker.lost()
