"""On whose behalf a provider is called."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum


class Priority(IntEnum):
    """Who is served first when the budget is short, in the order of the budget law (DESIGN.md)."""

    USER = 0
    HEALTH = 1
    ROLLOUT = 2
    RESYNC = 3
    COLLECTION = 4


@dataclass(frozen=True, slots=True)
class Call:
    """The context of one call.

    Attributes:
        priority: The place in the queue for the budget.
        guard: Called immediately before a *mutating* request is sent, after all waiting;
            what it raises passes through unwrapped and nothing is sent.
            The engine raises from it when the shard was lost.
    """

    priority: Priority = Priority.RESYNC
    guard: Callable[[], None] | None = None
