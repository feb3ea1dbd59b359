"""An object seen through its kind's schema: which fields it has, and merging by field.

A *branch* is a value whose parts are owned one by one: a granular map, a list that is a map or a
set. Everything else is owned as a whole: a scalar, an atomic map, an atomic list.
What the schema does not know is taken as Kubernetes takes it: maps are granular, lists atomic.

A field of a map whose value is null has no value: no kind of ours tells null from absent, and
objects are written without nulls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from crds.managed_fields.fields import (
    FieldSet,
    Json,
    Path,
    key_element,
    name_element,
    prefixes,
    value_element,
)

LIST_TYPE = "x-kubernetes-list-type"
LIST_MAP_KEYS = "x-kubernetes-list-map-keys"
MAP_TYPE = "x-kubernetes-map-type"
_WHOLE: Final[Json] = {MAP_TYPE: "atomic"}

# The parts of metadata that have owners; as Kubernetes declares them for ObjectMeta.
_METADATA: Final[Json] = {
    "properties": {
        "labels": {"additionalProperties": {"type": "string"}},
        "annotations": {"additionalProperties": {"type": "string"}},
        "finalizers": {LIST_TYPE: "set", "items": {"type": "string"}},
        "ownerReferences": {LIST_TYPE: "map", LIST_MAP_KEYS: ["uid"], "items": _WHOLE},
    }
}

# What the server itself decides about an object.
SYSTEM_METADATA: Final = frozenset(
    """name generateName namespace uid resourceVersion generation creationTimestamp
    deletionTimestamp managedFields selfLink""".split()
)
_UNOWNED: Final = frozenset(
    {
        (name_element("apiVersion"),),
        (name_element("kind"),),
        (name_element("metadata"),),
        *((name_element("metadata"), name_element(name)) for name in SYSTEM_METADATA),
    }
)


class Field(NamedTuple):
    """One field of an object.

    Attributes:
        value: What it holds.
        branch: Whether its parts are fields themselves.
        implied: A branch that the schema names: whoever owns a part of it need not own it too.
    """

    value: Any
    branch: bool
    implied: bool


Fields = dict[Path, Field]


class Child(NamedTuple):
    """A part of a branch: its path element, value and schema, and whether the schema names it."""

    element: str
    value: Any
    schema: Json
    named: bool


class Comparison(NamedTuple):
    """The fields in which an object differs from what it was."""

    added: FieldSet
    modified: FieldSet
    removed: FieldSet

    @property
    def written(self) -> FieldSet:
        """The fields that have a new value."""
        return self.added | self.modified

    @property
    def touched(self) -> FieldSet:
        """All of them."""
        return self.added | self.modified | self.removed


def rooted(schema: Json) -> Json:
    """A kind's schema with what is known of metadata."""
    return {**schema, "properties": {**_part(schema, "properties"), "metadata": _METADATA}}


def metadata_of(thing: Json | None) -> Json:
    """The metadata of an object; of what is none, or is not yet validated, maybe nothing."""
    return _part(thing or {}, "metadata")


def _part(schema: Json, name: str) -> Json:
    # `additionalProperties` may also be a boolean.
    part = schema.get(name)
    return part if isinstance(part, dict) else {}


def _schema_below(schema: Json, name: str) -> Json:
    properties = _part(schema, "properties")
    return _part(properties, name) if name in properties else _part(schema, "additionalProperties")


def _item_schema(schema: Json) -> Json:
    return _part(schema, "items") if schema.get(LIST_TYPE) == "map" else _WHOLE


def is_map(value: Any, schema: Json) -> bool:
    """Whether the value is a map whose keys are owned one by one."""
    return isinstance(value, dict) and schema.get(MAP_TYPE) != "atomic"


def is_list(value: Any, schema: Json) -> bool:
    """Whether the value is a list whose items are owned one by one."""
    return isinstance(value, list) and schema.get(LIST_TYPE) in ("map", "set")


def item_element(item: Any, schema: Json) -> str | None:
    """The path element of a list's item; None if it has nothing by which to know it."""
    if schema.get(LIST_TYPE) == "set":
        return None if item is None else value_element(item)
    if not isinstance(item, dict):
        return None
    properties = _part(_item_schema(schema), "properties")
    key = {
        name: item.get(name, _part(properties, name).get("default"))
        for name in schema.get(LIST_MAP_KEYS, [])
    }
    known = {name: value for name, value in key.items() if value is not None}
    return key_element(known) if known else None


