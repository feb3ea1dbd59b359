"""The types of a body's values, as the kind's schema names them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from crds.errors import Cause

WORDS: Final = {
    "string": "must be a string",
    "integer": "must be a whole number",
    "number": "must be a number",
    "boolean": "must be true or false",
    "array": "must be a list",
    "object": "must be an object",
}


def wrong_types(value: Any, schema: dict[str, Any], path: str = "") -> Iterator[Cause]:
    """Every value that is of another type than the schema says; null counts as left out.

    The kinds themselves would take text for numbers: what is stored should be what was sent.

    Args:
        value: A value of a body.
        schema: Its structural schema.
        path: Where it is.
    """
    type_ = schema.get("type")
    if value is None or type_ is None:
        return
    if not _is(value, type_):
        yield Cause(path, WORDS[type_])
        return
    if isinstance(value, dict):
        properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
        for name, each in value.items():
            of = properties.get(name, extra)
            if isinstance(of, dict):
                yield from wrong_types(each, of, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from wrong_types(each, schema.get("items") or {}, f"{path}[{number}]")


def _is(value: Any, type_: str) -> bool:
    match type_:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            return whole and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "array":
            return isinstance(value, list)
        case _:
            return isinstance(value, dict)
