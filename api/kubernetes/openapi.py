"""OpenAPI v3 as Kubernetes' clients read it: paths that name their kinds, and schemas."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple

from api.kubernetes import discovery
from api.kubernetes.common_schemas import COMMON, META, SCALE, list_of, reference, text
from api.kubernetes.served import Json, Served

# Older clients look for the second version, and take none of it for nothing being served:
# an empty document makes them go by discovery alone.
V2: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
NO_MODELS: Final = b"\x0a\x032.0"
JSON_TYPES: Final = ("application/json", "application/yaml")
PATCH_TYPES: Final = (
    "application/merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
)


def _parameter(name: str, type_: str, description: str, place: str = "query") -> Json:
    return {
        "name": name,
        "in": place,
        "description": description,
        "schema": {"type": type_, "uniqueItems": True},
        **({"required": True} if place == "path" else {}),
    }


_IN_PATH: Final = {
    "namespace": _parameter("namespace", "string", "The object's namespace.", "path"),
    "name": _parameter("name", "string", "The object's name.", "path"),
}
_SELECT: Final = (
    _parameter("labelSelector", "string", "Only objects with these labels."),
    _parameter("fieldSelector", "string", "Only objects whose fields have these values."),
    _parameter("limit", "integer", "At most so many; the answer tells how to go on."),
    _parameter("continue", "string", "Where to go on, from the chunk before."),
    _parameter("resourceVersion", "string", "A version that the answer must not be older than."),
    _parameter("resourceVersionMatch", "string", "NotOlderThan or Exact."),
)
_LIST: Final = (
    *_SELECT,
    _parameter("watch", "boolean", "Stream changes after resourceVersion."),
    _parameter("allowWatchBookmarks", "boolean", "Tell also how far the stream has come."),
    _parameter("sendInitialEvents", "boolean", "Begin the stream with what is there."),
    _parameter("timeoutSeconds", "integer", "After how many seconds the stream ends."),
)
_DRY_RUN: Final = _parameter("dryRun", "string", "All: do everything and keep nothing.")
_WRITE: Final = (
    _DRY_RUN,
    _parameter("fieldManager", "string", "Who owns the fields that are written."),
    _parameter("fieldValidation", "string", "On unknown fields: Ignore, Warn or Strict."),
)
_PATCH: Final = (
    *_WRITE,
    _parameter("force", "boolean", "Take fields over from other managers (server-side apply)."),
)
_DELETE: Final = (
    _DRY_RUN,
    _parameter("propagationPolicy", "string", "How dependents go: in the background."),
    _parameter("gracePeriodSeconds", "integer", "Ignored: finalizers say when it may go."),
)


def index(served: Iterable[Served]) -> Json:
    """`/openapi/v3`: where the document of each group-version is, with a hash for caches."""
    served = list(served)
    paths = {}
    for group, version in dict.fromkeys((each.group, each.version) for each in served):
        path = f"apis/{group}/{version}" if group else f"api/{version}"
        encoded = json.dumps(document(group, version, served), sort_keys=True).encode()
        digest = hashlib.sha256(encoded).hexdigest().upper()
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


def document(group: str, version: str, served: Iterable[Served]) -> Json | None:
    """The document of a group-version; None when it is not served.

    It is made anew by every call: whoever serves it keeps it.
    """
    found = [each for each in served if (each.group, each.version) == (group, version)]
    if not found:
        return None
    schemas = dict(COMMON)
    for each in found:
        schemas[_name(each)] = _schema(each)
        if "list" in each.verbs:
            schemas[f"{_name(each)}List"] = _list_schema(each)
    return {
        "openapi": "3.0.0",
        "info": {"title": "invoker", "version": discovery.version()["gitVersion"]},
        "paths": dict(path for each in found for path in _paths(each)),
        "components": {"schemas": schemas},
    }


def _name(each: Served) -> str:
    """A component's name: the group backwards, as Kubernetes names its own and those of CRDs."""
    if not each.group:
        package = "io.k8s.api.core"
    elif each.group.endswith(".k8s.io"):
        package = f"io.k8s.api.{each.group.split('.')[0]}"
    else:
        package = ".".join(reversed(each.group.split(".")))
    return f"{package}.{each.version}.{each.kind}"


def _kind(each: Served, suffix: str = "") -> Json:
    return {"group": each.group, "version": each.version, "kind": each.kind + suffix}


