"""Reads values by the part of JSON Schema (draft 2020-12) that the protocol uses.

The released program has no room for a whole validator; the Worker has the same one in TypeScript,
and its tests fail on any keyword that is not known to it.
"""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

_REFERENCE: Final = "common.json#/$defs/"


class InvalidError(ValueError):
    """A value that its schema does not allow; the text says where and which rule, not the value."""

    def __init__(self, path: str, rule: str) -> None:
        super().__init__(f"{path or 'the message'}: {rule}")


def read(schema: Schema, value: Any, shared: Mapping[str, Schema], path: str = "") -> Any:
    """Return a copy of a value with the properties that its schema knows.

    What else an object holds is left out, so that an older side can hear a newer one.

    Args:
        schema: What it has to be.
        value: Decoded JSON.
        shared: The schemas that references lead to, by name.
        path: Where in the message it is.

    Raises:
        InvalidError: The value breaks a rule.
    """
    reference = schema.get("$ref")
    target = schema if reference is None else shared[reference.removeprefix(_REFERENCE)]
    _check_type(target, value, path)
    if "const" in target and value != target["const"]:
        raise InvalidError(path, f"is not {target['const']!r}")
    if "enum" in target and value not in target["enum"]:
        raise InvalidError(path, f"is none of {target['enum']}")
    if isinstance(value, str):
        _check_text(target, value, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(target, value, path)
    elif isinstance(value, list):
        return _read_items(target, value, shared, path)
    elif isinstance(value, dict):
        return _read_properties(target, value, shared, path)
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "array": lambda value: isinstance(value, list),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and value == value // 1,
    "null": lambda value: value is None,
    "number": _is_number,
    "object": lambda value: isinstance(value, dict),
    "string": lambda value: isinstance(value, str),
}


def _check_type(schema: Schema, value: Any, path: str) -> None:
    if "type" not in schema:
        return
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    if not any(_TYPES[name](value) for name in types):
        raise InvalidError(path, f"is no {' or '.join(types)}")


def _check_text(schema: Schema, value: str, path: str) -> None:
    if len(value) < schema.get("minLength", 0):
        raise InvalidError(path, f"is shorter than {schema['minLength']}")
    if len(value) > schema.get("maxLength", len(value)):
        raise InvalidError(path, f"is longer than {schema['maxLength']}")
    pattern = schema.get("pattern")
    if pattern is not None and not _compiled(pattern).search(value):
        raise InvalidError(path, f"does not match {pattern}")


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # Python's $ also matches before a last newline, JavaScript's does not.
    return re.compile(re.sub(r"(?<!\\)\$$", r"\\Z", pattern))


def _check_number(schema: Schema, value: float, path: str) -> None:
    if value < schema.get("minimum", value):
        raise InvalidError(path, f"is less than {schema['minimum']}")
    if value > schema.get("maximum", value):
        raise InvalidError(path, f"is more than {schema['maximum']}")


def _read_items(
    schema: Schema, value: list[Any], shared: Mapping[str, Schema], path: str
) -> list[Any]:
    if len(value) > schema.get("maxItems", len(value)):
        raise InvalidError(path, f"has more than {schema['maxItems']} items")
    items = schema.get("items", {})
    return [read(items, item, shared, f"{path}[{index}]") for index, item in enumerate(value)]


def _read_properties(
    schema: Schema, value: dict[str, Any], shared: Mapping[str, Schema], path: str
) -> dict[str, Any]:
    def inside(name: str) -> str:
        return f"{path}.{name}" if path else name

    for name in schema.get("required", ()):
        if name not in value:
            raise InvalidError(inside(name), "is missing")
    known: Mapping[str, Schema] = schema.get("properties", {})
    return {
        name: read(property_, value[name], shared, inside(name))
        for name, property_ in known.items()
        if name in value
    }
