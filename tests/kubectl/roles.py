"""What each role gets for each verb on each resource: `python -m tests.kubectl.roles`.

It asks a running API as everybody and writes the answers' HTTP status to `docs/roles.md`.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from crds.access import ROLES_OF_ACCOUNTS, AccessTokens, Role
from crds.registry import KINDS
from crds.store import Store
from tests.e2e.product import ROOT
from tests.kubectl.door import Access, Door
from tests.support.postgres import Databases, serving

PAGE: Final = ROOT / "docs" / "roles.md"
OWN, OTHER = "alice", "bob"
# An account's namespace is nobody's to change or delete by itself; this one is no account's.
MADE: Final = "made-by-an-operator"
VERBS: Final = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
_BODY: Final = {
    "metadata": {"name": "asked"},
    "spec": {"resourceAttributes": {"verb": "get", "resource": "workspaces"}, "token": "none"},
}


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody who asks.

    Attributes:
        title: The column's heading.
        role: Their role; None: they show no token.
        namespace: Whose namespace they ask about.
    """

    title: str
    role: Role | None
    namespace: str = OWN


ASKERS: Final = (
    Asker("platform-admin", "platform-admin"),
    Asker("support", "support"),
    Asker("account-owner, own", "account-owner"),
    Asker("account-owner, other's", "account-owner", OTHER),
    Asker("devops, own", "devops"),
    Asker("devops, other's", "devops", OTHER),
    Asker("security-auditor, own", "security-auditor"),
    Asker("dev-orchestrator, own", "dev-orchestrator"),
    Asker("dev-worker, own", "dev-worker"),
    Asker("dev-worker, other's", "dev-worker", OTHER),
    Asker("clientele, own", "clientele"),
    Asker("metrics", "metrics"),
    Asker("nobody", None),
)


@dataclass(frozen=True, slots=True)
class Resource:
    """Something served, as discovery tells it.

    Attributes:
        group_version: `v1` or `invoker.dev/v1`.
        plural: Its name in paths.
        subresource: `status`, `scale` or empty.
        namespaced: Whether it is in namespaces.
        kind: Its objects' kind.
        verbs: What it takes.
    """

    group_version: str
    plural: str
    subresource: str
    namespaced: bool
    kind: str
    verbs: frozenset[str]

    @property
    def title(self) -> str:
        """The resource as policies name it."""
        return f"{self.plural}/{self.subresource}" if self.subresource else self.plural

    @property
    def has_objects(self) -> bool:
        """Whether it is kept, and not only asked."""
        return "list" in self.verbs or bool(self.subresource)

    def path(self, namespace: str, name: str | None) -> str:
        """The path of an object, or of the collection."""
        root = "/apis" if "/" in self.group_version else "/api"
        where = f"/namespaces/{namespace}" if self.namespaced else ""
        parts = [name, self.subresource] if name else []
        return "/".join([f"{root}/{self.group_version}{where}", self.plural, *filter(None, parts)])


def served(client: httpx.Client) -> list[Resource]:
    """Everything that discovery tells of, by group and name."""
    groups = client.get("/apis").raise_for_status().json()["groups"]
    versions = ["v1", *(group["preferredVersion"]["groupVersion"] for group in groups)]
    return [
        _resource(version, entry)
        for version in versions
        for entry in client.get(_root(version)).raise_for_status().json()["resources"]
    ]


def _root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _resource(version: str, entry: Mapping[str, Any]) -> Resource:
    plural, _, subresource = entry["name"].partition("/")
    return Resource(
        version,
        plural,
        subresource,
        entry["namespaced"],
        entry["kind"],
        frozenset(entry["verbs"]),
    )


