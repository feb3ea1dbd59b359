"""Wishes as people write them: YAML or JSON documents, as kubectl takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from crds.errors import InvalidError
from crds.meta import API_VERSION, Key, ObjectMeta, Resource
from crds.registry import KINDS
from crds.store import Store

PARTS = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})


class DocumentError(Exception):
    """A document is not usable; the message names it, the field and the rule."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wished for one object.

    Attributes:
        kind: Its kind.
        namespace: Its account; empty for cluster kinds.
        name: Its name.
        spec: The fields to change; what is not named stays, None removes.
        labels: The labels to set.
        annotations: The annotations to set.
        delete: Wish it gone.
        place: Where the wish was read, for errors.
    """

    kind: type[Resource]
    namespace: str
    name: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    delete: bool = False
    place: str = ""

    @property
    def key(self) -> Key:
        """The object's key."""
        return Key(self.kind.KIND, self.namespace, self.name)

    @property
    def changes(self) -> bool:
        """Whether it wishes for anything at all."""
        return bool(self.delete or self.spec or self.labels or self.annotations)

    async def apply(self, store: Store) -> None:
        """Write it.

        Raises:
            DocumentError: The object would break its kind's rules, or is not there to be deleted.
        """
        try:
            found = await store.find(self.kind, self.name, self.namespace)
            if self.delete:
                if found is None:
                    raise DocumentError(f"{self.place}{self.key} does not exist")
                await store.delete(self.kind, self.name, self.namespace)
            elif found is None:
                await store.create(self._made(None))
            elif self.changes:
                await store.update(self._made(found))
        except InvalidError as error:
            raise DocumentError(f"{self.place}{self.key}: {error}") from None

    def _made(self, found: Resource | None) -> Resource:
        """The object as wished."""
        meta = found.metadata if found else ObjectMeta(name=self.name, namespace=self.namespace)
        wished = meta.model_copy(
            update={
                "labels": {**meta.labels, **self.labels},
                "annotations": {**meta.annotations, **self.annotations},
            }
        )
        return self.kind.parse(
            {
                "metadata": wished.model_dump(by_alias=True),
                "spec": _patched(found.spec.to_json() if found else {}, self.spec),
                **({"status": found.status.to_json()} if found else {}),
            }
        )


def parse(text: str, *, namespace: str | None = None, delete: bool = False) -> list[Wish]:
    """Read documents.

    Args:
        text: YAML or JSON, one or several documents, or lists of them.
        namespace: For documents that name none.
        delete: Wish the objects gone instead.

    Raises:
        DocumentError: Naming the first document that is not usable, and why.
    """
    try:
        documents = [each for each in yaml.safe_load_all(text) if each is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise DocumentError(f"neither YAML nor JSON{where}") from None
    numbered = [
        (f"document {number}: ", each)
        for number, document in enumerate(documents, 1)
        for each in _unfolded(document)
    ]
    if not numbered:
        raise DocumentError("there is no document")
    return [_wish(place, document, namespace, delete=delete) for place, document in numbered]


def _unfolded(document: Any) -> Iterator[Any]:
    """A document, or those that a list holds."""
    if isinstance(document, dict) and document.get("kind") == "List":
        yield from document.get("items") or []
    else:
        yield document


def _wish(place: str, document: Any, namespace: str | None, *, delete: bool) -> Wish:
    if not isinstance(document, dict):
        raise DocumentError(f"{place}must be an object")
    if unknown := sorted(map(str, document.keys() - PARTS)):
        raise DocumentError(f"{place}{unknown[0]}: is no field of an object")
    if document.get("apiVersion") != API_VERSION:
        raise DocumentError(f"{place}apiVersion: must be {API_VERSION}")
    kind = KINDS.get(str(document.get("kind")))
    if kind is None:
        raise DocumentError(f"{place}kind: must be one of {', '.join(sorted(KINDS))}")
    metadata = _part(place, document, "metadata")
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        raise DocumentError(f"{place}metadata.name: must be a name")
    owner = str(metadata.get("namespace") or namespace or "")
    if kind.SCOPE == "Namespaced" and not owner:
        raise DocumentError(f"{place}metadata.namespace: must name the account")
    return Wish(
        kind,
        owner if kind.SCOPE == "Namespaced" else "",
        name,
        spec=_part(place, document, "spec"),
        labels=_part(f"{place}metadata.", metadata, "labels"),
        annotations=_part(f"{place}metadata.", metadata, "annotations"),
        delete=delete,
        place=place,
    )


def _part(place: str, document: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise DocumentError(f"{place}{name}: must be an object")
    return found


def _patched(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON merge patch (RFC 7396)."""
    after = dict(before)
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        elif isinstance(value, Mapping):
            inner = before.get(key)
            after[key] = _patched(inner if isinstance(inner, Mapping) else {}, value)
        else:
            after[key] = value
    return after
