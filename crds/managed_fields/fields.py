"""Sets of fields, and FieldsV1: how Kubernetes writes such a set.

A field is the tuple of its path's elements as FieldsV1 spells them, so that sets of fields are
plain Python sets: `f:name` is a field or a map's key, `k:{"type":"Ready"}` the item of a list
that is a map by its keys, `v:"x"` the item of a list that is a set.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Json = dict[str, Any]
Path = tuple[str, ...]
FieldSet = frozenset[Path]

NOTHING: FieldSet = frozenset()

# Made once: `json.dumps` would make an encoder for every element of every list.
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode

# Kubernetes' encoder escapes what could end an HTML element or a JavaScript line.
_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def name_element(name: str) -> str:
    """The element of a field, or of a map's key."""
    return f"f:{name}"


def key_element(key: Mapping[str, Any]) -> str:
    """The element of a list's item that is known by these key fields."""
    return f"k:{_compact(dict(key)).translate(_ESCAPES)}"


def value_element(value: Any) -> str:
    """The element of a set's item, which is known by its value."""
    return f"v:{_compact(value).translate(_ESCAPES)}"


def decode(fields_v1: Any) -> FieldSet:
    """Read FieldsV1.

    What is not FieldsV1 is left out: an entry may come from a newer writer, or from a stranger.
    """
    return frozenset(_read(fields_v1, ()))


def _read(tree: Any, prefix: Path) -> Iterator[Path]:
    if not isinstance(tree, dict):
        return
    for name, below in tree.items():
        element = _normal(name)
        if element is None:
            continue
        path = (*prefix, element)
        children = list(_read(below, path))
        # Membership is written only where it is not plain from the absence of children.
        if not children or "." in below:
            yield path
        yield from children


def _normal(element: str) -> str | None:
    """The one spelling of an element; None if it is none."""
    kind, _, rest = element.partition(":")
    if kind == "f" and rest:
        return element
    if kind == "i" and rest.isdecimal():
        return element
    if kind not in ("k", "v"):
        return None
    try:
        value = json.loads(rest)
    except ValueError:
        return None
    if kind == "v":
        return value_element(value)
    return key_element(value) if isinstance(value, dict) and value else None


def encode(fields: Iterable[Path]) -> Json:
    """Write FieldsV1."""
    members = sorted(fields)
    parents = prefixes(members)
    tree: Json = {}
    # Sorted, so that a member comes before the members below it.
    for *above, last in members:
        node = tree
        for element in above:
            node = node.setdefault(element, {})
        node[last] = {".": {}} if (*above, last) in parents else {}
    return tree


def prefixes(fields: Iterable[Path]) -> set[Path]:
    """Every field that has one of these below it."""
    return {path[:depth] for path in fields for depth in range(1, len(path))}


def display(path: Path) -> str:
    """The field as Kubernetes names it to people: `.status.conditions[type="Ready"].reason`."""
    return "".join(map(_display_element, path))


def _display_element(element: str) -> str:
    kind, _, rest = element.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "i":
        return f"[{rest}]"
    value = json.loads(rest)
    if kind == "v":
        return f"[={_compact(value)}]"
    return "[" + ",".join(f"{name}={_compact(part)}" for name, part in value.items()) + "]"
