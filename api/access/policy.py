"""What each role may do: one table, from which doors decide and the documentation is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.access.identity import Identity
from crds.access import Role
from crds.meta import Resource

READ: Final = frozenset({"get", "list", "watch"})
CHANGE: Final = frozenset({"update", "patch"})
WRITE: Final = READ | CHANGE | {"create", "delete", "deletecollection"}
OWNED: Final = frozenset(
    {"workspaces", "devenvs", "cloudconnections", "vpses", "sessions", "authorizedkeys"}
)
KINDS_OF_ACCOUNTS: Final = OWNED | {"machines"}
ALL: Final = KINDS_OF_ACCOUNTS | {"accounts", "platforms", "routes"}
SELF: Final = frozenset(
    {
        "selfsubjectaccessreviews",
        "selfsubjectrulesreviews",
        "selfsubjectreviews",
    }
)
# What a limited role writes among annotations and labels must not steer our reconcilers.
RESERVED_PREFIX: Final = "invoker.dev/"


@dataclass(frozen=True, slots=True)
class Attributes:
    """What somebody asks to do.

    Attributes:
        verb: Kubernetes' word: get, list, watch, create, update, patch, delete, deletecollection.
        resource: The plural, `workspaces`.
        subresource: `status` or `scale`, or empty.
        namespace: Empty for cluster kinds and for all namespaces.
        name: Empty for collections.
    """

    verb: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Some verbs on some resources.

    Attributes:
        own: Only in the account's own namespace, or on the cluster object named like it.
        subresources: The subresources that it covers; the empty one is the object itself.
    """

    verbs: frozenset[str]
    resources: frozenset[str]
    subresources: frozenset[str] = frozenset({""})
    own: bool = False

    def covers(self, identity: Identity, asked: Attributes) -> bool:
        """Whether this rule lets somebody do what they ask."""
        if self.own and not _is_own(identity, asked):
            return False
        return (
            asked.verb in self.verbs
            and asked.resource in self.resources
            and asked.subresource in self.subresources
        )


def _is_own(identity: Identity, asked: Attributes) -> bool:
    of_cluster = asked.resource in ("accounts", "namespaces")
    # Somebody without an account owns nothing, not what has no namespace either.
    return bool(identity.account) and identity.account == (
        asked.name if of_cluster else asked.namespace
    )


_KNOW_YOURSELF = Rule(frozenset({"create"}), SELF)
# There are none; clients ask for them to find out what else runs here.
_SERVICES = Rule(READ, frozenset({"services"}))

_READ_DEVENVS = Rule(READ, frozenset({"devenvs"}), frozenset({"", "status", "scale"}), own=True)
_AGENT = (_READ_DEVENVS, _KNOW_YOURSELF, _SERVICES)

# Secrets are in no rule: nobody reads them through a door.
RULES: Final[Mapping[Role, tuple[Rule, ...]]] = {
    "platform-admin": (
        Rule(WRITE, ALL, frozenset({"", "status", "scale"})),
        Rule(READ | CHANGE | {"create", "delete"}, frozenset({"namespaces"})),
        Rule(READ | {"create", "update", "patch"}, frozenset({"events"})),
        Rule(READ, frozenset({"customresourcedefinitions"})),
        Rule(frozenset({"create"}), frozenset({"subjectaccessreviews"})),
        _KNOW_YOURSELF,
        _SERVICES,
    ),
    "support": (
        Rule(READ, ALL, frozenset({"", "status", "scale"})),
        Rule(READ, frozenset({"namespaces", "events", "customresourcedefinitions"})),
        Rule(CHANGE, OWNED),
        _KNOW_YOURSELF,
        _SERVICES,
    ),
    "account-owner": (
        Rule(READ, KINDS_OF_ACCOUNTS, frozenset({"", "status", "scale"}), own=True),
        Rule(WRITE, OWNED, own=True),
        Rule(CHANGE, OWNED, frozenset({"scale"}), own=True),
        Rule(READ, frozenset({"events"}), own=True),
        Rule(frozenset({"get"}), frozenset({"accounts", "namespaces"}), own=True),
        _KNOW_YOURSELF,
        _SERVICES,
    ),
    "devops": (
        Rule(READ, frozenset({"machines"}), frozenset({"", "status"}), own=True),
        Rule(CHANGE | {"create", "delete"}, frozenset({"devenvs"}), own=True),
        Rule(CHANGE, frozenset({"devenvs"}), frozenset({"scale"}), own=True),
        *_AGENT,
    ),
    "security-auditor": _AGENT,
    "dev-orchestrator": _AGENT,
    "dev-worker": _AGENT,
    "clientele": (_KNOW_YOURSELF, _SERVICES),
    "metrics": (_KNOW_YOURSELF, _SERVICES),
}
# Who may change the fields of a spec that are an account's, not only those that support may.
OWNERS: Final = frozenset[Role]({"account-owner", "devops"})


# What everybody with a role may read beside resources: what is served, and whether it is well.
PATHS: Final = (
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
    "/version/",
)
METRICS: Final = "/metrics"
READERS_OF_METRICS: Final = frozenset({"platform-admin", "support", "metrics"})


def paths_of(role: Role | None) -> tuple[str, ...]:
    """The paths beside resources that a role may read; a star stands for any end."""
    if role is None:
        return ()
    return (*PATHS, METRICS) if role in READERS_OF_METRICS else PATHS


def may_read_path(identity: Identity, verb: str, path: str) -> bool:
    """Whether somebody may do this at a path that is not a resource's."""
    return verb in ("get", "head") and any(
        path == known or (known.endswith("*") and path.startswith(known[:-1]))
        for known in paths_of(identity.role)
    )


def allows(identity: Identity, asked: Attributes) -> bool:
    """Whether somebody may do what they ask."""
    if identity.role is None:
        return False
    return any(rule.covers(identity, asked) for rule in RULES[identity.role])


def is_unlimited(identity: Identity) -> bool:
    """Whether somebody may write every field of what they may write at all."""
    return identity.role == "platform-admin"


def may_change(
    identity: Identity, kind: type[Resource], old: Mapping[str, Any], new: Mapping[str, Any]
) -> list[str]:
    """The fields of a change that are not somebody's to change.

    Args:
        identity: Who.
        kind: Of what kind.
        old: The object's JSON before; empty for one that is made.
        new: The object's JSON as wished.

    Returns:
        Their dotted paths; empty when the change may be made.
    """
    if is_unlimited(identity):
        return []
    free = kind.OWNER_FIELDS if identity.role in OWNERS else kind.SUPPORT_FIELDS
    spec = [f"spec.{f}" for f in _changed(old.get("spec"), new.get("spec")) if f not in free]
    before, after = old.get("metadata", {}), new.get("metadata", {})
    metadata = [
        f"metadata.{part}"
        for part in ("finalizers", "ownerReferences")
        if (before.get(part) or []) != (after.get(part) or [])
    ]
    reserved = [
        f"metadata.{part}.{name}"
        for part in ("labels", "annotations")
        for name in _changed(before.get(part), after.get(part))
        if name.startswith(RESERVED_PREFIX)
    ]
    return [*spec, *metadata, *reserved]


def _changed(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Iterable[str]:
    old, new = old or {}, new or {}
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
