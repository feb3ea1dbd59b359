"""What a reconcile that went well asks for."""

from __future__ import annotations

from dataclasses import dataclass

from controller.engine.queue import Priority


@dataclass(frozen=True, slots=True)
class Result:
    """When to look again.

    Attributes:
        requeue_after: Seconds until the key is due again; None waits for an event.
        priority: Of that next look; by default the one this look had.
    """

    requeue_after: float | None = None
    priority: Priority | None = None


DONE = Result()
"""Converged: wait for an event or the next resync."""
