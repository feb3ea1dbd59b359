"""The log of what was changed through a provider's API."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Effect:
    """One successful mutation.

    Attributes:
        seq: position in the log, from 0.
        at: unix seconds.
        method: HTTP method.
        path: path template, as in the provider's specification.
        operation: short name such as `machines.create`.
        app: Fly app or KV namespace, empty where there is none.
        id: what was changed: the provider's identifier, or the key.
        details: the request's decoded body, empty without one.
    """

    seq: int
    at: float
    method: str
    path: str
    operation: str
    app: str
    id: str
    details: dict[str, Any] = field(default_factory=dict)


class EffectLog(list[Effect]):
    """The log, oldest first.

    Attributes:
        kept: how many to keep; None for all. A server that runs for days keeps few.
    """

    kept: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self._next = 0

    def add(
        self,
        at: float,
        method: str,
        path: str,
        operation: str,
        app: str,
        key: str,
        details: dict[str, Any],
    ) -> None:
        """Append an effect."""
        self.append(Effect(self._next, at, method, path, operation, app, key, details))
        self._next += 1
        if self.kept is not None:
            del self[: -self.kept]
