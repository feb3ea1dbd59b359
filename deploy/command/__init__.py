"""The `invoker` command: what operators do that kubectl has no word for."""

import sys

INTERRUPTED = 130


def main() -> None:
    """The entry point."""
    try:
        # Ctrl-C while the modules are loaded is no error either.
        from deploy.command.app import app  # noqa: PLC0415 - see above

        app(prog_name="invoker")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
