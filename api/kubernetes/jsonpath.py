"""The subset of JSONPath that columns and field selectors use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

# `.status.phase`, `.conditions[?(@.type=="Ready")].status`
STEP: Final = re.compile(
    r'\.(?P<field>[A-Za-z0-9_-]+)|\[\?\(@\.(?P<key>\w+)=="(?P<value>[^"]*)"\)\]'
)


@cache
def steps_of(path: str) -> tuple[tuple[str | None, str, str], ...]:
    """The steps of a path.

    Raises:
        ValueError: It is not of the subset.
    """
    found, position = [], 0
    for match in STEP.finditer(path):
        if match.start() != position:
            break
        found.append((match["field"], match["key"] or "", match["value"] or ""))
        position = match.end()
    if position != len(path) or not found:
        raise ValueError(f'{path!r} is not a path of fields and [?(@.key=="value")] filters')
    return tuple(found)


def look_up(path: str, data: Any) -> Any:
    """What is at a path of an object's JSON; None when nothing is."""
    for field, key, value in steps_of(path):
        if field is not None:
            data = data.get(field) if isinstance(data, Mapping) else None
        elif isinstance(data, list):
            data = next((e for e in data if isinstance(e, Mapping) and e.get(key) == value), None)
        else:
            return None
    return data
