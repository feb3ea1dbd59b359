"""What each command does, and what it is answered."""

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from deploy.gateway.agents import Agents
from deploy.gateway.files import Files
from deploy.gateway.journal import Journal
from deploy.gateway.keys import Keys
from deploy.gateway.problems import RefusedError
from deploy.gateway.protocol import Message
from deploy.gateway.sessions.manager import Sessions
from deploy.gateway.updates import Updates

Handler = Callable[[Message], Awaitable[Message | None]]
"""Carries a command out and returns its answer, None for a plain ack or one that was given."""

_READING: Final = frozenset({"session.snapshot.request", "ssh.list", "file.list", "file.read"})
"""Commands that change nothing: they are done as often as they come."""

log = logging.getLogger(__name__)


class Commands:
    """Answers commands.

    Args:
        journal: Remembers what was done.
        sessions: Terminal sessions.
        keys: SSH keys.
        files: Files.
        agents: Coding agents.
        updates: The program itself.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        sessions: Sessions,
        keys: Keys,
        files: Files,
        agents: Agents,
        updates: Updates,
    ) -> None:
        self._journal = journal
        self._sessions = sessions
        self._keys = keys
        self._files = files
        self._agents = agents
        self._updates = updates
        # Pieces of a file come one after the other.
        self._file_turn = asyncio.Lock()
        self._handlers: dict[str, Handler] = {
            "session.create": self._create,
            "session.end": self._end,
            "session.snapshot.request": self._snapshot,
            "ssh.authorize": self._authorize,
            "ssh.revoke": self._revoke,
            "ssh.list": self._list_keys,
            "file.list": self._list_files,
            "file.read": self._read,
            "file.write": self._write,
            "file.remove": self._remove,
            "agent.install": self._install,
            "gateway.update": self._update,
        }

    def knows(self, type_: str) -> bool:
        """Return whether something is a command."""
        return type_ in self._handlers

    async def answer(self, command: Message) -> Message | None:
        """Carry a command out, unless that was done; return its answer, None if it was given."""
        try:
            if command["type"] in _READING:
                return await self._handlers[command["type"]](command)
            return await self._journal.once(command, lambda: self._acknowledged(command))
        except RefusedError as error:
            return _ack(command, error)
        except Exception:
            log.exception("the gateway failed on %s", command["type"])
            return _ack(command, _FAILED)

    async def _acknowledged(self, command: Message) -> Message:
        try:
            await self._handlers[command["type"]](command)
        except RefusedError as error:
            return _ack(command, error)
        except Exception:
            log.exception("the gateway failed on %s", command["type"])
            return _ack(command, _FAILED)
        return _ack(command, None)

    # Sessions

    async def _create(self, command: Message) -> None:
        await self._sessions.create(command)

    async def _end(self, command: Message) -> None:
        await self._sessions.end(command["session_id"])

    async def _snapshot(self, command: Message) -> None:
        await self._sessions.snapshot(command)

    # SSH keys

    async def _authorize(self, command: Message) -> None:
        self._keys.authorize(
            command["fingerprint"], command["public_key"], command["label"], command["expires_at"]
        )

    async def _revoke(self, command: Message) -> None:
        self._keys.revoke(command["fingerprint"])

    async def _list_keys(self, command: Message) -> Message:
        return {"type": "ssh.keys", "id": command["id"], "keys": self._keys.known()}

    # Files

    async def _list_files(self, command: Message) -> Message:
        entries, complete = await asyncio.to_thread(self._files.list, command["path"])
        return _about(command, "file.entries", entries=entries, complete=complete)

    async def _read(self, command: Message) -> Message:
        path, offset, length = command["path"], command["offset"], command["length"]
        data, size = await asyncio.to_thread(self._files.read, path, offset, length)
        text = base64.b64encode(data).decode()
        return _about(command, "file.content", offset=offset, size_bytes=size, data=text)

    async def _write(self, command: Message) -> None:
        path, offset, data = command["path"], command["offset"], command["data"]
        async with self._file_turn:
            await asyncio.to_thread(self._files.write, path, offset, data, last=command["last"])

    async def _remove(self, command: Message) -> None:
        async with self._file_turn:
            await asyncio.to_thread(self._files.remove, command["path"])

    # The machine

    async def _install(self, command: Message) -> None:
        self._agents.install(command["agent"], command.get("version"))

    async def _update(self, command: Message) -> None:
        await self._updates.update(command["version"], command["url"], command["sha256"])


_FAILED: Final = RefusedError("failed", "The gateway failed on this command.")


def _ack(command: Message, error: RefusedError | None) -> Message:
    ack = {"type": "ack", "id": command["id"], "ok": error is None}
    return ack if error is None else {**ack, "error": error.problem()}


def _about(command: Message, type_: str, **rest: object) -> Message:
    return {"type": type_, "id": command["id"], "path": command["path"], **rest}
