"""Intent before effect, and how long an effect may take before somebody is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from controller.engine import RetryLater
from controller.providers import ProviderError, Unavailable
from controller.vps.tools import LISTING_GRACE, VpsScope, Wait
from crds.errors import ConflictError
from crds.vps import VpsIntent, VpsOperation

BUSY: Final = "Busy"
"""The condition that DigitalOcean is at work on the droplet."""
STUCK_AFTER: Final = timedelta(minutes=10)
# Looks space out with an action's age, and a stuck one is hardly looked at.
FIRST_LOOK, LONGEST_LOOK, STUCK_LOOK = 2.0, 10.0, 60.0
# While a creation's outcome is unknown a list may show it at any time.
EVIDENCE_LOOK = 15.0


@asynccontextmanager
async def effect(
    scope: VpsScope, operation: VpsOperation, droplet: int | None = None
) -> AsyncIterator[VpsIntent]:
    """Record the intent, run the block that asks, and record that it was accepted.

    The intent stays on record without `accepted_at` when the outcome is unknown (a crash, a
    timeout after sending): the next reconcile looks before it does anything again.

    Raises:
        ConflictError: The row moved; the block was not run.
    """
    status = scope.object.status
    before = status.intent
    again = before is not None and (before.operation, before.droplet) == (operation, droplet)
    attempt = before.attempt + 1 if again and before is not None else 1
    intent = VpsIntent(operation=operation, since=scope.now, droplet=droplet, attempt=attempt)
    status.intent = intent
    try:
        await scope.save_if_unmoved()
    except ConflictError:
        status.intent = before
        await scope.save()
        raise
    try:
        yield intent
    except Unavailable as error:
        if not error.outcome_unknown:
            status.intent = None
        raise
    except ProviderError:
        status.intent = None
        raise
    intent.accepted_at = scope.now
    await scope.save()


def await_evidence(scope: VpsScope) -> None:
    """Refuse to believe that there is no droplet while the last try may still show.

    Raises:
        RetryLater: The grace is not over.
    """
    intent = scope.object.status.intent
    if intent is None or intent.operation != "Create":
        return
    left = (intent.since + LISTING_GRACE - scope.now).total_seconds()
    if left > 0:
        raise RetryLater(
            "AwaitingEvidence",
            "a droplet may have been made; looking again before another one is",
            after=min(left, EVIDENCE_LOOK),
        )


def busy(scope: VpsScope, what: str) -> Wait:
    """Note that DigitalOcean is at work on the droplet; warn when that takes too long.

    Args:
        scope: The Vps.
        what: What is under way, in words.
    """
    known = scope.object.status.condition(BUSY)
    since = scope.now if known is None else known.last_transition_time
    age = scope.now - since
    if age < STUCK_AFTER:
        scope.condition(BUSY, status=True, reason="UnderWay", message=what)
        return Wait(min(LONGEST_LOOK, max(FIRST_LOOK, age.total_seconds() / 4)), what)
    message = f"{what} has been under way since {since:%H:%M} UTC; look at DigitalOcean's panel"
    if known is not None and known.reason != "Stuck":
        scope.event("Stuck", message, warning=True)
    scope.condition(BUSY, status=True, reason="Stuck", message=message)
    return Wait(STUCK_LOOK, message)


def idle(scope: VpsScope) -> None:
    """Note that nothing is under way."""
    scope.object.status.drop_condition(BUSY)
