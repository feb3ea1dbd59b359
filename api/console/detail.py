"""One object's page: everything that is known of it, in regions that update themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from api.console.actions import offered
from api.console.addresses import object_path
from api.console.comparison import compare
from api.console.desk import Desk
from api.console.devenvs import devenv_facts
from api.console.differences import Change, changes
from api.console.masking import masked
from api.console.objects import Found, find
from api.console.rendering import Rendering
from api.console.surveys import platform_spec
from api.console.visitors import Visitor
from crds.annotations import PAUSED
from crds.cloud_connection import CloudConnection
from crds.compute import monthly_cost_usd
from crds.devenv import DevEnv, DevEnvSpec
from crds.errors import InvalidError
from crds.fleet import one
from crds.machine import MachineSpec
from crds.meta import Key, Resource
from crds.platform import PlatformSpec
from crds.registry import KINDS
from crds.store import AuditRecord, EventRecord, HeartbeatRecord, Store
from crds.tracing import TRACEPARENT, span_context
from crds.vps import Vps, VpsStatus
from crds.workspace import Workspace, WorkspaceSpec

EVENTS: Final = 30
AUDITED: Final = 15
RELATED: Final = 50
# No subdomain leads to anything else, whatever it is called.
LED_TO: Final = frozenset({"Account", "Workspace", "Machine", "Route"})
# Which field of whose spec names what it is on.
UPON: Final[Mapping[str, Mapping[str, type[Resource]]]] = {
    "Session": {"vps": Vps},
    "AuthorizedKey": {"vps": Vps},
    "Vps": {"connection": CloudConnection},
}
PARTS: Final = (
    "head", "progress", "devenv", "compare", "timeline", "events", "facts", "relations", "audit",
    "manifest",
)  # fmt: skip
# What is no change of the object's, such as a heartbeat or an event, is looked for this often.
PERIOD_SECONDS: Final = 5.0


class Relative(NamedTuple):
    """Another object, as a link.

    Attributes:
        relation: What it is to this one.
        path: Its page's address; empty for one of an unknown kind.
    """

    relation: str
    kind: str
    name: str
    phase: str
    path: str


class Moment(NamedTuple):
    """One thing on the time line."""

    at: str | None
    title: str
    status: str
    reason: str
    message: str
    stale: bool


class Written(NamedTuple):
    """One write of the audit, with what it changed."""

    record: AuditRecord
    changes: Sequence[Change]


@dataclass(frozen=True, slots=True)
class ObjectView:
    """An object's page.

    Attributes:
        desk: What the console works with.
        visitor: Who looks.
        kind: The object's kind.
        namespace: Its namespace.
        name: Its name.
    """

    desk: Desk
    visitor: Visitor
    kind: type[Resource]
    namespace: str
    name: str
    period: float = PERIOD_SECONDS

    def concerns(self, key: Key) -> bool:
        """Whether a change of an object shows on this page."""
        if key == Key(self.kind.KIND, self.namespace, self.name):
            return True
        account = self.namespace or (self.name if self.kind.KIND == "Account" else "")
        return bool(account) and (key.namespace == account or key.kind == "Route")

    async def render(self) -> Rendering:
        """The page's regions."""
        found = await find(self.desk.store, self.kind, self.namespace, self.name)
        if found is None:
            gone = {"kind": self.kind.KIND, "name": self.name}
            html = self.desk.templates.region("object/gone.html", "head", **gone)
            return Rendering({"head": html})
        known = await describe(self.desk, self.visitor, found)
        return Rendering(
            {
                part: self.desk.templates.region(f"object/{part}.html", part, **known)
                for part in PARTS
            }
        )


