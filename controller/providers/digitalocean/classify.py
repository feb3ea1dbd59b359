"""What DigitalOcean's errors mean.

The body is `{"id", "message"}`. The ids are as coarse as the statuses, and the messages are
recorded from the live API in public code, not promised: they are matched loosely.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime

from controller.providers import errors
from controller.providers.digitalocean.errors import AlreadyInState, UnknownKey
from controller.providers.exchange import Answer, Ask, Reason, clean, retry_after

RULES: tuple[tuple[re.Pattern[str], type[errors.ProviderError]], ...] = tuple(
    (re.compile(text, re.IGNORECASE), error)
    for text, error in (
        (r"pending event|already (in progress|being)|is (currently )?locked", errors.NotReady),
        (r"already powered", AlreadyInState),
        (r"exceed your droplet limit|(droplet|ssh key) limit", errors.QuotaReached),
        (r"invalid key identifiers", UnknownKey),
        (r"key is already in use", errors.AlreadyExists),
        (r"(not |un)available in th(is|e( selected)?) region", errors.InsufficientCapacity),
        (r"restricted in this region", errors.InsufficientCapacity),
        (r"region is (currently )?(not |un)available", errors.InsufficientCapacity),
        (r"(no|not enough|insufficient) capacity", errors.InsufficientCapacity),
    )
)
"""Words of a 4xx that refuses a droplet or its action; the first that fits counts."""

REFUSED = frozenset({400, 409, 412, 422})
BY_STATUS: Mapping[int, type[errors.ProviderError]] = {
    401: errors.Unauthorized,
    # The token is good but lacks the scope, or the account is locked: no refresh mends that.
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.UnclassifiedConflict,
    412: errors.NotReady,
    423: errors.NotReady,
}
SUCCESS = range(200, 300)
TOO_MANY, BROKEN = 429, 500
LONGEST_RESET = 3600.0
"""Seconds: the longest window that DigitalOcean counts over (PROVIDERS.md, limits)."""


def classify(
    reason: Reason, ask: Ask, answer: Answer, *secrets: str
) -> errors.ProviderError | None:
    """Return the typed error of an answer, or None when it is a success.

    Args:
        reason: Where it comes from, still without words.
        ask: What was asked.
        answer: The answer.
        secrets: What must not be in the words.
    """
    if answer.status in SUCCESS:
        return None
    text = words(answer)
    about = replace(reason, message=clean(text, *secrets)).fields()
    if answer.status == TOO_MANY:
        return errors.RateLimited(**about, retry_after=retry_after(answer, until_reset(answer)))
    if answer.status >= BROKEN:
        return errors.Unavailable(**about, outcome_unknown=ask.mutating)
    if answer.status in REFUSED:
        for pattern, error in RULES:
            if pattern.search(text):
                return error(**about)
    return BY_STATUS.get(answer.status, errors.InvalidRequest)(**about)


def words(answer: Answer) -> str:
    """Return the error's text in any of the shapes that DigitalOcean uses."""
    raw = answer.content.decode(errors="replace")
    try:
        body = json.loads(raw)
    except ValueError:
        return raw or f"status {answer.status}"
    if not isinstance(body, dict):
        return raw
    names = ("message", "error_description", "error", "id")
    return str(next((body[name] for name in names if body.get(name)), raw))


def exhausted(answer: Answer) -> bool:
    """Return whether the answer says that it was the last one for a while."""
    return answer.headers.get("ratelimit-remaining", "").strip() == "0"


def until_reset(answer: Answer) -> float | None:
    """Return the seconds until the oldest counted request expires, None where nobody says.

    `ratelimit-reset` is unix time; it is read against the answer's own `date`, so that no clock
    of ours is compared with DigitalOcean's.
    """
    try:
        reset = float(answer.headers.get("ratelimit-reset", ""))
        said = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except ValueError:
        return None
    return min(LONGEST_RESET, max(1.0, reset - said))
