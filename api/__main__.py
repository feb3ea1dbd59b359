"""`python -m api`: serve the API."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

import uvicorn

from api.app import build
from api.settings import Settings
from crds.logs import configure
from crds.settings import SettingsError
from crds.tracing import tracing

GRACE_SECONDS = 10


def _leave(_: int, __: FrameType | None) -> NoReturn:
    # uvicorn raises the signal that ended it once more: it must not kill us before spans are sent.
    sys.exit(0)


def main() -> int:
    """Serve until told to stop.

    Returns:
        The exit code: 2 when the settings are wrong, 3 when it could not start.
    """
    try:
        settings = Settings.load()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure(settings.log_format, settings.log_level)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    with tracing(settings.otlp_endpoint, service="invoker-api") as provider:
        server = uvicorn.Server(
            uvicorn.Config(
                build(settings, tracing=provider),
                host=settings.host,
                port=settings.port,
                loop="uvloop",
                http="httptools",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        server.run()
    return 0 if server.started else 3


if __name__ == "__main__":
    sys.exit(main())