async def describe(desk: Desk, visitor: Visitor, found: Found) -> dict[str, Any]:
    """Everything that an object's page shows."""
    store, now = desk.store, desk.store.clock.now()
    status = found.shown["status"]
    machines = await _machines(store, found)
    return {
        "found": found,
        "actions": offered(visitor.identity, found, now),
        "may_edit": visitor.identity.role == "platform-admin",
        "paused": found.annotations.get(PAUSED) == "true",
        "ready": _condition(status, "Ready"),
        "status": status,
        "comparison": compare(
            found.shown["spec"], status, ready=_condition(status, "Ready").get("status") == "True"
        ),
        "timeline": timeline(found),
        "events": await _events(store, found),
        "devenv": devenv_facts(found),
        "cost": await _cost(store, found),
        "heartbeats": await _heartbeats(store, found, machines),
        "trace": _trace(found),
        "email": await _email(store, found),
        "account_path": object_path("accounts", "", found.account) if found.account else "",
        "relatives": [*_owners(found), *_upon(found), *await _related(store, found)],
        "audit": await _audit(store, found),
    }


def timeline(found: Found) -> list[Moment]:
    """The object's conditions and the ends of its life, the newest first."""
    metadata, generation = found.shown["metadata"], found.row["generation"]
    moments = [Moment(metadata["creationTimestamp"], "Created", "", "", "", stale=False)]
    if found.deleting:
        waits = ", ".join(found.row["finalizers"])
        text = f"waits for {waits}" if waits else ""
        moments.append(
            Moment(metadata["deletionTimestamp"], "Deletion asked for", "", "", text, stale=False)
        )
    moments += [
        Moment(
            _text(each, "lastTransitionTime") or None,
            _text(each, "type"),
            _text(each, "status"),
            _text(each, "reason"),
            _text(each, "message"),
            stale=each.get("observedGeneration", 0) != generation,
        )
        for each in _conditions(found.shown["status"])
    ]
    return sorted(moments, key=lambda moment: moment.at or "", reverse=True)


