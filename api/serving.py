"""Serving: the product's port and the operators' port, in one process and one loop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from opentelemetry.sdk.trace import TracerProvider

from api.app import build
from api.context import Api
from api.kubernetes import credentials
from api.kubernetes.app import build_kubernetes
from api.settings import Settings

GRACE_SECONDS = 10


class NotStartedError(Exception):
    """A server ended before it served; its own log says why."""


class _Server(uvicorn.Server):
    """A server that leaves signals to us: there are two of them."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def serve(settings: Settings, provider: TracerProvider) -> None:
    """Serve until a signal comes or a server ends.

    Args:
        settings: The settings.
        provider: Where spans go.

    Raises:
        NotStartedError: One of the servers could not start.
    """
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    main = build(settings, tracing=provider)
    with credentials.directory(settings.kubernetes_state) as (place, keep):
        async with _running(_server(main, settings, settings.port)) as product:
            api: Api = main.state.api
            files = await credentials.prepare(api, place, keep=keep)
            operators = _server(
                build_kubernetes(main, provider.get_tracer("invoker.kubernetes")),
                settings,
                settings.kubernetes_port,
                ssl_certfile=str(files.certificate),
                ssl_keyfile=str(files.key),
            )
            async with _running(operators) as kubernetes:
                ended = asyncio.create_task(stopping.wait())
                await asyncio.wait(
                    {ended, product, kubernetes}, return_when=asyncio.FIRST_COMPLETED
                )
                ended.cancel()
                # Watches last for an hour, and a server waits for its answers to end.
                api.feed.end()


def _server(app: Any, settings: Settings, port: int, **more: Any) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=port,
            http="httptools",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            **more,
        )
    )


@asynccontextmanager
async def _running(server: _Server) -> AsyncIterator[asyncio.Task[None]]:
    """A server for as long as the context lasts, from when it serves.

    Raises:
        NotStartedError: It ended before it served.
    """
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            if task.done():
                task.result()
                raise NotStartedError
            await asyncio.sleep(0.01)
        yield task
    finally:
        server.should_exit = True
        await asyncio.wait({task})
