"""`python -m deploy.agent`: serve until told to stop."""

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from typing import Final

import anyio
import uvicorn

from deploy.agent.app import create
from deploy.agent.settings import Settings, SettingsError

GRACE_SECONDS: Final = 4
"""Below the five seconds that Fly gives a machine between its signal and the end."""


class Server(uvicorn.Server):
    """A server that leaves signals to us: uvicorn's own raises them anew after the shutdown."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then let what is under way finish."""
    server = Server(
        uvicorn.Config(
            create(settings),
            host=settings.bind,
            port=settings.port,
            access_log=False,
            server_header=False,
            log_config=None,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_on_signal, server)
        await server.serve()
        tasks.cancel_scope.cancel()


async def _stop_on_signal(server: uvicorn.Server) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            server.should_exit = True


def main() -> None:
    """Read the settings and serve."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # one line a request says nothing
    try:
        settings = Settings.read(os.environ)
    except SettingsError as error:
        sys.exit(str(error))
    if not os.access(settings.data_dir, os.W_OK):
        sys.exit(
            f"the agent cannot start:\n  INVOKER_DATA_DIR: {settings.data_dir} is not writable"
        )
    anyio.run(serve, settings)


if __name__ == "__main__":
    main()
