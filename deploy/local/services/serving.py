"""Serves an ASGI app on loopback until told to stop."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

GRACE_SECONDS: Final = 4
"""Below the five seconds that Fly gives a machine between its signal and the end."""

_LOGGER = logging.getLogger("services")


class _Server(uvicorn.Server):
    """Says when it listens; leaves signals to us: its own are raised anew after the shutdown."""

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            _LOGGER.info("listening on port %s", self.config.port)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(app: ASGIApp, port: int, *, close: Callable[[], Awaitable[None]] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then let what is under way finish.

    Args:
        app: What is served.
        port: Where, on 127.0.0.1.
        close: What is awaited at the end.
    """
    asyncio.run(_serve(app, port, close))


async def _serve(app: ASGIApp, port: int, close: Callable[[], Awaitable[None]] | None) -> None:
    server = _Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            loop="asyncio",
            lifespan="off",
            ws="none",
            proxy_headers=False,
            access_log=False,
            server_header=False,
            log_config=None,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, setattr, server, "should_exit", True)
    await server.serve()
    if close is not None:
        await close()
