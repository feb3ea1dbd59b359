"""Intent before effect: what is about to happen outside is written down first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from controller.engine import RetryLater
from controller.machine.tools import LISTING_GRACE, MachineScope
from controller.providers import ProviderError, Unavailable
from crds.errors import ConflictError
from crds.machine import Intent


def pending(scope: MachineScope, operation: str) -> bool:
    """Whether this operation was begun before and nobody knows what became of it."""
    intent = scope.object.status.intent
    return intent is not None and intent.operation == operation


@asynccontextmanager
async def effect(scope: MachineScope, operation: str) -> AsyncIterator[None]:
    """Record the intent, run the block that carries it out, and forget the intent.

    The intent stays on record when the outcome is unknown (a crash, a timeout after sending):
    the next reconcile then looks before it does anything again.

    Raises:
        ConflictError: The row moved; the block was not run.
    """
    status = scope.object.status
    before = status.intent
    again = before is not None and before.operation == operation
    status.intent = Intent(
        operation=operation,
        since=scope.now,
        attempt=before.attempt + 1 if again and before is not None else 1,
    )
    try:
        await scope.save_if_unmoved()
    except ConflictError:
        status.intent = before
        await scope.save()
        raise
    try:
        yield
    except Unavailable as error:
        if not error.outcome_unknown:
            scope.object.status.intent = None
        raise
    except ProviderError:
        scope.object.status.intent = None
        raise
    scope.object.status.intent = None


def await_evidence(scope: MachineScope) -> None:
    """Refuse to believe an absence while the last try may still show.

    Raises:
        RetryLater: The grace is not over.
    """
    intent = scope.object.status.intent
    if intent is None:
        return
    left = (intent.since + LISTING_GRACE - scope.now).total_seconds()
    if left > 0:
        raise RetryLater(
            "AwaitingEvidence",
            f"{intent.operation} may have taken effect; looking again before repeating it",
            after=left,
        )


def await_evidence_of(scope: MachineScope, operation: str) -> None:
    """Wait for the grace after an unfinished try of this operation.

    Raises:
        RetryLater: The grace is not over.
    """
    if pending(scope, operation):
        await_evidence(scope)
