"""`python -m api`: serve the API."""

from __future__ import annotations

import asyncio
import sys

import uvloop

from api.serving import NotStartedError, serve
from api.settings import Settings
from crds.logs import configure
from crds.settings import SettingsError
from crds.tracing import tracing


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
    configure(settings.log_format)
    with (
        tracing(settings.otlp_endpoint, service="invoker-api") as provider,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        try:
            runner.run(serve(settings, provider))
        except NotStartedError:
            return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
