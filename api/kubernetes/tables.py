"""Tables: the columns that kubectl prints, made by the server."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

from api.kubernetes.jsonpath import look_up
from api.kubernetes.selectors import as_text
from api.kubernetes.served import Json, Served
from crds.meta import Column

IncludeObject = Literal["None", "Metadata", "Object"]
NAME: Final = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "description": "Unique within its namespace.",
    "priority": 0,
}
AGE: Final = {
    "name": "Age",
    "type": "string",
    "format": "",
    "description": "Since it was made.",
    "priority": 0,
}
MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400
# Below so many seconds: in which unit, and in which smaller one the rest, if it is shown.
SCALES: Final = (
    (2 * MINUTE, 1, "s", 0, ""),
    (10 * MINUTE, MINUTE, "m", 1, "s"),
    (3 * HOUR, MINUTE, "m", 0, ""),
    (8 * HOUR, HOUR, "h", MINUTE, "m"),
    (2 * DAY, HOUR, "h", 0, ""),
    (8 * DAY, DAY, "d", HOUR, "h"),
    (2 * YEAR, DAY, "d", 0, ""),
    (math.inf, YEAR, "y", DAY, "d"),
)


def table(
    served: Served,
    objects: Sequence[Json],
    *,
    now: datetime,
    include: IncludeObject,
    metadata: Json,
) -> Json:
    """Objects as a meta.k8s.io/v1 Table.

    Args:
        served: What they are.
        objects: The objects.
        now: The moment for ages.
        include: How much of each object goes along.
        metadata: The list's metadata.
    """
    columns = [_heading(column) for column in served.columns]
    if served.row is None:
        columns = [NAME, *columns, AGE]
    form: Json = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    form["columnDefinitions"] = columns
    form["rows"] = [_row(served, obj, now, include) for obj in objects]
    return form


def partial(obj: Json) -> Json:
    """Only an object's metadata."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj["metadata"],
    }


def _heading(column: Column) -> Json:
    return {
        "name": column.name,
        "type": "string" if column.type == "date" else column.type,
        "format": "",
        "description": column.description or f"Custom resource definition column: {column.path}",
        "priority": column.priority,
    }


def _row(served: Served, obj: Json, now: datetime, include: IncludeObject) -> Json:
    make = served.row or (lambda obj, now: _cells(served, obj, now))
    row: Json = {"cells": make(obj, now)}
    if include != "None":
        row["object"] = obj if include == "Object" else partial(obj)
    return row


def _cells(served: Served, obj: Json, now: datetime) -> list[object]:
    return [
        obj["metadata"]["name"],
        *(_cell(column, obj, now) for column in served.columns),
        age(obj["metadata"].get("creationTimestamp"), now),
    ]


def _cell(column: Column, obj: Json, now: datetime) -> object:
    value = look_up(column.path, obj)
    if column.type == "date":
        return age(value, now)
    if value is None or isinstance(value, dict | list):
        return "" if value is None else as_text(value)
    return value if column.type != "string" else as_text(value)


def age(moment: object, now: datetime) -> str:
    """How long ago a moment was, in Kubernetes' short words: `42s`, `3m7s`, `5h`, `8d`."""
    try:
        since = datetime.fromisoformat(str(moment))
    except ValueError:
        return "<unknown>"
    seconds = max(0, int((now - since).total_seconds()))
    _, large, unit, small, small_unit = next(scale for scale in SCALES if seconds < scale[0])
    whole, rest = divmod(seconds, large)
    return f"{whole}{unit}" + (f"{rest // small}{small_unit}" if small and rest // small else "")
