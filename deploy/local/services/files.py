"""Files of objects on a volume, one a version."""

import hashlib
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path


class TooLargeError(Exception):
    """A file has more bytes than it may."""


class Files:
    """Where the files are: a directory for each object, in it a file for each version.

    Args:
        root: The directory; made when missing.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def new_version(self) -> str:
        """A name that no version has."""
        return str(uuid.uuid4())

    def path(self, bucket: str, name: str, version: str) -> Path:
        """Where a version is, or would be.

        The directory's name ends in a character that names of objects do not have:
        an object may be called as the directory of others is.
        """
        return self._root / bucket / f"{name}#" / version

    async def write(
        self, bucket: str, name: str, version: str, pieces: AsyncIterator[bytes], largest: int
    ) -> tuple[int, str]:
        """Write a version; it is on the disk when this returns, and nothing is when it raises.

        Args:
            bucket: The bucket.
            name: The object's name.
            version: The version.
            pieces: Its content.
            largest: How many bytes at most.

        Returns:
            How many bytes it has, and its ETag.

        Raises:
            TooLargeError: It has more bytes than it may.
        """
        path = self.path(bucket, name, version)
        path.parent.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.md5(usedforsecurity=False), 0  # what S3 takes for ETags
        try:
            with path.open("xb") as file:
                async for piece in _limited(pieces, largest):
                    size += len(piece)
                    digest.update(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            self.remove(bucket, name, version)
            raise
        return size, f'"{digest.hexdigest()}"'

    def remove(self, bucket: str, name: str, version: str) -> None:
        """Remove a version, if it is there, and its object's directory with the last one."""
        path = self.path(bucket, name, version)
        path.unlink(missing_ok=True)
        try:
            path.parent.rmdir()
        except OSError:
            return  # it was not the last one


async def _limited(pieces: AsyncIterator[bytes], largest: int) -> AsyncIterator[bytes]:
    left = largest
    async for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise TooLargeError
        yield piece