class Inquiry:
    """Asks a running API as everybody; every write is a dry run.

    Args:
        access: The administrator's way in.
        tokens: A token by role; those of accounts are of `OWN`.
    """

    def __init__(self, access: Access, tokens: Mapping[Role, str]) -> None:
        self._admin = access.client()
        self._clients = {
            asker: replace(access, token=tokens[asker.role]).client()
            if asker.role is not None
            else httpx.Client(base_url=access.server, verify=access.tls, trust_env=False)
            for asker in ASKERS
        }
        self._names: dict[tuple[str, str], str | None] = {}

    def close(self) -> None:
        """Close every connection."""
        for client in (self._admin, *self._clients.values()):
            client.close()

    def resources(self) -> list[Resource]:
        """Everything that is served."""
        return served(self._admin)

    def status(self, asker: Asker, resource: Resource, verb: str) -> int:
        """The HTTP status of an answer."""
        # Of a watch, which does not end, only the head is awaited.
        with self._clients[asker].stream(**self._request(asker, resource, verb)) as answer:
            return answer.status_code

    def _request(self, asker: Asker, resource: Resource, verb: str) -> dict[str, Any]:
        item = resource.path(asker.namespace, self._name(resource, asker) or "none")
        collection = resource.path(asker.namespace, None)
        dry = {"params": {"dryRun": "All"}}
        match verb:
            case "get" | "list":
                return {"method": "GET", "url": item if verb == "get" else collection}
            case "watch":
                return {"method": "GET", "url": collection, "params": {"watch": "true"}}
            case "create":
                body = self._new(resource, asker)
                return {"method": "POST", "url": collection, "json": body} | dry
            case "update":
                return {"method": "PUT", "url": item, "json": self._admin.get(item).json()} | dry
            case "patch":
                kind = {"Content-Type": "application/merge-patch+json"}
                return {"method": "PATCH", "url": item, "content": "{}", "headers": kind} | dry
            case _:
                url = item if verb == "delete" else collection
                return {"method": "DELETE", "url": url} | dry

    def _name(self, resource: Resource, asker: Asker) -> str | None:
        """An object to ask about; a cluster object named like the account, where there is one."""
        if not resource.has_objects:
            return None
        if resource.plural == "namespaces" and asker.role not in ROLES_OF_ACCOUNTS:
            return MADE
        key = (resource.plural, asker.namespace)
        if key not in self._names:
            whole = replace(resource, subresource="").path(asker.namespace, None)
            names = [item["metadata"]["name"] for item in self._admin.get(whole).json()["items"]]
            own = asker.namespace if asker.namespace in names else next(iter(names), None)
            self._names[key] = own
        return self._names[key]

    def _new(self, resource: Resource, asker: Asker) -> dict[str, Any]:
        """An object that could be made, with no more said than has to be."""
        named: dict[str, Any] = {"apiVersion": resource.group_version, "kind": resource.kind}
        if not resource.has_objects:
            return named | _BODY
        like = {made["kind"]: made for _, made in _objects(asker.namespace)}
        return like.get(resource.kind, named) | {"metadata": {"name": "new-one"}}


def table(inquiry: Inquiry) -> list[tuple[Resource, str, list[int]]]:
    """For each resource and verb that it takes, the status for each asker."""
    return [
        (resource, verb, [inquiry.status(asker, resource, verb) for asker in ASKERS])
        for resource in inquiry.resources()
        for verb in VERBS
        if verb in resource.verbs
    ]


def page(rows: Sequence[tuple[Resource, str, Sequence[int]]]) -> str:
    """The page of the documentation."""
    return "\n".join([*_introduction(), *_lines(rows), "", *_fields(), ""])


def _introduction() -> list[str]:
    return [
        "# Roles",
        "",
        "What each role gets from the operators' API for each verb: the real HTTP status,",
        "asked of a running API with every write as a dry run.",
        "`python -m tests.kubectl.roles` writes this page and a test compares it with the policy,",
        "which is `api/access/policy.py`.",
        "",
        "2xx is allowed.",
        "401 is that nobody known asks, 403 that somebody known may not.",
        "Roles of accounts ask about their own account's objects in one column",
        "and about somebody else's in another.",
        "",
    ]


def _lines(rows: Sequence[tuple[Resource, str, Sequence[int]]]) -> Iterator[str]:
    yield f"| resource | verb | {' | '.join(asker.title for asker in ASKERS)} |"
    yield f"| --- | --- |{' --- |' * len(ASKERS)}"
    for resource, verb, statuses in rows:
        yield f"| `{resource.title}` | {verb} | {' | '.join(map(str, statuses))} |"


