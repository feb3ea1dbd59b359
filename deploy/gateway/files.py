"""Files: looked at, read and written by pieces, removed."""

import base64
import binascii
import contextlib
import hashlib
import heapq
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from deploy.gateway import atomic
from deploy.gateway.paths import Paths
from deploy.gateway.problems import RefusedError, refusal

MOST_ENTRIES: Final = 1000
"""Entries of a folder that are told (worker/protocol/file.entries.json)."""

_READABLE: Final = 0o644
_OWNER_ONLY: Final = 0o600  # of pieces: what they replace may be a secret
_KINDS: Final = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
_EARLIEST: Final = datetime(1, 1, 1, tzinfo=UTC).timestamp()
_LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


class Files:
    """The machine's files; every function may block, and all raise RefusedError.

    Args:
        paths: Where they are.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def list(self, path: str) -> tuple[list[dict[str, Any]], bool]:
        """Return what is in a folder by name, and whether that is all.

        Names that are not UTF-8 cannot be told.
        """
        with _refusing():
            folder = self._paths.find(path)
            with os.scandir(folder) as found:
                names = [entry.name for entry in found if _is_text(entry.name)]
            first = heapq.nsmallest(MOST_ENTRIES, names)
            return list(_entries(folder, first)), len(first) == len(names)

    def read(self, path: str, offset: int, length: int) -> tuple[bytes, int]:
        """Return a piece of a file, and the whole file's size in bytes."""
        with _refusing():
            descriptor = _open_file(self._paths.find(path), os.O_RDONLY)
            try:
                size = os.fstat(descriptor).st_size
                return os.pread(descriptor, length, offset), size
            finally:
                os.close(descriptor)

    def write(self, path: str, offset: int, data: str, *, last: bool) -> None:
        """Write a piece of a file; the last one replaces it by all pieces.

        Args:
            path: The file; folders on the way are made.
            offset: Where the piece begins; 0 begins anew.
            data: The piece, base64.
            last: Whether the file ends with it.
        """
        with _refusing():
            target = self._paths.find(path)
            if target.is_dir() or path.endswith("/"):
                raise RefusedError("is-a-folder", "It is a folder.")
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = _beside(target)
            self._append(beside, offset, _decoded(data), last=last)
            if last:
                _like(target, beside)
                beside.replace(target)
                atomic.sync(target.parent)

    def remove(self, path: str) -> None:
        """Remove a file, or a link; what is not there is removed."""
        with _refusing():
            target = self._paths.find(path, follow=False)
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISDIR(target.lstat().st_mode):
                    raise RefusedError("is-a-folder", "It is a folder.")
                target.unlink()
            with contextlib.suppress(OSError):
                _beside(target).unlink()

    @staticmethod
    def _append(beside: Path, offset: int, piece: bytes, *, last: bool) -> None:
        flags = os.O_WRONLY | (os.O_CREAT | os.O_TRUNC if offset == 0 else 0)
        try:
            descriptor = _open_file(beside, flags)
        except FileNotFoundError:
            raise RefusedError("no-pieces", "The pieces before this one are not there.") from None
        try:
            if offset > os.fstat(descriptor).st_size:
                raise RefusedError("no-pieces", "The piece before this one is not there.")
            written = 0
            while written < len(piece):
                written += os.pwrite(descriptor, piece[written:], offset + written)
            if last:
                os.ftruncate(descriptor, offset + len(piece))
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise refusal(error) from error


def _entries(folder: Path, names: list[str]) -> Iterator[dict[str, Any]]:
    for name in names:
        # What has gone since is not there.
        with contextlib.suppress(FileNotFoundError):
            found = (folder / name).lstat()
            modified = datetime.fromtimestamp(min(_LATEST, max(_EARLIEST, found.st_mtime)), tz=UTC)
            yield {
                "name": name,
                "kind": _KINDS.get(stat.S_IFMT(found.st_mode), "other"),
                "size_bytes": found.st_size,
                "modified_at": modified.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0"),
            }


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _open_file(path: Path, flags: int) -> int:
    """Open a file; a pipe or a device could keep us for ever."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, _OWNER_ONLY)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise RefusedError("is-a-folder", "It is a folder.")
    raise RefusedError("not-a-file", "It is not a file.")


def _beside(target: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
    return target.with_name(f".{digest}.invoker-part")


def _like(target: Path, beside: Path) -> None:
    """Give new content the owner and the permissions of the old, or else those of any file."""
    try:
        old = target.stat()
    except FileNotFoundError:
        beside.chmod(_READABLE)
        return
    with contextlib.suppress(PermissionError):
        os.chown(beside, old.st_uid, old.st_gid)
    beside.chmod(stat.S_IMODE(old.st_mode))


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error:
        raise RefusedError("bad-data", "The data is not base64.") from None
