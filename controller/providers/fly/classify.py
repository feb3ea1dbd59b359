"""What Fly's errors mean.

The texts are recorded, not promised (PROVIDERS.md): they are matched loosely, the documented
`status` codes are preferred, and what nobody knows becomes a class on which nobody acts.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from controller.providers import errors
from controller.providers.exchange import Answer, Ask, Reason, clean, retry_after

CODES: Mapping[str, type[errors.ProviderError]] = {
    "insufficient_capacity": errors.InsufficientCapacity,
    "volume_placement_capacity": errors.InsufficientCapacity,
    "name_taken": errors.NameTaken,
}
"""The documented codes of `ErrorResponse.status`."""

_ID = re.compile(r"machine(?:\s+ID)?:?\s+(?P<id>(?=[0-9a-z]*[0-9])[0-9a-z]{6,})\b", re.IGNORECASE)
"""With a digit in it, which tells an id from the words around it."""
_LEASE = re.compile(r"held by (?P<owner>.+?)(?:,\s*expires at\s+(?P<at>\S+))?\s*$", re.IGNORECASE)

Details = Callable[[str], dict[str, Any]]


def _nothing(_: str) -> dict[str, Any]:
    return {}


def _machine_as(field: str) -> Details:
    def details(text: str) -> dict[str, Any]:
        found = _ID.search(text)
        return {field: found["id"] if found else None}

    return details


def _lease(text: str) -> dict[str, Any]:
    found = _LEASE.search(text)
    if found is None:
        return {}
    return {"owner": found["owner"], "expires_at": _moment(found["at"])}


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        if text.isdigit():
            return datetime.fromtimestamp(int(text), UTC)
        return datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None


@dataclass(frozen=True, slots=True)
class Rule:
    """A text under some statuses, and what it means."""

    statuses: frozenset[int]
    text: re.Pattern[str]
    error: type[errors.ProviderError]
    details: Details = _nothing


def _rule(
    statuses: set[int],
    text: str,
    error: type[errors.ProviderError],
    details: Details = _nothing,
) -> Rule:
    return Rule(frozenset(statuses), re.compile(text, re.IGNORECASE), error, details)


REFUSED = {400, 409, 412, 422}
RULES: tuple[Rule, ...] = (
    _rule(
        {409, 422},
        r"already_exists|unique machine name|machine .*already exists",
        errors.AlreadyExists,
        _machine_as("existing_id"),
    ),
    _rule({409, 422}, r"name (has )?(already )?(been )?taken", errors.NameTaken),
    _rule(REFUSED, r"lease .*held", errors.LeaseHeld, _lease),
    _rule(REFUSED, r"already claimed", errors.VolumeClaimed, _machine_as("by")),
    _rule(REFUSED, r"currently bound|bound to machine", errors.VolumeBound, _machine_as("by")),
    _rule({400, 403, 409, 412, 422}, r"(machine|app|volume)s? limit|quota", errors.QuotaReached),
    _rule(
        REFUSED,
        r"insufficient (\w+ )?(resources|memory|cpu|capacity|space)"
        r"|insufficient_capacity|could not reserve|(no|not enough) (capacity|room|resources)",
        errors.InsufficientCapacity,
    ),
    _rule({409, 412}, r"not (currently )?stopped", errors.NotStopped),
    _rule(
        {409, 412},
        r"current_version|version (mismatch|conflict|changed|is stale)"
        r"|(stale|wrong|different|outdated|unexpected) (machine )?version"
        r"|not the (machine's )?current version|version .*(does not|doesn't) match",
        errors.VersionConflict,
    ),
    _rule(
        {409, 412},
        r"from current state|still active|getting replaced|already scheduled",
        errors.NotReady,
    ),
)
"""The first that fits counts; the statuses keep a word in another context from matching."""

BY_STATUS: Mapping[int, type[errors.ProviderError]] = {
    401: errors.Unauthorized,
    403: errors.Unauthorized,
    404: errors.NotFound,
    408: errors.WaitTimeout,
    409: errors.UnclassifiedConflict,
    412: errors.NotReady,
}
"""What a status means without known words."""

FOREIGN = frozenset({"apps.get"})
"""The operation that asks for a name which may be somebody else's; there 403 is an answer."""
SUCCESS = range(200, 300)
FORBIDDEN, TOO_MANY, BROKEN = 403, 429, 500


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
    text, code = words(answer)
    about = replace(reason, message=clean(text, *secrets)).fields()
    if answer.status == TOO_MANY:
        return errors.RateLimited(**about, retry_after=retry_after(answer))
    if code in CODES:
        return CODES[code](**about)
    for rule in RULES:
        if answer.status in rule.statuses and rule.text.search(text):
            return rule.error(**about, **rule.details(about["message"]))
    return _by_status(about, ask, answer.status)


def _by_status(about: dict[str, Any], ask: Ask, status: int) -> errors.ProviderError:
    if status >= BROKEN:
        return errors.Unavailable(**about, outcome_unknown=ask.mutating)
    if status == FORBIDDEN and ask.operation in FOREIGN:
        return errors.Forbidden(**about)
    return BY_STATUS.get(status, errors.InvalidRequest)(**about)


def words(answer: Answer) -> tuple[str, str]:
    """Return the error's text and its documented code; the code is empty where there is none."""
    raw = answer.content.decode(errors="replace")
    try:
        body = json.loads(raw)
    except ValueError:
        return raw or f"status {answer.status}", ""
    if not isinstance(body, dict):
        return raw, ""
    text = body.get("error") or body.get("message") or raw
    code = body.get("status") or body.get("status_code") or ""
    return str(text), code if isinstance(code, str) else ""