def _fields() -> Iterator[str]:
    yield "Of a spec, these fields are theirs to change; all others are refused with 403:"
    yield ""
    yield "| kind | account-owner, devops | support |"
    yield "| --- | --- | --- |"
    for name, kind in KINDS.items():
        if kind.OWNER_FIELDS or kind.SUPPORT_FIELDS:
            owner, support = (_words(f) for f in (kind.OWNER_FIELDS, kind.SUPPORT_FIELDS))
            yield f"| `{name}` | {owner} | {support} |"


def _words(fields: frozenset[str]) -> str:
    return ", ".join(f"`{field}`" for field in sorted(fields))


def furnish(access: Access) -> None:
    """Make two accounts with one object of every kind each, and a namespace of no account."""
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": MADE}}
    with access.client() as client:
        client.post("/api/v1/namespaces", json=made).raise_for_status()
        for name in (OWN, OTHER):
            for path, manifest in _objects(name):
                client.post(path, json=manifest).raise_for_status()


def _objects(account: str) -> Iterator[tuple[str, dict[str, Any]]]:
    ours, inside = "/apis/invoker.dev/v1", f"/namespaces/{account}"
    machine = {"account": account, "image": "example"}
    yield f"{ours}/accounts", _manifest("Account", account, {"email": f"{account}@example.com"})
    yield f"{ours}/routes", _manifest("Route", f"{account}-route", {"account": account})
    workspace = {"subdomain": f"{account}-one", "power": "Stopped"}
    yield f"{ours}{inside}/workspaces", _manifest("Workspace", "main", workspace)
    yield f"{ours}{inside}/machines", _manifest("Machine", "main", machine)
    devenv = {"client": "acme", "app": account, "power": "Stopped"}
    yield f"{ours}{inside}/devenvs", _manifest("DevEnv", "main", devenv)
    granted = {"state": "Disconnected"}
    yield (
        f"{ours}{inside}/cloudconnections",
        _manifest("CloudConnection", "digitalocean", granted),
    )
    # Without a connection nothing is made of it.
    yield f"{ours}{inside}/vpses", _manifest("Vps", "main", {"power": "Stopped"})
    yield f"{ours}{inside}/sessions", _manifest("Session", "main", {"vps": "main"})
    # Of the right form; nobody has it, its 32 bytes are zero.
    key = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'A' * 43}"
    authorized = {"vps": "main", "publicKey": key}
    yield f"{ours}{inside}/authorizedkeys", _manifest("AuthorizedKey", "main", authorized)
    event = {"involvedObject": {"kind": "Workspace", "name": "main", "namespace": account}}
    yield (
        f"/api/v1{inside}/events",
        {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "made", "namespace": account}}
        | event
        | {"reason": "Made", "message": "It was made.", "type": "Normal"},
    )


def _manifest(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name}
    return {"apiVersion": "invoker.dev/v1", "kind": kind, "metadata": metadata, "spec": spec}


async def issue(database_url: str) -> dict[Role, str]:
    """A token for every role."""
    async with Store.opened(database_url) as store:
        tokens = AccessTokens(store)
        issued: dict[Role, str] = {}
        for role in {asker.role for asker in ASKERS if asker.role is not None}:
            issued[role], _ = await tokens.issue(
                f"the tests' {role}",
                role,
                lifetime=timedelta(hours=1),
                account=OWN if role in ROLES_OF_ACCOUNTS else "",
                created_by="tests",
            )
        return issued


def asked(door: Door) -> list[tuple[Resource, str, list[int]]]:
    """Furnish an API and ask it everything."""
    furnish(door.access)
    inquiry = Inquiry(door.access, asyncio.run(issue(door.database_url)))
    try:
        return table(inquiry)
    finally:
        inquiry.close()


def main() -> int:
    """Write the page.

    Returns:
        The exit code: 0.
    """
    with (
        serving() as server,
        Databases(server).fresh() as url,
        tempfile.TemporaryDirectory(prefix="invoker-door-") as folder,
        Door(url, Path(folder)) as door,
    ):
        rows = asked(door)
    PAGE.write_text(page(rows), encoding="utf-8")
    sys.stdout.write(json.dumps({"page": str(PAGE.relative_to(ROOT)), "rows": len(rows)}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
