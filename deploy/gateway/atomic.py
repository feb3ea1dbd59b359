"""Files that are replaced whole."""

import contextlib
import os
import secrets
from pathlib import Path


def write(path: Path, content: bytes, *, mode: int) -> None:
    """Replace a file: whoever reads it finds the former content or this, also after a crash.

    Args:
        path: The file; its folder must be there.
        content: What it shall hold.
        mode: Its permissions, also while it is being written.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def sync(folder: Path) -> None:
    """See that a folder's entries are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
