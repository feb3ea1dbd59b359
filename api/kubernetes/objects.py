"""Between rows and Kubernetes' JSON, and the rules of metadata."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from api.kubernetes.errors import ApiError, bad_request, invalid, too_large
from api.kubernetes.served import Change, Json, Served
from crds.errors import Cause
from crds.meta import API_VERSION, Resource
from crds.store import WatchEvent

# Kubernetes' rules of names: a DNS label, a qualified name with an optional DNS prefix.
DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
NAME: Final = re.compile(r"(?=.{1,63}\Z)[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
DNS_PREFIX: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
)
MAX_ANNOTATIONS_BYTES: Final = 256 * 1024
# Each has an owner that every write has to find; an object of ours has ten.
MAX_ENTRIES: Final = 1000
# What etcd takes by default, and so what Kubernetes' clients know.
MAX_OBJECT_BYTES: Final = 1536 * 1024
GENERATED_LENGTH: Final = 5

METADATA: Final = frozenset(
    {
        "name",
        "generateName",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
        "managedFields",
        "selfLink",
    }
)


def of_row(kind: str, row: Mapping[str, Any]) -> Json:
    """An object's JSON from its row as it is, valid or not.

    Args:
        kind: The kind.
        row: A row of `objects`, or one as the log keeps it.
    """
    metadata: Json = {"name": row["name"]}
    if row["namespace"]:
        metadata["namespace"] = row["namespace"]
    metadata |= {
        "uid": str(row["uid"]),
        "resourceVersion": str(row["resource_version"]),
        "generation": row["generation"],
    }
    if row["creation_timestamp"]:
        metadata["creationTimestamp"] = timestamp(row["creation_timestamp"])
    if row["deletion_timestamp"]:
        metadata["deletionTimestamp"] = timestamp(row["deletion_timestamp"])
        metadata["deletionGracePeriodSeconds"] = 0
    owners = [{"apiVersion": API_VERSION, **owner} for owner in row["owner_references"]]
    optional = {
        "labels": row["labels"],
        "annotations": row["annotations"],
        "finalizers": row["finalizers"],
        "ownerReferences": owners,
        "managedFields": row.get("managed_fields"),
    }
    metadata |= {name: value for name, value in optional.items() if value}
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": metadata,
        "spec": row["spec"],
        "status": row["status"],
    }


def of_resource(resource: Resource) -> Json:
    """An object's JSON."""
    meta = resource.metadata
    row = meta.model_dump(mode="json", exclude={"owner_references"}) | {
        "owner_references": [owner.to_json() for owner in meta.owner_references],
        "spec": resource.spec.to_json(),
        "status": resource.status.to_json(),
    }
    return of_row(resource.KIND, row)


def change_of(event: WatchEvent) -> Change | None:
    """What watchers are told of a change in the log; None for a bookmark."""
    if event.type == "BOOKMARK" or event.object is None:
        return None
    previous = None if event.previous is None else _of_logged(event.key.kind, event.previous)
    return Change(
        event.type, event.resource_version, _of_logged(event.key.kind, event.object), previous
    )


def _of_logged(kind: str, logged: Mapping[str, Any]) -> Json:
    """From the store's JSON form, whose metadata is nested and camelCase."""
    meta = logged["metadata"]
    row = {
        "name": meta["name"],
        "namespace": meta["namespace"],
        "uid": meta["uid"],
        "resource_version": meta["resourceVersion"],
        "generation": meta["generation"],
        "creation_timestamp": meta["creationTimestamp"],
        "deletion_timestamp": meta["deletionTimestamp"],
        "labels": meta["labels"],
        "annotations": meta["annotations"],
        "finalizers": meta["finalizers"],
        "owner_references": meta["ownerReferences"],
        "managed_fields": meta["managedFields"],
        "spec": logged["spec"],
        "status": logged["status"],
    }
    return of_row(kind, row)


def timestamp(value: datetime | str) -> str:
    """A moment as metadata shows it: RFC 3339 in whole seconds, UTC."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def name_of(body: Json) -> tuple[str, str]:
    """Namespace and name of an object's JSON."""
    return body["metadata"].get("namespace", ""), body["metadata"]["name"]


def check_envelope(served: Served, body: object, namespace: str, name: str) -> Json:
    """Have a body that is an object of this kind, at this place.

    Args:
        served: What is written.
        body: The decoded body.
        namespace: Of the request's path.
        name: Of the request's path; empty when something is made.

    Returns:
        The body with apiVersion, kind, namespace and name filled in.

    Raises:
        ApiError: 400, it is something else, or somewhere else.
    """
    if not isinstance(body, dict) or not isinstance(body.get("metadata", {}), dict):
        raise bad_request("the body must be an object with metadata")
    for field, expected in (("apiVersion", served.api_version), ("kind", served.kind)):
        if body.get(field, expected) != expected:
            raise bad_request(
                f"the {field} in the data ({str(body[field])[:100]}) does not match the expected "
                f"one ({expected})"
            )
    metadata = dict(body.get("metadata") or {})
    for field, expected in (("namespace", namespace), ("name", name)):
        given = metadata.get(field)
        if given and expected and given != expected:
            raise bad_request(
                f"the {field} of the provided object does not match the {field} sent on the request"
            )
        if expected:
            metadata[field] = expected
    if not served.namespaced and metadata.get("namespace"):
        raise bad_request(f"{served.kind} has no namespace")
    return {"apiVersion": served.api_version, "kind": served.kind, **body, "metadata": metadata}


