"""Between rows and objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from uuid import UUID

from crds.errors import InvalidError
from crds.meta import Key, ObjectMeta, Resource

R = TypeVar("R", bound=Resource)

COLUMNS = (
    "uid, kind, namespace, name, resource_version, generation, creation_timestamp, "
    "deletion_timestamp, labels, annotations, finalizers, owner_references, managed_fields, "
    "spec, status"
)


def to_object(kind: type[R], row: Mapping[str, Any]) -> R:
    """Build the object from its row.

    A spec that breaks the kind's rules can only come from an edit by plain SQL.

    Raises:
        InvalidError: With every broken rule; the field paths begin with `spec`.
    """
    return kind.parse(to_json(row))


def without_spec(kind: type[R], row: Mapping[str, Any]) -> R:
    """Build the object from a row whose spec is broken, with nothing wished for.

    Good only for what does not look at the spec: removal.
    """
    data = to_json(row)
    spec_type = kind.model_fields["spec"].annotation
    status_type = kind.model_fields["status"].annotation
    made: R = kind.model_construct(  # type: ignore[assignment]  # it makes one of itself
        metadata=ObjectMeta.model_validate(data["metadata"]),
        spec=spec_type.model_construct(),  # type: ignore[union-attr]  # every kind narrows it to a Model
        status=status_type.model_validate(data["status"]),  # type: ignore[union-attr]  # the same
    )
    return made


def to_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """The object's JSON form from its row."""
    return {
        "metadata": {
            "name": row["name"],
            "namespace": row["namespace"],
            "uid": row["uid"],
            "resourceVersion": row["resource_version"],
            "generation": row["generation"],
            "creationTimestamp": row["creation_timestamp"],
            "deletionTimestamp": row["deletion_timestamp"],
            "labels": row["labels"],
            "annotations": row["annotations"],
            "finalizers": row["finalizers"],
            "ownerReferences": row["owner_references"],
            # The log may hold rows that are older than this column.
            "managedFields": row.get("managed_fields") or [],
        },
        "spec": row["spec"],
        "status": row["status"],
    }


@dataclass(frozen=True, slots=True)
class Broken:
    """A row whose spec breaks its kind's rules, with what is wrong."""

    key: Key
    row: Mapping[str, Any]
    error: InvalidError


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change of one object.

    Attributes:
        type: What happened; a BOOKMARK only says how far the log was read.
        resource_version: Its place in the log.
        spec_changed: Whether anything but the status changed.
        object: The object's JSON after the change (before it, for DELETED); None in a bookmark.
        previous: The object's JSON before a MODIFIED.
    """

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    resource_version: int
    key: Key
    uid: UUID
    spec_changed: bool
    object: dict[str, Any] | None
    previous: dict[str, Any] | None
