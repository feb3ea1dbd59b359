"""Answers in pieces, for clients that take them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from api.kubernetes.errors import NO_STORE

log = structlog.get_logger(__name__)

# A client that takes nothing for so long has gone to sleep with the connection open.
STALL_SECONDS: Final = 60.0


class _StalledError(Exception):
    """The client takes nothing."""


class Stream(StreamingResponse):
    """JSON in pieces.

    Args:
        pieces: Makes the pieces.
        leave: Called when it is over, however it ends.
        stall_seconds: How long a piece may wait for the client to take it.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        leave: Callable[[], None],
        *,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        super().__init__(pieces, media_type="application/json", headers=dict(NO_STORE))
        self._pieces, self._leave, self._stall_seconds = pieces, leave, stall_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()

    async def stream_response(self, send: Send) -> None:
        """Send the pieces, as fast as the client takes them."""

        async def patiently(message: Message) -> None:
            try:
                async with asyncio.timeout(self._stall_seconds):
                    await send(message)
            except TimeoutError:
                raise _StalledError from None

        try:
            async with aclosing(self._pieces):
                await super().stream_response(patiently)
        except _StalledError:
            # The server closes a connection whose answer is not whole.
            log.info("the client takes nothing", seconds=self._stall_seconds)
