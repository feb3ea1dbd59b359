"""`python -m deploy.gateway`: run until told to stop, or told that it is no more."""

import asyncio
import functools
import logging
import os
import signal
import sys
from typing import Final

from deploy.gateway import release
from deploy.gateway.gateway import Gateway
from deploy.gateway.problems import RefusedError
from deploy.gateway.settings import Settings, SettingsError
from deploy.gateway.websocket import dial

NO_MORE: Final = 44
"""The exit status of a gateway that must not be started again."""


async def run(settings: Settings) -> tuple[bool, bool]:
    """Run; return whether the gateway is no more, and whether it shall begin anew."""
    gateway = Gateway(settings, functools.partial(dial, settings))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, gateway.stop.set)
    gone = await gateway.run()
    return gone, gateway.restarts


def main() -> None:
    """Read the settings and run."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"{release.version(os.environ.get('GATEWAY_VERSION', ''))}\n")
        return
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("websockets").setLevel(logging.WARNING)  # it would log our headers
    try:
        settings = Settings.read(os.environ)
        gone, restarts = asyncio.run(run(settings))
    except (SettingsError, RefusedError) as error:
        sys.exit(str(error))
    if gone:
        sys.exit(NO_MORE)
    program = release.program()
    if restarts and program is not None:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
