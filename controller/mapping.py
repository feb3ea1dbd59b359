"""Which keys a change concerns besides its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from controller.workspace import SUBDOMAIN_LABEL
from crds.meta import Key
from crds.store import WatchEvent
from crds.workspace import WORKSPACE

Target = tuple[str, Key]


def owners(event: WatchEvent) -> Iterator[Target]:
    """The objects that control the changed one."""
    for owner in _metadata(event).get("ownerReferences") or []:
        if owner.get("controller"):
            yield owner["kind"], Key(owner["kind"], event.key.namespace, owner["name"])


def account_dependents(event: WatchEvent) -> Iterable[Target]:
    """An account's state decides over its workspace."""
    return [("Workspace", Key("Workspace", event.key.name, WORKSPACE))]


def workspace_dependents(event: WatchEvent) -> Iterator[Target]:
    """A workspace's names lead to it, and its account counts it."""
    if event.type != "MODIFIED":
        yield "Account", Key("Account", "", event.key.namespace)
    if event.spec_changed or _phase(event.object) != _phase(event.previous):
        yield from _routes(event, "spec", "status")


def devenv_dependents(event: WatchEvent) -> Iterator[Target]:
    """An account counts its dev environments, and waits at its end until they are gone."""
    if event.type != "MODIFIED":
        yield "Account", Key("Account", "", event.key.namespace)


def vps_dependents(event: WatchEvent) -> Iterator[Target]:
    """A connection is not given up, and an account not removed, before its droplets are gone."""
    namespace = event.key.namespace
    if event.type != "MODIFIED":
        yield "Account", Key("Account", "", namespace)
    names = {
        (version or {}).get("spec", {}).get("connection")
        for version in (event.object, event.previous)
    }
    if event.type != "MODIFIED" or event.spec_changed:
        for name in sorted(filter(None, names)):
            yield "CloudConnection", Key("CloudConnection", namespace, name)


def connection_changed(event: WatchEvent) -> bool:
    """Whether a connection can be used otherwise than before: begun, renewed, tried, or ended."""
    now, before = (
        {**version.get("status", {}), "state": version.get("spec", {}).get("state")}
        for version in (event.object or {}, event.previous or {})
    )
    told = ("state", "phase", "grantedAt", "refreshedAt", "verifiedAt")
    return event.type != "MODIFIED" or any(now.get(name) != before.get(name) for name in told)


def machine_dependents(event: WatchEvent) -> Iterator[Target]:
    """A machine's health decides over its route."""
    for version in (event.object, event.previous):
        name = ((version or {}).get("metadata", {}).get("labels") or {}).get(SUBDOMAIN_LABEL)
        if name:
            yield "Route", Key("Route", "", name)


def route_dependents(event: WatchEvent) -> Iterator[Target]:
    """A withdrawn route lets the destruction of its machine go on; a free name can be claimed."""
    spec, status = (event.object or {}).get("spec", {}), (event.object or {}).get("status", {})
    account, target = spec.get("account"), spec.get("target")
    gone = event.type == "DELETED"
    withdrawn = status.get("entry") is None and status.get("published", True)
    if account and target and (gone or withdrawn):
        yield "Machine", Key("Machine", account, target["machine"])
    if account and target and (gone or event.spec_changed):
        yield "Workspace", Key("Workspace", account, target["workspace"])
    if account and gone:
        yield "Account", Key("Account", "", account)


def gateway_changed(event: WatchEvent) -> bool:
    """Whether a Vps came, goes, or its gateway did or began anew: that is for all that is in it."""
    now, before = _gist(event.object), _gist(event.previous)
    return event.type != "MODIFIED" or now != before


def _gist(version: dict[str, Any] | None) -> tuple[Any, Any]:
    """What of a Vps concerns what is in it: its gateway, and whether it is to go."""
    version = version or {}
    gateway = version.get("status", {}).get("gateway")
    return gateway, version.get("metadata", {}).get("deletionTimestamp")


def _routes(event: WatchEvent, *parts: str) -> Iterator[Target]:
    for version in (event.object, event.previous):
        for part in parts:
            if name := (version or {}).get(part, {}).get("subdomain"):
                yield "Route", Key("Route", "", name)


def _phase(version: dict[str, Any] | None) -> str | None:
    phase: str | None = (version or {}).get("status", {}).get("phase")
    return phase


def _metadata(event: WatchEvent) -> dict[str, list[dict[str, str]]]:
    metadata: dict[str, list[dict[str, str]]] = (event.object or {}).get("metadata", {})
    return metadata
