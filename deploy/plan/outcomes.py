"""What becomes of the objects of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from psycopg.rows import DictRow

from crds.meta import Key

REFUSALS = ("RegionRefused", "ShrinkRefused")
# What is over for good, and is as it shall be.
OVER = frozenset({"Disconnected", "Ended", "Expired"})
# What only a user's own droplet, or its user, can bring on.
AWAY = frozenset({"Failed", "Offline", "ProvisioningTimeout", "Waiting"})
# Why Ready is False until somebody wishes otherwise, although all else goes on.
FIXED = frozenset({"DropletIsFixed", "InUse"})


class Outcome(NamedTuple):
    """What becomes of one object.

    Attributes:
        key: Which.
        before: Its phase at present; None when it is not there yet.
        after: Its phase in the end; None when it is gone.
        problem: Why the wish has not come true; None when it has.
    """

    key: Key
    before: str | None
    after: str | None
    problem: str | None


def outcomes(before: Sequence[DictRow], after: Sequence[DictRow]) -> list[Outcome]:
    """What became of everything that was or is there.

    Args:
        before: The rows before.
        after: The same in the end.
    """
    then = {key_of(row): row for row in before}
    now = {key_of(row): row for row in after}
    return [
        Outcome(
            key,
            _phase(then.get(key)),
            _phase(now.get(key)),
            _problem(now[key]) if key in now else None,
        )
        for key in sorted(then.keys() | now.keys())
    ]


def key_of(row: Mapping[str, Any]) -> Key:
    """A row's key."""
    return Key(row["kind"], row["namespace"], row["name"])


def _phase(row: Mapping[str, Any] | None) -> str | None:
    return None if row is None else row["status"].get("phase", "Pending")


def _problem(row: Mapping[str, Any]) -> str | None:
    """Why an object is not as wished, in its own words."""
    status = row["status"]
    if (retry := status.get("retry")) is not None:
        return f"{retry['kind']}, {retry['reason']}: {retry.get('message', '')}"
    for condition in status.get("conditions") or []:
        if condition["type"] in REFUSALS and condition["status"] == "True":
            return f"{condition['type']}: {condition.get('message', '')}"
    if row["deletion_timestamp"] is not None:
        return "its deletion is not through"
    if is_unsettled(row):
        ready = _ready(row)
        return f"{ready['reason']}: {ready.get('message', '')}" if ready else "not looked at yet"
    return None


def is_unsettled(row: Mapping[str, Any]) -> bool:
    """Whether something about it is still to be done."""
    status, ready = row["status"], _ready(row)
    return (
        row["deletion_timestamp"] is not None
        or status.get("observedGeneration") != row["generation"]
        or status.get("retry") is not None
        or status.get("intent") is not None
        or ready is None
        or (ready["status"] != "True" and status.get("phase") not in OVER)
    )


def is_blocked(row: Mapping[str, Any]) -> bool:
    """Whether it waits for somebody."""
    status = row["status"]
    retry = (status.get("retry") or {}).get("kind")
    reason = (_ready(row) or {}).get("reason")
    return retry in {"Blocked", "Terminal"} or status.get("phase") in AWAY or reason in FIXED


def _ready(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    conditions = row["status"].get("conditions") or []
    return next((c for c in conditions if c["type"] == "Ready"), None)
