"""What a request is about: Kubernetes' paths and verbs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from api.access import Attributes

METHODS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch"}
# Below a namespace, these are the namespace's own and not resources in it.
OF_NAMESPACE: Final = frozenset({"status", "finalize"})


@dataclass(frozen=True, slots=True)
class Target:
    """A resource, or an object of it.

    Attributes:
        group: The API group; empty for the core group.
        namespace: The namespace of the path; None: all, or a cluster resource.
        name: The object's name; None: the collection.
        subresource: `status`, `scale` or empty.
    """

    group: str
    version: str
    plural: str
    namespace: str | None
    name: str | None
    subresource: str

    def verb(self, method: str, *, watch: bool) -> str:
        """The verb of a request to this target."""
        if method in ("GET", "HEAD"):
            if watch:
                return "watch"
            return "list" if self.name is None else "get"
        if method == "DELETE":
            return "deletecollection" if self.name is None else "delete"
        return METHODS.get(method, method.lower())

    def attributes(self, verb: str) -> Attributes:
        """What is asked for, to the policy."""
        return Attributes(
            verb, self.plural, self.subresource, self.namespace or "", self.name or ""
        )


def target_of(path: str) -> Target | None:
    """The target of a path such as `/apis/G/V/namespaces/NS/plural/name/status`.

    Returns:
        None when the path names no resource.
    """
    root, *parts = path.strip("/").split("/")
    if root == "api":
        parts = ["", *parts]
    elif root != "apis":
        return None
    if "" in parts[1:] or len(parts) < len(("group", "version", "plural")):
        return None
    group, version, *rest = parts
    namespace = None
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in OF_NAMESPACE:  # noqa: PLR2004 - namespaces, its name, a plural
        _, namespace, *rest = rest
    if len(rest) > len(("plural", "name", "subresource")):
        return None
    name = rest[1] if len(rest) > 1 else None
    return Target(group, version, rest[0], namespace, name, "".join(rest[2:]))
