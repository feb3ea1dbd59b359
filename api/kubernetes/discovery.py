"""Discovery: what is served, in the aggregated form and in the one that came before it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import Final

from api.kubernetes.served import Json, Served
from crds.meta import GROUP

# The Kubernetes release whose conventions these are; clients warn when theirs is far from it.
MAJOR: Final = "1"
MINOR: Final = "34"

PLAIN: Final = "application/json"
# Clients compare this text, so its parameters have to be in this order.
AGGREGATED: Final = f"{PLAIN};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

# The verbs of every subresource, and whose kind its objects are when not the resource's own.
SUBRESOURCE_VERBS: Final = ("get", "patch", "update")
SUBRESOURCE_KINDS: Final = {"scale": ("autoscaling", "v1", "Scale")}


def content_type(accept: str) -> str:
    """The form in which `/api` and `/apis` answer.

    Args:
        accept: The request's Accept header.

    Returns:
        AGGREGATED when its second version is asked for; otherwise PLAIN, which every client takes,
        also one that knows only the first, `v2beta1`.
    """
    wanted = (re.sub(r"[\s\"]", "", part) for part in accept.split(","))
    asked = AGGREGATED.split(";")
    return AGGREGATED if any(set(asked) <= set(part.split(";")) for part in wanted) else PLAIN


def aggregated(served: Iterable[Served]) -> dict[str, Json]:
    """Everything that is served, by path: the core group under `/api`, the others under `/apis`."""
    served = list(served)
    found = {"/api": [""], "/apis": [group for group in _groups(served) if group]}
    return {
        path: {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": "apidiscovery.k8s.io/v2",
            "metadata": {},
            "items": [_discovered_group(group, served) for group in groups],
        }
        for path, groups in found.items()
    }


def api_versions(served: Iterable[Served]) -> Json:
    """`/api` in its plain form."""
    versions = [version for group, version in _group_versions(served) if not group]
    return {"kind": "APIVersions", "versions": versions, "serverAddressByClientCIDRs": []}


def api_groups(served: Iterable[Served]) -> Json:
    """`/apis` in its plain form."""
    served = list(served)
    groups = [_group(group, served) for group in _groups(served) if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def api_group(group: str, served: Iterable[Served]) -> Json | None:
    """`/apis/<group>`; None when there is no such group."""
    served = list(served)
    if not group or group not in _groups(served):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, served)}


def resource_list(group: str, version: str, served: Iterable[Served]) -> Json | None:
    """`/api/<version>` or `/apis/<group>/<version>`; None when there is no such version."""
    found = [each for each in served if (each.group, each.version) == (group, version)]
    if not found:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": found[0].api_version,
        "resources": [resource for each in found for resource in _resources(each)],
    }


def version() -> Json:
    """`/version`: the Kubernetes release whose conventions hold, with our own version behind it."""
    try:
        own = f".{version_of('invoker')}"
    except PackageNotFoundError:  # it runs from its source
        own = ""
    return {
        "major": MAJOR,
        "minor": MINOR,
        "gitVersion": f"v{MAJOR}.{MINOR}.0+invoker{own}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "",
        "goVersion": "",
        "compiler": "",
        "platform": "",
    }


def categories(each: Served) -> list[str]:
    """The groups of resources that a client may name instead of each.

    As everywhere, `all` is what people have in a namespace; `invoker` is every kind of ours.
    """
    if each.group != GROUP:
        return []
    return ["all", "invoker"] if each.namespaced else ["invoker"]


def _discovered_group(group: str, served: Sequence[Served]) -> Json:
    versions = [
        {
            "version": version,
            "freshness": "Current",
            "resources": [
                _discovered(each)
                for each in served
                if (each.group, each.version) == (group, version)
            ],
        }
        for version in _versions(group, served)
    ]
    return {"metadata": {"name": group} if group else {}, "versions": versions}


def _discovered(each: Served) -> Json:
    subresources = [
        {
            "subresource": name,
            "responseKind": _kind(*_kind_of(each, name)),
            "verbs": list(SUBRESOURCE_VERBS),
        }
        for name in each.subresources
    ]
    return _without_empty(
        {
            "resource": each.plural,
            "responseKind": _kind(each.group, each.version, each.kind),
            "scope": "Namespaced" if each.namespaced else "Cluster",
            "singularResource": each.singular,
            "verbs": sorted(each.verbs),
            "shortNames": list(each.short_names),
            "categories": categories(each),
            "subresources": subresources,
        }
    )


def _resources(each: Served) -> Iterator[Json]:
    """A resource and its subresources, in the plain form."""
    whole = {
        "name": each.plural,
        "singularName": each.singular,
        "namespaced": each.namespaced,
        "kind": each.kind,
        "verbs": sorted(each.verbs),
    }
    more = {"shortNames": list(each.short_names), "categories": categories(each)}
    yield whole | _without_empty(more)
    for name in each.subresources:
        group, version, kind = _kind_of(each, name)
        other = {"group": group, "version": version} if name in SUBRESOURCE_KINDS else {}
        yield {
            "name": f"{each.plural}/{name}",
            "singularName": "",
            "namespaced": each.namespaced,
            **other,
            "kind": kind,
            "verbs": list(SUBRESOURCE_VERBS),
        }


def _kind_of(each: Served, subresource: str) -> tuple[str, str, str]:
    return SUBRESOURCE_KINDS.get(subresource, (each.group, each.version, each.kind))


def _group(group: str, served: Iterable[Served]) -> Json:
    versions = [
        {"groupVersion": f"{group}/{version}", "version": version}
        for version in _versions(group, served)
    ]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _groups(served: Iterable[Served]) -> list[str]:
    return list(dict.fromkeys(each.group for each in served))


def _group_versions(served: Iterable[Served]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((each.group, each.version) for each in served))


def _versions(group: str, served: Iterable[Served]) -> list[str]:
    return [version for of, version in _group_versions(served) if of == group]


def _kind(group: str, version: str, kind: str) -> Json:
    return {"group": group, "version": version, "kind": kind}


def _without_empty(form: Json) -> Json:
    return {name: value for name, value in form.items() if value}