def _conditions(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    conditions = status.get("conditions")
    return (
        [each for each in conditions if isinstance(each, Mapping)]
        if isinstance(conditions, list)
        else []
    )


def _condition(status: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    return next((each for each in _conditions(status) if each.get("type") == type_), {})


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


async def _events(store: Store, found: Found) -> list[EventRecord]:
    events = await store.events.list(uid=found.uid)
    return list(reversed(events))[:EVENTS]


async def _cost(store: Store, found: Found) -> float | None:
    """USD a month, always on; None for what costs nothing by itself, or is not known."""
    platform = await platform_spec(store)
    with suppress(ValidationError, InvalidError):
        match found.kind.KIND:
            case "Workspace":
                spec = WorkspaceSpec.model_validate(found.row["spec"])
                return one(platform, spec).monthly_usd
            case "Machine":
                machine = MachineSpec.model_validate(found.row["spec"])
                size_gb = machine.volume.size_gb if machine.volume else 0
                return monthly_cost_usd(machine.size, size_gb)
            case "DevEnv":
                devenv = DevEnvSpec.model_validate(found.row["spec"])
                return one(platform, devenv).monthly_usd
            case "Vps":
                known = VpsStatus.model_validate(found.row["status"]).cost
                return None if known is None else known.monthly_usd
            case "Account":
                return await _cost_of_account(store, found, platform)
    return None


async def _cost_of_account(store: Store, found: Found, platform: PlatformSpec) -> float:
    workspaces = await store.list(Workspace, namespace=found.name)
    devenvs = await store.list(DevEnv, namespace=found.name)
    specs: list[WorkspaceSpec | DevEnvSpec] = [each.spec for each in workspaces.items]
    specs += [each.spec for each in devenvs.items]
    return round(sum(one(platform, spec).monthly_usd for spec in specs), 2)


async def _machines(store: Store, found: Found) -> Mapping[Any, str]:
    """The machines whose heartbeats belong on the page, by uid."""
    if found.kind.KIND == "Machine":
        return {found.uid: found.name}
    if not found.namespace:
        return {}
    rows = await store.database.fetch(
        "SELECT uid, name FROM objects WHERE kind = 'Machine' AND namespace = %s "
        "AND owner_references @> jsonb_build_array(jsonb_build_object('uid', %s::text))",
        found.namespace,
        str(found.uid),
    )
    return {row["uid"]: row["name"] for row in rows}


async def _heartbeats(
    store: Store, found: Found, machines: Mapping[Any, str]
) -> list[tuple[str, HeartbeatRecord | None]]:
    known = await store.heartbeats.get(machines) if machines else {}
    single = found.kind.KIND == "Machine"
    return [("" if single else name, known.get(uid)) for uid, name in machines.items()]


def _trace(found: Found) -> str:
    context = span_context(found.annotations.get(TRACEPARENT))
    return "" if context is None else f"{context.trace_id:032x}"


async def _email(store: Store, found: Found) -> str:
    if not found.account:
        return ""
    row = await store.find_row(Key("Account", "", found.account))
    return "" if row is None else _text(row["spec"], "email")


def _owners(found: Found) -> list[Relative]:
    return [
        Relative(
            "owner",
            owner["kind"],
            owner["name"],
            "",
            _path(owner["kind"], found.namespace, owner["name"]),
        )
        for owner in found.row["owner_references"]
    ]


def _upon(found: Found) -> list[Relative]:
    """The Vps that a session or a key is on, and the connection that a Vps is made by."""
    spec = found.row["spec"]
    owners = {(owner["kind"], owner["name"]) for owner in found.row["owner_references"]}
    return [
        Relative("on", kind.KIND, name, "", object_path(kind.PLURAL, found.namespace, name))
        for field, kind in UPON.get(found.kind.KIND, {}).items()
        if isinstance(name := spec.get(field), str) and name and (kind.KIND, name) not in owners
    ]


async def _related(store: Store, found: Found) -> list[Relative]:
    """Its children, an account's objects, what is on a Vps, and the routes that lead to it."""
    rows = await store.database.fetch(
        "SELECT CASE WHEN o.kind = 'Route' THEN 'route' ELSE 'child' END AS relation, "
        "o.kind, o.namespace, o.name, coalesce(o.status->>'phase', '') AS phase "
        "FROM objects o, (SELECT %s::text AS own, %s::uuid AS uid, %s::text AS contents, "
        "%s::text AS account, %s::text AS name, %s::text AS vps) AS me "
        "WHERE o.uid <> me.uid AND ((o.namespace = me.own AND o.namespace <> '' "
        "AND o.owner_references @> jsonb_build_array(jsonb_build_object('uid', me.uid::text))) "
        "OR (o.namespace = me.contents AND o.namespace <> '') "
        "OR (o.namespace = me.own AND o.kind IN ('Session', 'AuthorizedKey') "
        "AND o.spec->>'vps' = me.vps) "
        "OR (o.kind = 'Route' AND o.spec->>'account' = me.account AND (me.own = '' "
        "OR me.name IN (o.spec->'target'->>'workspace', o.spec->'target'->>'machine')))) "
        "ORDER BY o.kind, o.namespace, o.name LIMIT %s",
        found.namespace,
        found.uid,
        # An account is a namespace.
        found.name if found.kind.KIND == "Account" else "",
        found.account if found.kind.KIND in LED_TO else "",
        found.name,
        found.name if found.kind is Vps else "",
        RELATED,
    )
    return [
        Relative(
            row["relation"],
            row["kind"],
            row["name"],
            row["phase"],
            _path(row["kind"], row["namespace"], row["name"]),
        )
        for row in rows
    ]


def _path(kind: str, namespace: str, name: str) -> str:
    found = KINDS.get(kind)
    if found is None:
        return ""
    return object_path(found.PLURAL, namespace if found.SCOPE == "Namespaced" else "", name)


async def _audit(store: Store, found: Found) -> list[Written]:
    records = await store.audit.list(uid=found.uid, limit=AUDITED)
    return [
        Written(record, _shown(changes(masked(record.before), masked(record.after))))
        for record in records
    ]


def _shown(found: list[Change]) -> list[Change]:
    """A diff without the trace that every write leaves."""
    return [change for change in found if TRACEPARENT not in change.path]
