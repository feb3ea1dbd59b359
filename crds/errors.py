"""What the store can refuse.

StoreError
 ├─ NotFoundError          no such object
 ├─ AlreadyExistsError     the key is taken
 ├─ ConflictError          the row moved since it was read
 │   └─ FencedError        the writer's shard lease belongs to somebody else
 ├─ InvalidError           the object breaks a rule of its kind
 └─ ExpiredError           a watch asks for versions that are compacted, or not there yet
"""

from __future__ import annotations

from dataclasses import dataclass


class StoreError(Exception):
    """Base of everything the store raises on purpose."""


class NotFoundError(StoreError):
    """No object has this key."""


class AlreadyExistsError(StoreError):
    """An object with this key exists."""


class ConflictError(StoreError):
    """The row moved since it was read: read again and decide anew."""


class FencedError(ConflictError):
    """The lease that fences this write has another epoch: the shard was lost."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One broken rule.

    Attributes:
        field: Dotted path of the field, as the user wrote it.
        message: The rule, in words.
    """

    field: str
    message: str


class InvalidError(StoreError):
    """The object breaks rules of its kind; `causes` lists every one."""

    def __init__(self, causes: list[Cause]) -> None:
        self.causes = causes
        super().__init__("; ".join(f"{cause.field}: {cause.message}" for cause in causes))


class ExpiredError(StoreError):
    """The asked resourceVersion is no longer, or not yet, in the log: list again."""