def generate_name(served: Served, metadata: Json) -> None:
    """Give an object that is made its name.

    Raises:
        ApiError: 422, it has neither name nor generateName.
    """
    if metadata.get("name"):
        return
    prefix = metadata.get("generateName")
    if not prefix or not isinstance(prefix, str):
        raise invalid(
            served.kind,
            served.group,
            "",
            [Cause("metadata.name", "name or generateName is required")],
        )
    letters = "bcdfghjklmnpqrstvwxz2456789"
    metadata["name"] = prefix + "".join(secrets.choice(letters) for _ in range(GENERATED_LENGTH))


def check_metadata(served: Served, metadata: Json) -> None:
    """Judge names, labels, annotations, finalizers and owners.

    Raises:
        ApiError: 422, with a cause for every broken rule.
    """
    causes = list(_problems(metadata))
    if causes:
        raise invalid(served.kind, served.group, str(metadata.get("name", ""))[:253], causes)


def check_size(body: Json) -> None:
    """Have an object that is small enough to be kept and shown.

    Raises:
        ApiError: 413, it is not.
    """
    if len(json.dumps(body)) > MAX_OBJECT_BYTES:
        raise too_large(f"limit of an object is {MAX_OBJECT_BYTES} bytes")


def _problems(metadata: Json) -> Iterator[Cause]:
    for part in ("name", "namespace", "resourceVersion"):
        if not isinstance(metadata.get(part, ""), str | None):
            yield Cause(f"metadata.{part}", "must be a string")
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if isinstance(name, str) and not DNS_PREFIX.fullmatch(name):
        yield Cause("metadata.name", "must be a lowercase RFC 1123 name of at most 253 characters")
    if namespace and isinstance(namespace, str) and not DNS_LABEL.fullmatch(namespace):
        yield Cause("metadata.namespace", "must be a lowercase RFC 1123 label of at most 63")
    yield from _maps(metadata)
    yield from _finalizers(metadata.get("finalizers"))
    yield from _owners(metadata.get("ownerReferences"))


def _maps(metadata: Json) -> Iterator[Cause]:
    for part in ("labels", "annotations"):
        entries = metadata.get(part) or {}
        if not isinstance(entries, dict):
            yield Cause(f"metadata.{part}", "must be a map of strings")
            continue
        if len(entries) > MAX_ENTRIES:
            yield Cause(f"metadata.{part}", f"must have at most {MAX_ENTRIES} entries")
            continue
        for key, value in entries.items():
            field = f"metadata.{part}.{key[:100]}"
            if not is_qualified(key):
                yield Cause(
                    field, "must be a name of at most 63 characters, with an optional prefix"
                )
            if not isinstance(value, str):
                yield Cause(field, "must be a string")
            elif part == "labels" and value and not NAME.fullmatch(value):
                yield Cause(field, "a label's value must be a name of at most 63 characters")
    annotations = metadata.get("annotations") or {}
    if len(str(annotations)) > MAX_ANNOTATIONS_BYTES:
        yield Cause("metadata.annotations", f"must have at most {MAX_ANNOTATIONS_BYTES} bytes")


def _finalizers(finalizers: object) -> Iterator[Cause]:
    if finalizers is None:
        return
    if not isinstance(finalizers, list):
        yield Cause("metadata.finalizers", "must be a list of strings")
        return
    for number, each in enumerate(finalizers):
        if not isinstance(each, str) or not is_qualified(each):
            yield Cause(f"metadata.finalizers[{number}]", "must be a qualified name")


def _owners(owners: object) -> Iterator[Cause]:
    if owners is None:
        return
    if not isinstance(owners, list):
        yield Cause("metadata.ownerReferences", "must be a list")
        return
    for number, each in enumerate(owners):
        field = f"metadata.ownerReferences[{number}]"
        if not isinstance(each, dict):
            yield Cause(field, "must be an object")
            continue
        for part in ("apiVersion", "kind", "name", "uid"):
            if not isinstance(each.get(part), str) or not each[part]:
                yield Cause(f"{field}.{part}", "is required")
        if isinstance(each.get("uid"), str) and not is_uuid(each["uid"]):
            yield Cause(f"{field}.uid", "must be a UUID")
    if sum(1 for each in owners if isinstance(each, dict) and each.get("controller") is True) > 1:
        yield Cause("metadata.ownerReferences", "only one owner may be the controller")


def is_qualified(name: str) -> bool:
    """Whether this is a Kubernetes qualified name: `name` or `prefix/name`."""
    prefix, slash, last = name.rpartition("/")
    return bool(NAME.fullmatch(last)) and (not slash or bool(DNS_PREFIX.fullmatch(prefix)))


def is_uuid(text: str) -> bool:
    """Whether this is a UUID."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def version_of(metadata: Json) -> int:
    """The resourceVersion that a write expects; 0: any.

    Raises:
        ApiError: 400, it is no version.
    """
    return parse_version(metadata.get("resourceVersion") or "0")


def parse_version(text: str) -> int:
    """A resourceVersion as a number.

    Raises:
        ApiError: 400, it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 19):  # noqa: PLR2004 - what a bigint holds
        raise bad_request("resourceVersion must be a version that this server gave")
    return int(text)


def store_form(body: Json) -> Json:
    """An object's JSON as the kinds parse it: the store's part of metadata, spec and status."""
    given = body["metadata"]
    metadata = {
        name: given[name]
        for name in ("name", "namespace", "labels", "annotations", "finalizers")
        if given.get(name)
    }
    metadata["ownerReferences"] = [
        {"controller": False, **owner} for owner in given.get("ownerReferences") or []
    ]
    metadata["managedFields"] = given.get("managedFields") or []
    form = {"metadata": metadata}
    for part in ("spec", "status"):
        if body.get(part) is not None:
            form[part] = body[part]
    return form


def rejected(served: Served, name: str, causes: list[Cause]) -> ApiError:
    """422 for what a kind's own rules refuse."""
    return invalid(served.kind, served.group, name, causes)
