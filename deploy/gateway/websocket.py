"""The connection's other side in the world: a WebSocket client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from deploy.gateway.connection import ClosedError, Socket, UnreachableError
from deploy.gateway.protocol import MOST_TEXT
from deploy.gateway.settings import Settings

OPEN_SECONDS: Final = 15.0
PING_SECONDS: Final = 20.0
"""How often the connection is tried, and how long its answer may take: a dead one has none."""
CLOSE_SECONDS: Final = 1.0
_MOST_BYTES: Final = 4 * MOST_TEXT
_ABNORMAL: Final = 1006


class _WebSocket:
    def __init__(self, inner: ClientConnection) -> None:
        self._inner = inner

    async def send(self, content: str | bytes) -> None:
        try:
            await self._inner.send(content)
        except ConnectionClosed as error:
            raise _closed(error) from None

    async def messages(self) -> AsyncIterator[str]:
        while True:
            try:
                content = await self._inner.recv()
            except ConnectionClosed as error:
                raise _closed(error) from None
            if isinstance(content, str):
                yield content


@asynccontextmanager
async def dial(settings: Settings) -> AsyncIterator[Socket]:
    """Open a connection to the hub.

    Raises:
        UnreachableError: There is none to be had; the text holds no token.
    """
    headers = {"Authorization": f"Bearer {settings.token}", "X-Gateway-ID": settings.gateway}
    opening = connect(
        settings.url,
        additional_headers=headers,
        user_agent_header=f"invoker-gateway/{settings.version}",
        compression=None,
        open_timeout=OPEN_SECONDS,
        ping_interval=PING_SECONDS,
        ping_timeout=PING_SECONDS,
        close_timeout=CLOSE_SECONDS,
        max_size=_MOST_BYTES,
        proxy=None,
    )
    try:
        inner = await opening
    except InvalidStatus as error:
        status = error.response.status_code
        raise UnreachableError(status, f"answered {status}") from None
    except (OSError, TimeoutError, InvalidHandshake, EOFError) as error:
        raise UnreachableError(0, type(error).__name__) from None
    try:
        yield _WebSocket(inner)
    finally:
        await inner.close()


def _closed(error: ConnectionClosed) -> ClosedError:
    return ClosedError(_ABNORMAL if error.rcvd is None else error.rcvd.code)