def _schema(each: Served) -> Json:
    metadata = each.schema["properties"]["metadata"]
    properties = each.schema["properties"] | {
        "metadata": reference(f"{META}.ObjectMeta", metadata["description"])
    }
    return {
        **each.schema,
        "properties": properties,
        "x-kubernetes-group-version-kind": [_kind(each)],
    }


def _list_schema(each: Served) -> Json:
    return {
        "type": "object",
        "description": f"A list of {each.plural}.",
        "required": ["items"],
        "properties": {
            "apiVersion": text(f"{each.api_version}."),
            "kind": text(f"{each.kind}List."),
            "metadata": reference(f"{META}.ListMeta", "The list's version and continuation."),
            "items": list_of(reference(_name(each)), "The objects, by namespace and name."),
        },
        "x-kubernetes-group-version-kind": [_kind(each, "List")],
    }


# Two verbs have another name in these documents.
_ACTIONS: Final = {"create": "post", "update": "put"}


class _Operation(NamedTuple):
    """What a method does at a path.

    Attributes:
        verb: Kubernetes' word for it; it is served where the resource has it.
        answer: The component that comes back.
        body: The component that is sent; empty for none.
    """

    method: str
    verb: str
    parameters: tuple[Json, ...]
    answer: str
    body: str = ""


def _paths(each: Served) -> Iterator[tuple[str, Json]]:
    """The paths of a resource, each with the operations of its verbs."""
    whole, patch = _name(each), f"{META}.Patch"
    root = f"/apis/{each.group}/{each.version}" if each.group else f"/api/{each.version}"
    here = f"{root}/namespaces/{{namespace}}" if each.namespaced else root
    listing = _Operation("get", "list", _LIST, f"{whole}List")
    changing = (
        _Operation("get", "get", (), whole),
        _Operation("put", "update", _WRITE, whole, whole),
        _Operation("patch", "patch", _PATCH, whole, patch),
    )
    collection = (
        listing,
        _Operation("post", "create", _WRITE, whole, whole),
        _Operation("delete", "deletecollection", _SELECT, f"{META}.Status"),
    )
    deleting = _Operation("delete", "delete", _DELETE, f"{META}.Status", f"{META}.DeleteOptions")
    kind = _kind(each)
    found = {
        f"{here}/{each.plural}": _path(each.verbs, kind, *collection),
        f"{here}/{each.plural}/{{name}}": _path(each.verbs, kind, *changing, deleting),
    }
    if each.namespaced:
        found[f"{root}/{each.plural}"] = _path(each.verbs, kind, listing)
    for name in each.subresources:
        at = f"{here}/{each.plural}/{{name}}/{name}"
        if name in discovery.SUBRESOURCE_KINDS:
            scale = dict(zip(kind, discovery.SUBRESOURCE_KINDS[name], strict=True))
            found[at] = _path(
                discovery.SUBRESOURCE_VERBS, scale, *(_scaled(each) for each in changing)
            )
        else:
            found[at] = _path(discovery.SUBRESOURCE_VERBS, kind, *changing)
    for path, operations in found.items():
        if operations:
            yield path, _at(path, operations)


def _scaled(operation: _Operation) -> _Operation:
    """The same operation on a Scale."""
    body = SCALE if operation.method == "put" else operation.body
    return operation._replace(answer=SCALE, body=body)


def _path(verbs: Collection[str], kind: Json, *operations: _Operation) -> Json:
    """The operations whose verbs are served, by method."""
    found = {}
    for each in operations:
        if each.verb not in verbs:
            continue
        found[each.method] = {
            "x-kubernetes-action": _ACTIONS.get(each.verb, each.verb),
            "x-kubernetes-group-version-kind": kind,
            "parameters": list(each.parameters),
            **({"requestBody": _content(each.body, each.verb)} if each.body else {}),
            "responses": {
                "200": {"description": "OK", **_content(each.answer)},
                "default": {"description": "A refusal.", **_content(f"{META}.Status")},
            },
        }
    return found


def _content(name: str, verb: str = "") -> Json:
    types = PATCH_TYPES if verb == "patch" else JSON_TYPES if verb else JSON_TYPES[:1]
    return {"content": {type_: {"schema": reference(name)} for type_ in types}}


def _at(path: str, operations: Json) -> Json:
    """What is the same for all operations at a path, and their identifiers."""
    words = "".join(word.capitalize() for word in re.findall(r"[A-Za-z0-9]+", path))
    for method, operation in operations.items():
        operation["operationId"] = method + words
    names = [parameter for name, parameter in _IN_PATH.items() if f"{{{name}}}" in path]
    return {**({"parameters": names} if names else {}), **operations}
