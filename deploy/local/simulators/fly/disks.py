"""The folders of volumes: one each, copied for a fork, gone with its volume."""

import asyncio
import os
import shutil
from pathlib import Path

import anyio


class Disks:
    """Volumes as folders.

    Args:
        root: Where the folders are.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._copies: dict[str, tuple[str, asyncio.Task[None]]] = {}

    def folder(self, volume: str) -> Path:
        """Return a volume's folder, which may not be there yet."""
        return self.root / volume

    async def ready(self, volume: str) -> None:
        """Return once a volume has all that it begins with."""
        if copy := self._copies.get(volume):
            await asyncio.wait([copy[1]])

    async def fork(self, source: str, volume: str) -> None:
        """Copy a volume's folder as it is, file by file, whoever is writing to it.

        A copy that was interrupted leaves nothing and can be made again;
        one that is there is left alone.
        """
        task = asyncio.create_task(self._copy(source, volume))
        self._copies[volume] = source, task
        try:
            await asyncio.shield(task)
        finally:
            await asyncio.wait([task])
            self._copies.pop(volume, None)

    async def discard(self, volume: str) -> None:
        """Delete a volume's folder, after the copies that are being made of it."""
        copies = [task for name, (of, task) in self._copies.items() if volume in {name, of}]
        if copies:
            await asyncio.wait(copies)
        await anyio.to_thread.run_sync(_remove, self.folder(volume))

    async def _copy(self, source: str, volume: str) -> None:
        target = self.folder(volume)
        if await anyio.to_thread.run_sync(target.exists):
            return  # made before a restart, and written to since
        beside = target.with_name(f"{target.name}.copy")
        await anyio.to_thread.run_sync(_copy_tree, self.folder(source), beside)
        beside.replace(target)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _copy_tree(source: Path, target: Path) -> None:
    """Copy what there is; what vanishes meanwhile was being deleted, and is not missed."""
    _remove(target)
    target.mkdir(parents=True)
    for folder, names, files in os.walk(source):
        here = target / Path(folder).relative_to(source)
        for name in names:
            _copy_one(Path(folder) / name, here / name)
        for name in files:
            _copy_one(Path(folder) / name, here / name)


def _copy_one(source: Path, target: Path) -> None:
    try:
        if source.is_symlink():
            target.symlink_to(source.readlink())
            return
        if source.is_dir():
            target.mkdir()
        elif source.is_file():
            shutil.copyfile(source, target)
        else:
            return  # a socket or a pipe belongs to whoever listens
        status = source.stat()
        shutil.copystat(source, target)
        os.chown(target, status.st_uid, status.st_gid)
    except FileNotFoundError:
        return