def _index(items: list[Any], schema: Json) -> dict[str, Any]:
    """The items by element; of twins the first, as validation refuses twins anyway."""
    found: dict[str, Any] = {}
    for item in items:
        element = item_element(item, schema)
        if element is not None:
            found.setdefault(element, item)
    return found


def children(value: Any, schema: Json) -> list[Child] | None:
    """The parts of a branch; None for a value that is owned as a whole."""
    if is_map(value, schema):
        named = _part(schema, "properties")
        return [
            Child(name_element(name), part, _schema_below(schema, name), name in named)
            for name, part in value.items()
            if part is not None
        ]
    if is_list(value, schema):
        below = _item_schema(schema)
        return [
            Child(element, item, below, named=False)
            for element, item in _index(value, schema).items()
        ]
    return None


def fields_of(value: Json | None, schema: Json) -> Fields:
    """Every field of an object that can have an owner."""
    walked = _walk(children(value or {}, schema) or [], ())
    return {path: field for path, field in walked if path not in _UNOWNED}


def _walk(parts: list[Child], prefix: Path) -> Iterator[tuple[Path, Field]]:
    for child in parts:
        path = (*prefix, child.element)
        below = children(child.value, child.schema)
        # An empty branch is all that its writer says about the field, so it has an owner itself.
        yield path, Field(child.value, below is not None, bool(below) and child.named)
        if below:
            yield from _walk(below, path)


def applied(fields: Fields) -> FieldSet:
    """What somebody who applies these fields owns."""
    return frozenset(path for path, field in fields.items() if not field.implied)


def with_implied(owned: FieldSet, fields: Fields) -> FieldSet:
    """The owned fields and the named branches around them."""
    around = (path for path in prefixes(owned) if path in fields and fields[path].implied)
    return owned.union(around)


def compare(before: Fields, after: Fields) -> Comparison:
    """What changed between two objects."""
    return Comparison(
        added=frozenset(after.keys() - before.keys()),
        modified=frozenset(
            path
            for path in before.keys() & after.keys()
            if not _same_field(before[path], after[path])
        ),
        removed=frozenset(before.keys() - after.keys()),
    )


def _same_field(left: Field, right: Field) -> bool:
    if left.branch or right.branch:
        return left.branch == right.branch
    return same(left.value, right.value)


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal; unlike in Python, true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def merge(live: Any, config: Any, schema: Json) -> Any:
    """The live value with the configuration's fields set."""
    if is_map(config, schema):
        return _merge_maps(live if isinstance(live, dict) else {}, config, schema)
    if is_list(config, schema):
        return _merge_lists(live if isinstance(live, list) else [], config, schema)
    return config


def _merge_maps(live: Json, config: Json, schema: Json) -> Json:
    wished = {
        name: merge(live.get(name), value, _schema_below(schema, name))
        for name, value in config.items()
        if value is not None
    }
    return {**live, **wished}


def _merge_lists(live: list[Any], config: list[Any], schema: Json) -> list[Any]:
    """The items of both: in the configuration's order, and among them the others as they stood."""
    had, wished = _index(live, schema), _index(config, schema)
    order: list[str] = []
    left = iter(wished)
    for element in had:
        if element not in wished:
            order.append(element)
            continue
        # The place of a shared item takes the configuration's items up to its next shared one.
        for wish in left:
            order.append(wish)
            if wish in had:
                break
    order.extend(left)
    below = _item_schema(schema)
    return [
        merge(had.get(element), wished[element], below) if element in wished else had[element]
        for element in order
    ]


def without(value: Any, doomed: FieldSet, schema: Json, path: Path = ()) -> Any:
    """The value without some fields, and what is below them."""
    if is_map(value, schema):
        return {
            name: without(part, doomed, _schema_below(schema, name), (*path, name_element(name)))
            for name, part in value.items()
            if (*path, name_element(name)) not in doomed
        }
    if is_list(value, schema):
        return _without_items(value, doomed, schema, path)
    return value


def _without_items(items: list[Any], doomed: FieldSet, schema: Json, path: Path) -> list[Any]:
    below = _item_schema(schema)
    kept = []
    for item in items:
        at = (*path, item_element(item, schema) or "")
        if at not in doomed:
            kept.append(without(item, doomed, below, at))
    return kept
