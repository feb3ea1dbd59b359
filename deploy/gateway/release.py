"""Which release this program is, and which file it runs from."""

import sys
import zipfile
from importlib import resources
from pathlib import Path

RELEASE = "RELEASE"
"""The resource that holds a release's version; `build` writes it, the source has none."""
SOURCE_VERSION = "0.0.0"


def released_version() -> str | None:
    """Return the version that was built into this program; None: it runs from source."""
    file = resources.files("deploy.gateway") / RELEASE
    return file.read_text(encoding="utf-8").strip() if file.is_file() else None


def version(wished: str = "") -> str:
    """Return what the program says it is.

    Args:
        wished: What its settings call it; a release knows better.
    """
    return released_version() or wished or SOURCE_VERSION


def program() -> Path | None:
    """Return the single file that this program runs from; None: it runs from source."""
    file = Path(sys.argv[0]).resolve()
    known = released_version() is not None and file.is_file() and zipfile.is_zipfile(file)
    return file if known else None
