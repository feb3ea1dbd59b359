"""What the gateway has to know after a restart, in one file."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from deploy.gateway import atomic

_OWNER_ONLY: Final = 0o600

log = logging.getLogger(__name__)


@dataclass(slots=True)
class SessionRecord:
    """A session that runs.

    Attributes:
        title: What its owner calls it.
        agent_type: What runs in it.
        workdir: Where it began.
        sequence: Its output when this was written, in bytes.
    """

    title: str
    agent_type: str
    workdir: str
    sequence: int = 0


@dataclass(slots=True)
class KeyRecord:
    """An SSH key that is let in.

    Attributes:
        public_key: Its line, without options.
        label: What its owner calls it.
        expires_at: When it ends, RFC 3339; None: never.
    """

    public_key: str
    label: str
    expires_at: str | None = None


@dataclass(slots=True)
class Done:
    """A command that was carried out.

    Attributes:
        digest: Tells it from another one with the same id.
        answer: What it was answered.
        at: When, unix seconds.
    """

    digest: str
    answer: dict[str, Any]
    at: float


@dataclass(slots=True)
class State:
    """Everything that outlives the program.

    Attributes:
        sessions: By uid.
        keys: By fingerprint.
        done: Commands by id, oldest first.
        updated_from: The version before the last update, until the hub was told of it.
        unsaid: Messages that no connection has taken, as they travel.
    """

    sessions: dict[str, SessionRecord] = field(default_factory=dict)
    keys: dict[str, KeyRecord] = field(default_factory=dict)
    done: dict[str, Done] = field(default_factory=dict)
    updated_from: str | None = None
    unsaid: list[str] = field(default_factory=list)


class Store:
    """Keeps the state.

    Args:
        path: The file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.state = self._load()

    def save(self) -> None:
        """Write the state.

        Raises:
            OSError: It cannot be written; what was written before stays.
        """
        text = json.dumps(asdict(self.state), separators=(",", ":"))
        atomic.write(self._path, text.encode(), mode=_OWNER_ONLY)

    def _load(self) -> State:
        try:
            return _read(json.loads(self._path.read_bytes()))
        except FileNotFoundError:
            return State()
        except (ValueError, TypeError, KeyError, AttributeError):
            # The control plane asks for all of it again; kept for whoever wants to know why.
            log.exception("the state is unreadable, and begins anew")
            self._path.replace(self._path.with_suffix(".unreadable"))
            return State()


def _read(saved: Mapping[str, Any]) -> State:
    return State(
        {uid: SessionRecord(**record) for uid, record in saved["sessions"].items()},
        {fingerprint: KeyRecord(**record) for fingerprint, record in saved["keys"].items()},
        {id_: Done(**record) for id_, record in saved["done"].items()},
        saved["updated_from"],
        saved.get("unsaid", []),
    )
