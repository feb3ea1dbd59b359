"""The entries of `metadata.managedFields`: reading, writing, and how many there may be."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from crds.managed_fields.fields import NOTHING, FieldSet, Json, Path, decode, encode
from crds.managed_fields.structure import Fields

APPLY: Final = "Apply"
UPDATE: Final = "Update"
# Kubernetes' numbers and names: so many entries of updates are kept apart, the oldest are merged.
MAX_UPDATE_ENTRIES = 10
ANCIENT = "ancient-changes"
UNKNOWN = "unknown"


class Owner(NamedTuple):
    """What tells one entry from another.

    Who applies is the same in every version of the API; who updates is not.
    """

    operation: str
    manager: str
    subresource: str
    api_version: str

    @classmethod
    def applier(cls, manager: str, subresource: str) -> Owner:
        """Somebody who applies."""
        return cls(APPLY, manager or UNKNOWN, subresource, "")

    @classmethod
    def updater(cls, manager: str, subresource: str, api_version: str) -> Owner:
        """Somebody who creates, replaces or patches."""
        return cls(UPDATE, manager or UNKNOWN, subresource, api_version)

    @classmethod
    def of(cls, entry: Json) -> Owner:
        """The owner that an entry is about."""
        manager, subresource = entry.get("manager") or "", entry.get("subresource") or ""
        if entry.get("operation") == APPLY:
            return cls.applier(manager, subresource)
        return cls.updater(manager, subresource, entry.get("apiVersion") or "")


class Claim(NamedTuple):
    """What an owner owns, and since when; RFC 3339, empty if nobody noted it."""

    fields: FieldSet = NOTHING
    api_version: str = ""
    time: str = ""

    def renewed(self, fields: FieldSet, api_version: str, now: datetime) -> Claim:
        """A claim to these fields that was asserted at this moment."""
        return self._replace(fields=fields, api_version=api_version, time=timestamp(now))


Claims = dict[Owner, Claim]


def timestamp(moment: datetime) -> str:
    """RFC 3339 with seconds, as Kubernetes writes times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_entries(entries: Sequence[Json], fields: Fields) -> Claims:
    """What is owned of an object that has these fields."""
    return {Owner.of(entry): _claim(entry, fields) for entry in entries}


def _claim(entry: Json, fields: Fields) -> Claim:
    owned = (_existing(path, fields) for path in decode(entry.get("fieldsV1")))
    return Claim(
        frozenset(path for path in owned if path),
        entry.get("apiVersion") or "",
        entry.get("time") or "",
    )


def _existing(path: Path, fields: Fields) -> Path:
    """The field that a path stands for; empty if there is none.

    Who owned parts of what the schema says is owned as a whole by now, owns the whole.
    """
    for depth in range(1, len(path)):
        around = fields.get(path[:depth])
        # Metadata itself is no field, but its parts are.
        if around is not None and not around.branch:
            return path[:depth]
    return path if path in fields else ()


def write_entries(claims: Claims) -> list[Json]:
    """The entries for `metadata.managedFields`, in Kubernetes' order."""
    owning = sorted(
        ((owner, claim) for owner, claim in claims.items() if claim.fields), key=_position
    )
    return [_entry(owner, claim) for owner, claim in owning]


def _position(item: tuple[Owner, Claim]) -> tuple[str, ...]:
    owner, claim = item
    return owner.operation, claim.time, owner.manager, claim.api_version, owner.subresource


def _entry(owner: Owner, claim: Claim) -> Json:
    entry: Json = {
        "manager": owner.manager,
        "operation": owner.operation,
        "apiVersion": claim.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": encode(claim.fields),
    }
    if claim.time:
        entry["time"] = claim.time
    if owner.subresource:
        entry["subresource"] = owner.subresource
    return entry


def capped(claims: Claims) -> Claims:
    """The claims with the oldest updates merged into one, if there are too many."""
    claims = {owner: claim for owner, claim in claims.items() if claim.fields}
    updates = sorted(
        (item for item in claims.items() if item[0].operation == UPDATE), key=_position
    )
    surplus = len(updates) - MAX_UPDATE_ENTRIES
    for owner, claim in updates:
        if surplus <= 0:
            break
        # Fields belong to the version they were written in, so versions are merged apart.
        ancient = Owner.updater(ANCIENT, "", owner.api_version)
        del claims[owner]
        bucket = claims.get(ancient)
        surplus -= bucket is not None
        claims[ancient] = claim if bucket is None else _merged(bucket, claim)
    return claims


def _merged(bucket: Claim, claim: Claim) -> Claim:
    return claim._replace(fields=bucket.fields | claim.fields, time=max(bucket.time, claim.time))


def accept_entries(sent: Any, live: Sequence[Json]) -> list[Json]:
    """Choose the entries that a create, replace or patch starts from.

    Clients may edit `metadata.managedFields`: kubectl does when it takes an object over from
    client-side apply. One that sends none, or none that can be read, changes nothing by that.

    Args:
        sent: `metadata.managedFields` of the object that was sent; None if it has none.
        live: The entries of the object that is there.

    Returns:
        What was sent if it is sound; nothing if a reset was asked for, which is an empty list or
        a list of one empty entry; otherwise the live ones.
    """
    if sent in ([], [{}]):
        return []
    if isinstance(sent, list) and all(map(_is_sound, sent)):
        return list(sent)
    return list(live)


def _is_sound(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and entry.get("operation") in (APPLY, UPDATE)
        and entry.get("fieldsType") == "FieldsV1"
        and isinstance(entry.get("fieldsV1"), dict | None)
        and bool(entry.get("apiVersion"))
        and all(
            isinstance(entry.get(name) or "", str)
            for name in ("manager", "apiVersion", "subresource", "time")
        )
    )
