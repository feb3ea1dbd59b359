"""The two ways to write an object, and what each does to the ownership of its fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any

from crds.errors import Cause, InvalidError
from crds.managed_fields.conflicts import ApplyConflictError, Conflict
from crds.managed_fields.entries import (
    UPDATE,
    Claim,
    Claims,
    Owner,
    capped,
    read_entries,
    write_entries,
)
from crds.managed_fields.fields import NOTHING, FieldSet, Json, Path, display
from crds.managed_fields.handover import KUBECTL, last_applied_fields, refresh_last_applied
from crds.managed_fields.structure import (
    SYSTEM_METADATA,
    Comparison,
    Fields,
    applied,
    children,
    compare,
    fields_of,
    is_list,
    item_element,
    merge,
    metadata_of,
    rooted,
    with_implied,
    without,
)

STATUS = "status"


def record_update(
    old: Json | None,
    new: Json,
    entries: Sequence[Json],
    *,
    manager: str,
    now: datetime,
    schema: Json,
    subresource: str = "",
) -> list[Json]:
    """The managedFields after a create, replace or patch.

    The manager owns what it changed, others lose what was changed or removed.
    Through the object itself nobody comes to own its status, through `status` nothing else.

    Args:
        old: The object before; None for a create.
        new: The object that will be kept.
        entries: The managedFields before; see `accept_entries`.
        manager: Who writes.
        now: The loop's wall time.
        schema: The kind's structural schema.
        subresource: What the write came through; empty for the object itself.

    Returns:
        The new managedFields; the given ones if no field changed.
    """
    root = rooted(schema)
    before = fields_of(old, root)
    change = compare(before, fields_of(new, root))
    if not change.touched:
        return list(entries)
    me = Owner.updater(manager, subresource, new.get("apiVersion", ""))
    held = read_entries(entries, before)
    mine = held.get(me, Claim())
    claims = _minus(held, change.touched)
    if fresh := _in_scope(change.written, subresource) | (mine.fields & change.touched):
        kept = (mine.fields | fresh) - change.removed
        claims[me] = mine.renewed(kept, me.api_version, now)
    return write_entries(capped(claims))


def apply(
    live: Json | None,
    config: Json,
    entries: Sequence[Json],
    *,
    manager: str,
    force: bool,
    now: datetime,
    schema: Json,
    subresource: str = "",
) -> tuple[Json, list[Json]]:
    """Server-side apply: the object and the managedFields that a configuration makes.

    Fields of the configuration are set and owned; fields that the manager applied before and
    leaves out are removed unless somebody else owns them; lists are merged as the schema says.
    The configuration's status counts only through `status`, where nothing else of it counts.
    What the server decides (uid, resourceVersion and the like) is taken from the live object.

    Args:
        live: The object that is there; None if there is none.
        config: What the manager has an opinion about.
        entries: The managedFields of the live object.
        manager: Who applies.
        force: Take conflicting fields over.
        now: The loop's wall time.
        schema: The kind's structural schema.
        subresource: What the request came through; empty for the object itself.

    Returns:
        The merged object, without `metadata.managedFields`, and its managedFields.

    Raises:
        ApplyConflictError: Fields would change that others own, and `force` is not given.
        InvalidError: An item of a list has no key, or two have the same one.
    """
    root = rooted(schema)
    wish = _wish(config, subresource)
    _check_items(wish, root)
    before = fields_of(live, root)
    claims = read_entries(entries, before)
    me = Owner.applier(manager, subresource)
    last = claims.pop(me, Claim())
    owned = applied(fields_of(wish, root))
    merged = _merged(live, config, wish, root)
    merged = without(merged, _given_up(last, owned, claims, fields_of(merged, root)), root)
    change = compare(before, fields_of(merged, root))
    if not force:
        _refuse_conflicts(claims, change, _allowed(live, manager, root))
    claims = _minus(claims, change.touched)
    claims[me] = _reapplied(last, owned, change, config.get("apiVersion", ""), now)
    if manager == KUBECTL and not subresource:
        refresh_last_applied(merged, config)
    return merged, write_entries(claims)


def _in_scope(fields: FieldSet, subresource: str) -> FieldSet:
    """The fields that a request decides on: the object's status has an endpoint of its own."""
    if subresource not in ("", STATUS):
        return fields
    return frozenset(
        path for path in fields if (path[0] == f"f:{STATUS}") == (subresource == STATUS)
    )


def _wish(config: Json, subresource: str) -> Json:
    """The part of a configuration that can be owned through a subresource."""
    if subresource == STATUS:
        return {STATUS: config[STATUS]} if STATUS in config else {}
    wish = {name: part for name, part in config.items() if name not in ("apiVersion", "kind")}
    wish["metadata"] = {
        name: part for name, part in metadata_of(config).items() if name not in SYSTEM_METADATA
    }
    if not subresource:
        wish.pop(STATUS, None)
    return wish


def _merged(live: Json | None, config: Json, wish: Json, root: Json) -> Json:
    base = _identity(config) if live is None else live
    merged: Json = deepcopy(merge(base, wish, root))
    metadata_of(merged).pop("managedFields", None)
    return merged


def _identity(config: Json) -> Json:
    """What a new object has from its configuration without owning it."""
    named: Json = {name: config[name] for name in ("apiVersion", "kind") if name in config}
    system = {name: part for name, part in metadata_of(config).items() if name in SYSTEM_METADATA}
    return {**named, "metadata": system}


def _given_up(last: Claim, owned: FieldSet, others: Claims, merged: Fields) -> FieldSet:
    """What was applied last time, is not now, and nobody else owns."""
    wanted = owned.union(*(claim.fields for claim in others.values()))
    return with_implied(last.fields, merged) - with_implied(wanted, merged)


def _allowed(live: Json | None, manager: str, root: Json) -> FieldSet:
    return last_applied_fields(live, root) if manager == KUBECTL else NOTHING


def _refuse_conflicts(others: Claims, change: Comparison, allowed: FieldSet) -> None:
    conflicts = [
        Conflict(
            owner.manager,
            owner.operation,
            display(path),
            owner.api_version if owner.operation == UPDATE else "",
            owner.subresource,
        )
        for owner, claim in others.items()
        for path in (claim.fields & change.written) - allowed
    ]
    if conflicts:
        raise ApplyConflictError(conflicts)


def _reapplied(
    last: Claim, owned: FieldSet, change: Comparison, api_version: str, now: datetime
) -> Claim:
    """The applier's claim; its time moves with its fields and their values only."""
    if owned == last.fields and not owned & change.written:
        return last._replace(api_version=api_version)
    return last.renewed(owned, api_version, now)


def _minus(claims: Claims, lost: FieldSet) -> Claims:
    return {owner: claim._replace(fields=claim.fields - lost) for owner, claim in claims.items()}


def _check_items(wish: Json, root: Json) -> None:
    causes = list(_broken_items(wish, root, ()))
    if causes:
        raise InvalidError(causes)


def _broken_items(value: Any, schema: Json, path: Path) -> Iterator[Cause]:
    if is_list(value, schema):
        counts = Counter(item_element(item, schema) for item in value)
        if counts.pop(None, 0):
            yield _cause(path, "every item of this list needs its key")
        for element, count in counts.items():
            if element is not None and count > 1:
                yield _cause((*path, element), "is in the list more than once")
    for child in children(value, schema) or []:
        yield from _broken_items(child.value, child.schema, (*path, child.element))


def _cause(path: Path, message: str) -> Cause:
    return Cause(display(path).removeprefix("."), message)
