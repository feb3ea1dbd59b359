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
