"""What a provider's refusal means for a reconcile: the kinds of error, in one table."""

from __future__ import annotations

from typing import NamedTuple

from controller import providers
from controller.engine import Blocked, ReconcileError, RetryLater
from controller.providers import ProviderError
from controller.providers.digitalocean import ActionFailed, AlreadyInState, UnknownKey

# Seconds until a blocked object is looked at again although nothing changed.
RECHECK_SECONDS = 600.0


class Meaning(NamedTuple):
    """How to go on: the condition's reason, and either when to retry or that it is blocked."""

    reason: str
    after: float | None = None
    blocked: bool = False


MEANINGS: dict[type[ProviderError], Meaning] = {
    providers.RateLimited: Meaning("RateLimited"),
    providers.CircuitOpen: Meaning("ProviderDown", after=15),
    providers.Unavailable: Meaning("ProviderUnavailable"),
    providers.Unauthorized: Meaning("ProviderRefusesToken", after=60, blocked=True),
    providers.Forbidden: Meaning("Forbidden", after=RECHECK_SECONDS, blocked=True),
    providers.NameTaken: Meaning("NameTaken", after=5),
    providers.LeaseHeld: Meaning("LeaseHeld", after=5),
    providers.VersionConflict: Meaning("VersionConflict", after=1),
    providers.InsufficientCapacity: Meaning("NoCapacity", after=60),
    providers.QuotaReached: Meaning("ProviderQuotaReached", after=RECHECK_SECONDS, blocked=True),
    providers.VolumeClaimed: Meaning("VolumeClaimed", after=10),
    providers.VolumeBound: Meaning("VolumeBound", after=10),
    providers.NotReady: Meaning("NotReady", after=2),
    providers.WaitTimeout: Meaning("NotReady", after=2),
    providers.NotStopped: Meaning("NotReady", after=2),
    providers.NotFound: Meaning("NotFound", after=10),
    providers.AlreadyExists: Meaning("AlreadyExists", after=2),
    # Fly answers a new app's first calls oddly at times, so even a refusal is asked again.
    providers.InvalidRequest: Meaning("ProviderRefuses", after=RECHECK_SECONDS, blocked=True),
    providers.UnclassifiedConflict: Meaning("ProviderConflict", after=15),
    ActionFailed: Meaning("ActionFailed", after=30),
    # The look that comes next finds it so.
    AlreadyInState: Meaning("AlreadyInState", after=2),
    # A key that was added a moment ago is known a little later.
    UnknownKey: Meaning("UnknownKey", after=10),
}


def meaning_of(error: ProviderError) -> ReconcileError:
    """Turn a provider's refusal into what the engine does about it."""
    meaning = next(
        (MEANINGS[cls] for cls in type(error).__mro__ if cls in MEANINGS),
        Meaning(error.kind),
    )
    if meaning.blocked:
        return Blocked(
            meaning.reason,
            error.message,
            recheck_after=meaning.after,
            provider=error.provider,
            request_id=error.request_id,
        )
    after = error.retry_after if isinstance(error, providers.RateLimited) else meaning.after
    return RetryLater(
        meaning.reason,
        error.message,
        after=after,
        provider=error.provider,
        request_id=error.request_id,
    )
