"""What a provider can answer instead of doing what was asked.

    ProviderError
     ├─ RateLimited            429, or our own budget is paused; `retry_after`
     ├─ Unavailable            5xx, transport, deadline; `outcome_unknown`
     │   └─ CircuitOpen        not asked, because the breaker is open
     ├─ NotFound               404
     ├─ Unauthorized           401, or 403 on something of ours: the token is bad
     ├─ Forbidden              403 on a name that somebody else has
     ├─ AlreadyExists          the name is in use inside our own app; `existing_id`
     ├─ NameTaken              a global name belongs to somebody else
     ├─ LeaseHeld              another holder has the lease; `owner`, `expires_at`
     ├─ VersionConflict        the object moved since it was read
     ├─ InsufficientCapacity   no room on the host or in the region
     ├─ QuotaReached           the organisation's own limit
     ├─ VolumeClaimed          a volume already belongs to a machine; `by`
     ├─ VolumeBound            a volume still hangs on a machine; `by`
     ├─ NotReady               in a transitional state: ask again later
     ├─ WaitTimeout            408: the state was not reached in the time given
     ├─ NotStopped             destroying without force needs a stopped machine
     ├─ InvalidRequest         400, 422 and other refusals: asking again is no use
     └─ UnclassifiedConflict   a 409 whose words are unknown: never recreate on it

Every class is one decision of a reconciler; the provider's own words stay in `message`.
No error carries a request's headers or body.
"""

# ruff: noqa: N818 - the names are the conditions that a status shows, not programming errors

from dataclasses import dataclass
from datetime import datetime


@dataclass(kw_only=True, eq=False)
class ProviderError(Exception):
    """A provider did not do what was asked.

    Attributes:
        provider: Who was asked, for example `fly`.
        operation: What was asked, for example `machines.create`.
        message: The provider's words, cleaned of control characters and shortened.
        status: The HTTP status, or None when there was no answer.
        request_id: The provider's id of the request, for its support.
        sent: Whether the request left this process; None where that cannot be known.
    """

    provider: str
    operation: str
    message: str
    status: int | None = None
    request_id: str | None = None
    sent: bool | None = True

    @property
    def kind(self) -> str:
        """The class's name, for metrics and conditions."""
        return type(self).__name__

    def __str__(self) -> str:
        status = "" if self.status is None else f" {self.status}"
        request = "" if self.request_id is None else f" (request {self.request_id})"
        return f"{self.provider} {self.operation}{status}: {self.message}{request}"


@dataclass(kw_only=True, eq=False)
class RateLimited(ProviderError):
    """Too fast; `retry_after` seconds, or None when the provider did not say."""

    retry_after: float | None = None


@dataclass(kw_only=True, eq=False)
class Unavailable(ProviderError):
    """The provider could not be reached, or broke.

    `outcome_unknown` is True when a mutating request may have taken effect all the same:
    observe before doing it again.
    `timed_out` tells a hang from a quick failure.
    """

    outcome_unknown: bool = False
    timed_out: bool = False


class CircuitOpen(Unavailable):
    """Not asked at all: the provider has been failing, and its breaker waits for the probe."""


class NotFound(ProviderError):
    """There is no such thing (404); of an app only moments old this may not be true yet."""


class Unauthorized(ProviderError):
    """The token is missing, expired or not allowed to touch what is ours.

    A Fly app that is only moments old may answer so too (PROVIDERS.md): believe it later.
    """


class Forbidden(ProviderError):
    """The thing exists and is somebody else's (403)."""


@dataclass(kw_only=True, eq=False)
class AlreadyExists(ProviderError):
    """The name is in use; `existing_id` names the holder when the provider says so: adopt it."""

    existing_id: str | None = None


class NameTaken(ProviderError):
    """A globally unique name belongs to somebody else."""


@dataclass(kw_only=True, eq=False)
class LeaseHeld(ProviderError):
    """Somebody else leases the object: skip it this time."""

    owner: str | None = None
    expires_at: datetime | None = None


class VersionConflict(ProviderError):
    """The object has another version than the one that was read: read again."""


class InsufficientCapacity(ProviderError):
    """No room on the host or in the region."""


class QuotaReached(ProviderError):
    """The organisation's limit at the provider is reached; only a human raises it."""


@dataclass(kw_only=True, eq=False)
class VolumeClaimed(ProviderError):
    """The volume belongs to the machine `by` (None when that one is already gone)."""

    by: str | None = None


@dataclass(kw_only=True, eq=False)
class VolumeBound(ProviderError):
    """The volume cannot go while the machine `by` is not entirely destroyed."""

    by: str | None = None


class NotReady(ProviderError):
    """A transitional state refuses the action: wait and retry, never recreate."""


class WaitTimeout(ProviderError):
    """The state was not reached within the time that was given."""


class NotStopped(ProviderError):
    """The machine runs: destroying it needs force or a stop first."""


class InvalidRequest(ProviderError):
    """The request itself is wrong; repeating it changes nothing."""


class UnclassifiedConflict(ProviderError):
    """A conflict in unknown words: it proves neither presence nor absence of anything."""
