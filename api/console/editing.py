"""Editing an object as YAML: read strictly, judged by field, and never at the cost of a word."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from copy import deepcopy
from typing import Any, Final, NamedTuple

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from api.console.masking import masked, restored
from api.console.objects import Found
from api.kubernetes.objects import of_row
from crds.errors import Cause, InvalidError
from crds.meta import API_VERSION

Json = dict[str, Any]

MAX_BYTES: Final = 512 * 1024
# What people write; the rest of the metadata is the store's.
EDITABLE: Final = ("labels", "annotations", "finalizers", "ownerReferences")
IDENTITY: Final = ("name", "namespace")


class YamlError(Exception):
    """The text is no YAML of ours; the message says why, with the line."""


class Problem(NamedTuple):
    """One broken rule of a text.

    Attributes:
        line: On which line, from 1; 0 when it is on none.
    """

    field: str
    message: str
    line: int


class _Loader(yaml.SafeLoader):
    """Plain YAML: no anchors, no key twice, and moments stay texts."""

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # untyped there
            raise yaml.constructor.ConstructorError(None, None, "aliases are not taken", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - the library's
        seen = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, ScalarNode) else None
            if name is None or name in seen:
                text = "keys are texts" if name is None else f"{name!r} stands here twice"
                raise yaml.constructor.ConstructorError(None, None, text, key.start_mark)
            seen.add(name)
        found: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return {str(name): value for name, value in found.items()}


_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse(text: str) -> Json:
    """The JSON that a text says.

    Raises:
        YamlError: It is not one map of plain YAML.
    """
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise YamlError(f"must have at most {MAX_BYTES // 1024} KiB")
    try:
        data = yaml.load(text, _Loader)  # noqa: S506 - a safe loader, stricter
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        raise YamlError(f"{where}{error.problem or 'not well-formed'}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else "not well-formed"
        raise YamlError(why) from None
    if not isinstance(data, dict):
        raise YamlError("must be one object: apiVersion, kind, metadata, spec")
    return data


def editable(found: Found) -> Json:
    """What people may write of an object, in Kubernetes' form, with what is secret masked."""
    clean: Json = masked(_manifest(found))
    return clean


def _manifest(found: Found) -> Json:
    data = of_row(found.kind.KIND, found.row)
    metadata = {name: data["metadata"].get(name) for name in (*IDENTITY, *EDITABLE)}
    return {
        "apiVersion": data["apiVersion"],
        "kind": data["kind"],
        "metadata": {name: value for name, value in metadata.items() if value},
        "spec": data["spec"],
    }


def wished(found: Found, manifest: Json) -> Json:
    """The object's JSON as an edited manifest wants it, for the store.

    Raises:
        InvalidError: With a cause for everything that cannot be.
    """
    whole, causes = restored(manifest, _manifest(found))
    metadata = whole.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(whole.get("spec"), dict):
        part = "metadata" if not isinstance(metadata, dict) else "spec"
        raise InvalidError([Cause(part, "must be a map")])
    causes += _fixed(found, whole) + _unknown(whole, metadata)
    stored = deepcopy(found.stored)
    for name in EDITABLE:
        value = metadata.get(name)
        empty: Json | list[Any] = {} if name in ("labels", "annotations") else []
        stored["metadata"][name] = empty if value is None else value
    stored["metadata"]["ownerReferences"], found_causes = _owners(
        stored["metadata"]["ownerReferences"]
    )
    stored["spec"] = whole["spec"]
    causes += found_causes
    try:
        # Everything that is wrong at once, ours and the kind's.
        found.kind.parse(stored)
    except InvalidError as error:
        causes += error.causes
    if causes:
        raise InvalidError(causes)
    return stored


def _fixed(found: Found, whole: Json) -> list[Cause]:
    """What says which object it is cannot be edited."""
    metadata = whole["metadata"]
    fixed = {
        "apiVersion": (whole.get("apiVersion"), API_VERSION),
        "kind": (whole.get("kind"), found.kind.KIND),
        "metadata.name": (metadata.get("name"), found.name),
        "metadata.namespace": (metadata.get("namespace") or "", found.namespace),
    }
    return [
        Cause(field, f"is {wanted!r} and stays so" if wanted else "this kind has no namespace")
        for field, (given, wanted) in fixed.items()
        if given != wanted
    ]


def _unknown(whole: Json, metadata: Json) -> list[Cause]:
    known = ("apiVersion", "kind", "metadata", "spec")
    causes = [Cause(name, "is not edited here") for name in whole if name not in known]
    return causes + [
        Cause(f"metadata.{name}", "is not edited here")
        for name in metadata
        if name not in (*IDENTITY, *EDITABLE)
    ]


def _owners(owners: Any) -> tuple[Any, list[Cause]]:
    """Owner references as the store keeps them: without the API version that Kubernetes adds."""
    if not isinstance(owners, list):
        return owners, []
    causes = [
        Cause(f"metadata.ownerReferences.{number}.apiVersion", f"must be {API_VERSION}")
        for number, owner in enumerate(owners)
        if isinstance(owner, Mapping) and owner.get("apiVersion", API_VERSION) != API_VERSION
    ]
    return [
        {name: value for name, value in owner.items() if name != "apiVersion"}
        if isinstance(owner, Mapping)
        else owner
        for owner in owners
    ], causes


def located(text: str, causes: list[Cause]) -> list[Problem]:
    """Causes with the lines of the text on which they are."""
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        root = None
    return [Problem(each.field, each.message, _line(root, each.field)) for each in causes]


def _line(node: Node | None, field: str) -> int:
    """The line of the deepest part of a path that is there; 0 for none."""
    line = 0
    for part in field.split("."):
        step = _child(node, part)
        if step is None:
            break
        at, node = step
        line = at.start_mark.line + 1
    return line


def _child(node: Node | None, name: str) -> tuple[Node, Node] | None:
    if isinstance(node, MappingNode):
        return next(
            ((key, value) for key, value in node.value if key.value == name),
            None,
        )
    if isinstance(node, SequenceNode) and name.isdigit() and int(name) < len(node.value):
        child = node.value[int(name)]
        return child, child
    return None
