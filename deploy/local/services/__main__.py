"""`python -m deploy.local.services <name>`: be one service of a dev environment."""

import importlib
import logging
import os
import sys
from typing import Final

from deploy.local.services.settings import SettingsError

NAMES: Final = ("postgres", "postgrest", "gotrue", "kong", "storage", "studio")


def main(arguments: list[str]) -> None:
    """Run the named service with this process's environment until told to stop."""
    if len(arguments) != 1 or arguments[0] not in NAMES:
        sys.exit(f"say which service to be: {', '.join(NAMES)}")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # its lines show whole URLs
    # One of six is needed; the other five and what they import are not.
    service = importlib.import_module(f"deploy.local.services.{arguments[0]}")
    try:
        service.run(os.environ)
    except SettingsError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
