"""The gateway protocol's messages, by the schemas that the Worker has too (docs/protocols.md)."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final, Self

from deploy.gateway.problems import MOST_MESSAGE
from deploy.gateway.schema import InvalidError, Schema, read

PROTOCOL: Final = 1
"""The version of the protocol."""
MOST_TEXT: Final = 1_048_576
"""Characters of a text message, in UTF-16 units as the hub counts them."""
MOST_SESSIONS: Final = 256
"""Sessions in a hello."""
MOST_SNAPSHOT: Final = 786_432
"""Characters of a snapshot's data."""
REPLACED: Final = 4000
"""Close code: a newer connection of the same gateway came."""
GONE: Final = 4004
"""Close code: the gateway is no more."""

Message = dict[str, Any]

SOURCE: Final = Path(__file__).parents[2] / "worker" / "protocol"


class MisunderstoodError(Exception):
    """A message that cannot be understood.

    Attributes:
        code: `malformed` or `unknown-type`.
        about: The message's type, where it could be read.
    """

    def __init__(self, code: str, message: str, about: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.about = about

    def error(self) -> Message:
        """Return the message that says so."""
        problem = {"code": self.code, "message": str(self)[:MOST_MESSAGE]}
        about = {} if self.about is None else {"about": self.about}
        return {"type": "error", "error": problem, **about}


@dataclass(frozen=True, slots=True)
class Protocol:
    """What the gateway may hear.

    Attributes:
        schemas: The schema of each type that the hub sends.
        shared: What they refer to, by name.
        answers: The type that answers each command.
    """

    schemas: Mapping[str, Schema]
    shared: Mapping[str, Schema]
    answers: Mapping[str, str]

    @classmethod
    def load(cls) -> Self:
        """Read the schemas: of the release, or of the source."""
        inside = resources.files("deploy.gateway") / "protocol"
        folder: Traversable = inside if inside.is_dir() else SOURCE
        flows = _json(folder, "flows")
        schemas = {name: _json(folder, name) for name in flows["hubToGateway"]}
        return cls(schemas, _json(folder, "common")["$defs"], flows["answers"])

    def parse(self, text: str) -> Message:
        """Read a text message from the hub.

        Raises:
            MisunderstoodError: It is not JSON, of another type, or against its schema.
        """
        try:
            value = json.loads(text)
        except ValueError:
            raise MisunderstoodError("malformed", "the message is not JSON") from None
        named = value.get("type") if isinstance(value, dict) else None
        if not isinstance(named, str):
            raise MisunderstoodError("malformed", "type: is missing")
        if named not in self.schemas:
            raise MisunderstoodError("unknown-type", "is not to be sent here", named[:64])
        try:
            message: Message = read(self.schemas[named], value, self.shared)
        except InvalidError as error:
            raise MisunderstoodError("malformed", str(error), named) from None
        return message


@functools.cache
def protocol() -> Protocol:
    """Return the protocol, read once."""
    return Protocol.load()


def encode(message: Message) -> str:
    """Return a message as it travels."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def length(text: str) -> int:
    """Return how long the hub finds a text: in UTF-16 units."""
    return len(text) + sum(character > "\uffff" for character in text)


def _json(folder: Traversable, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return found
