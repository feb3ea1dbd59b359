"""What a gateway looks after in its droplet: sessions, keys, agents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from crds.authorized_key import fingerprint_of
from crds.session import SHELL
from deploy.local.simulators.clock import Now
from deploy.local.simulators.gateways.words import Message

PROMPT = "$ "


class RefusedError(Exception):
    """A command is not carried out.

    Attributes:
        code: For programs.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Shell:
    """A session's program, as far as anybody outside can see it.

    Attributes:
        wish: The command that began it.
        screen: All that its terminal shows.
        sequence: Bytes of output since its start.
    """

    wish: Mapping[str, object]
    screen: str = ""
    sequence: int = 0

    def show(self, text: str) -> None:
        """Write to its terminal."""
        self.screen += text
        self.sequence += len(text.encode())

    def type(self, text: str) -> None:
        """Take input: it is echoed, and each line is answered with what `echo` was given."""
        for line in text.splitlines():
            command, _, rest = line.partition(" ")
            self.show(f"{line}\r\n" + (f"{rest}\r\n" if command == "echo" else "") + PROMPT)


@dataclass(slots=True)
class Key:
    """A line of `authorized_keys`."""

    public_key: str
    label: str
    expires_at: str | None


@dataclass(slots=True)
class Machine:
    """A droplet's state: keys and agents are on its disk, sessions only in its memory.

    Attributes:
        now: Unix seconds.
        agents: The version of each agent that is installed.
        sessions: What runs.
        boots: How often it was switched on.
    """

    now: Now
    agents: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, Shell] = field(default_factory=dict)
    boots: int = 0
    _keys: dict[str, Key] = field(default_factory=dict)

    @property
    def keys(self) -> dict[str, Key]:
        """The keys that are let in at this moment, by fingerprint."""
        return {name: key for name, key in self._keys.items() if not self._is_over(key)}

    def create(self, command: Message) -> bool:
        """Begin a session unless it is there; returns whether it was begun.

        Raises:
            RefusedError: Its agent is not installed.
        """
        if command["session_id"] in self.sessions:
            return False
        agent = command["agent_type"]
        if agent not in (SHELL, *self.agents):
            raise RefusedError("no-such-agent", f"{agent} is not installed")
        shell = Shell(command)
        shell.show(PROMPT)
        self.sessions[command["session_id"]] = shell
        return True

    def authorize(self, command: Message) -> None:
        """Let a key in.

        Raises:
            RefusedError: The fingerprint is another key's.
        """
        try:
            fingerprint = fingerprint_of(command["public_key"])
        except ValueError as error:
            raise RefusedError("bad-key", str(error)) from None
        if fingerprint != command["fingerprint"]:
            raise RefusedError("bad-key", "the fingerprint is another key's")
        key = Key(command["public_key"], command["label"], command["expires_at"])
        self._keys[fingerprint] = key

    def revoke(self, fingerprint: str) -> None:
        """Let a key in no longer."""
        self._keys.pop(fingerprint, None)

    def _is_over(self, key: Key) -> bool:
        if key.expires_at is None:
            return False
        return datetime.fromisoformat(key.expires_at).timestamp() <= self.now()
