"""What is known of an object and of those around it, gathered for `invoker why`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg.rows import DictRow

from crds.annotations import PAUSED
from crds.devenv import DevEnvStatus
from crds.errors import InvalidError
from crds.machine import Intent, MachineStatus
from crds.meta import Key, Status
from crds.registry import KINDS
from crds.store import EventRecord, Store
from crds.store.rows import COLUMNS, to_object
from crds.vps import VpsIntent, VpsStatus
from deploy.command.gauges import Gauges
from deploy.command.kinds import key_of
from deploy.command.output import camel
from deploy.command.remedies import remedies_for, troubles

EVENTS = 10
# Which field of its spec names what an object is on, and of which kind that is.
UNDER: Final[Mapping[str, tuple[str, str]]] = {
    "Session": ("vps", "Vps"),
    "AuthorizedKey": ("vps", "Vps"),
    "Vps": ("connection", "CloudConnection"),
}
# Of a session and of a key: it has come to its end, and nothing ails what it was on.
OVER = frozenset({"Ended", "Expired"})
CONVERGED = "nothing: it is as it should be"


class Relative(NamedTuple):
    """An object that this one depends on, or that depends on it.

    Attributes:
        relation: `owner` or `child`; `on` for what it is on, such as a session's Vps.
        key: Which.
        uid: The same, for its events.
        status: As it stands.
    """

    relation: str
    key: Key
    uid: UUID
    status: Status

    @property
    def ready(self) -> str | None:
        """Its condition Ready, in words."""
        found = self.status.condition("Ready")
        return None if found is None else f"{found.status} ({found.reason})"

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "relation": self.relation,
            **self.key._asdict(),
            "phase": self.status.phase,
            "ready": self.ready,
            "retry": self.status.retry and self.status.retry.to_json(),
        }


@dataclass(frozen=True)
class Explanation:
    """Everything that is known of one object.

    Attributes:
        key: Which.
        now: The moment of this answer.
        status: Its status as it stands.
        intent: An effect outside that was begun and of which nobody knows the outcome.
        waits_for: What has to happen before it goes on, in words.
        relatives: Its owner and its children.
        events: The last ten of it and its children, oldest first.
        gauges: What a controller tells of its providers.
        remedies: What to do.
    """

    key: Key
    now: datetime
    status: Status
    intent: Intent | VpsIntent | None
    waits_for: list[str]
    relatives: list[Relative]
    events: list[EventRecord]
    gauges: Gauges
    remedies: list[str]

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        retry = self.status.retry
        return {
            **self.key._asdict(),
            "phase": self.status.phase,
            "waitsFor": self.waits_for,
            "retry": retry and retry.to_json(),
            "intent": self.intent and self.intent.to_json(),
            "conditions": [condition.to_json() for condition in self.status.conditions],
            "relatives": [relative.to_json() for relative in self.relatives],
            "events": [camel(event) for event in self.events],
            "providers": [camel(provider._asdict()) for provider in self.gauges.providers],
            "providersProblem": self.gauges.problem,
            "whatToDo": self.remedies,
        }


async def explain(store: Store, row: DictRow, gauges: Gauges) -> Explanation:
    """Gather what is known of an object, even if its spec is broken.

    What a child waits for its owner waits for too, and what happened to it concerns both.
    """
    status = _status(row)
    relatives = await _relatives(store, row)
    children = [each for each in relatives if each.relation == "child"]
    waits_for = [*_waits_for(row, status), *_below(status, children)]
    ailing = [status, *(each.status for each in children if each.status.phase not in OVER)]
    remedies = [remedy for each in ailing for remedy in remedies_for(each)]
    return Explanation(
        key=key_of(row),
        now=store.clock.now(),
        status=status,
        intent=status.intent if isinstance(status, MachineStatus | VpsStatus) else None,
        waits_for=waits_for,
        relatives=relatives,
        events=await _events(store, [row["uid"], *(child.uid for child in children)]),
        gauges=gauges,
        remedies=list(dict.fromkeys(remedies)) or ([] if waits_for else [CONVERGED]),
    )


def _status(row: Mapping[str, Any]) -> Status:
    status_type: type[Status] = KINDS[row["kind"]].model_fields["status"].annotation  # type: ignore[assignment]  # every kind narrows it to a Status
    return status_type.model_validate(row["status"])


async def _events(store: Store, uids: Iterable[UUID]) -> list[EventRecord]:
    """The last events of some objects, oldest first."""
    found = [event for uid in uids for event in await store.events.list(uid=uid)]
    return sorted(found, key=lambda event: event.last_at)[-EVENTS:]


def _below(status: Status, children: Iterable[Relative]) -> Iterator[str]:
    """Children that could not be brought to what they should be, and services on their way."""
    machines = status.services if isinstance(status, DevEnvStatus) else []
    services = {each.machine: each.name for each in machines}
    for child in children:
        service = services.get(child.key.name)
        of = "" if service is None else f"service {service}, "
        if (retry := child.status.retry) is not None:
            yield f"{of}{child.key}: {retry.kind}, {retry.reason}: {retry.message}"
        elif service is not None and not child.status.is_true("Ready"):
            yield f"{of}{child.key}: {child.status.phase}{_why(child.status)}"


def _why(status: Status) -> str:
    """What its conditions say of that, the readiness only if nothing else does."""
    found = list(troubles(status.conditions))
    found = [each for each in found if each.type != "Ready"] or found
    said = [f"{each.reason}: {each.message}" if each.message else each.reason for each in found]
    return f", {'; '.join(said)}" if said else ""


def _waits_for(row: DictRow, status: Status) -> Iterator[str]:
    """What keeps it from going on, or from being what the wish says."""
    if row["annotations"].get(PAUSED) == "true":
        yield f"somebody to resume it (annotation {PAUSED})"
    try:
        to_object(KINDS[row["kind"]], row)
    except InvalidError as error:
        yield f"a correct wish: {error}"
    if row["deletion_timestamp"] is not None:
        yield "its deletion: whatever is outside goes first"
    elif status.observed_generation != row["generation"]:
        yield (
            f"a controller to carry out generation {row['generation']} of the wish "
            f"(seen: {status.observed_generation})"
        )
    for condition in troubles(status.conditions):
        words = f": {condition.message}" if condition.message else ""
        yield f"{condition.type} ({condition.reason}){words}"


async def _relatives(store: Store, row: DictRow) -> list[Relative]:
    owners = await store.database.fetch(
        f"SELECT {COLUMNS} FROM objects WHERE uid IN "  # noqa: S608 - from constants
        "(SELECT (owner->>'uid')::uuid FROM jsonb_array_elements(%s::jsonb) AS owner)",
        json.dumps(row["owner_references"]),
    )
    kind, namespace, name = key_of(row)
    # What is in an account's namespace is its own, and a name leads to its workspace.
    children = await store.database.fetch(
        f"SELECT {COLUMNS} FROM objects WHERE owner_references @> %s::jsonb "  # noqa: S608 - the same
        "OR (%s = 'Account' AND (namespace = %s OR (kind = 'Route' AND spec->>'account' = %s))) "
        "OR (%s = 'Workspace' AND kind = 'Route' AND spec->>'account' = %s "
        "AND spec->'target'->>'workspace' = %s) "
        "OR (%s = 'Vps' AND kind IN ('Session', 'AuthorizedKey') AND namespace = %s "
        "AND spec->>'vps' = %s) ORDER BY kind, namespace, name",
        json.dumps([{"uid": str(row["uid"])}]),
        *(kind, name, name),
        *(kind, namespace, name),
        *(kind, namespace, name),
    )
    owned = {each["uid"] for each in owners}
    under = [each for each in await _under(store, row) if each["uid"] not in owned]
    related = {"owner": owners, "on": under, "child": children}
    return [
        Relative(relation, key_of(each), each["uid"], _status(each))
        for relation, rows in related.items()
        for each in rows
    ]


async def _under(store: Store, row: DictRow) -> Sequence[DictRow]:
    """What an object is on: the Vps of a session or a key, the connection of a Vps."""
    field, kind = UNDER.get(row["kind"], ("", ""))
    return await store.database.fetch(
        f"SELECT {COLUMNS} FROM objects WHERE kind = %s AND namespace = %s AND name = %s",  # noqa: S608 - from constants
        kind,
        row["namespace"],
        str(row["spec"].get(field, "")),
    )
