"""What a server-side apply is refused for."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple


class Conflict(NamedTuple):
    """A field that an apply would change and that somebody else owns.

    Attributes:
        manager: Who owns the field.
        operation: How they came to own it: Apply or Update.
        field: The field, for people: `.status.conditions[type="Ready"].reason`.
        api_version: The version that an Update was made in; empty for an Apply.
        subresource: The subresource that the field was written through, if any.
    """

    manager: str
    operation: str
    field: str
    api_version: str = ""
    subresource: str = ""

    @property
    def owner(self) -> str:
        """The owner in Kubernetes' words: `"kubectl-edit" using invoker.dev/v1`."""
        through = f' with subresource "{self.subresource}"' if self.subresource else ""
        using = f" using {self.api_version}" if self.api_version else ""
        return f'"{self.manager}"{through}{using}'

    @property
    def message(self) -> str:
        """The text of the cause that a client is answered."""
        return f"conflict with {self.owner}"


class ApplyConflictError(Exception):
    """Others own fields that the configuration would change.

    Its text is the one that kubectl shows.

    Attributes:
        conflicts: One for every field and entry that owns it, sorted.
    """

    def __init__(self, conflicts: Iterable[Conflict]) -> None:
        self.conflicts = sorted(conflicts)
        super().__init__(_summary(self.conflicts))


def _summary(conflicts: list[Conflict]) -> str:
    if len(conflicts) == 1:
        return f"Apply failed with 1 conflict: {conflicts[0].message}: {conflicts[0].field}"
    by_owner = groupby(sorted(conflicts, key=_owner), key=_owner)
    lines = (
        "\n".join([f"conflicts with {owner}:", *(f"- {conflict.field}" for conflict in group)])
        for owner, group in by_owner
    )
    return f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)


def _owner(conflict: Conflict) -> str:
    return conflict.owner
