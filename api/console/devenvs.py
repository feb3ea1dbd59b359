"""What an object's page tells of a dev environment; never what its users connect with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from pydantic import ValidationError

from api.console.addresses import object_path
from api.console.objects import Found
from crds.devenv import Cost, DevEnv, DevEnvSpec, DevEnvStatus, MoveStatus, cost_of
from crds.machine import Machine

CONNECTIONS: Final = {
    "None": "nothing",
    "Partial": "addresses, to devops alone",
    "Full": "everything, by role",
    "Unsafe": "everything, flagged as unsafe, to devops and the security auditor",
}
MODES: Final = {
    "production": "as its developers defined it",
    "permissive": "who is signed in sees everything",
    "disabled": "off",
}
STOPPED_FOR: Final = {
    "Wish": "somebody stopped it",
    "Idle": "nobody used it",
    "Account": "its account may run nothing",
}


class Served(NamedTuple):
    """One service, and the page of its Machine."""

    name: str
    machine: str
    path: str
    phase: str
    ready: bool
    started_at: datetime | None


class DevEnvFacts(NamedTuple):
    """A dev environment.

    Attributes:
        connection: What its users are told, in a word.
        told: The same in a few.
        mode: The mode of row-level security that is wished for.
        means: What that mode is.
        applied: The mode that the database has; None before the first start.
        drift: The tables where somebody changed it by hand.
        rotating: Whether new keys are wished for and not made yet.
        stopped_for: Why it is down; empty while it shall be up.
        front_end: How far the front end is; None when none is named.
        cost: USD a month, both ways.
    """

    services: Sequence[Served]
    connection: str
    told: str
    missing: Sequence[str]
    mode: str
    means: str
    applied: str | None
    drift: Sequence[str]
    checked_at: datetime | None
    keys_made_at: datetime | None
    rotating: bool
    stopped_for: str
    idle_at: datetime | None
    last_activity_at: datetime | None
    warm_up_seconds: float | None
    move: MoveStatus | None
    front_end: str | None
    cost: Cost


def devenv_facts(found: Found) -> DevEnvFacts | None:
    """What is known of a dev environment; None of anything else, and of a row that is broken."""
    if found.kind is not DevEnv:
        return None
    try:
        spec = DevEnvSpec.model_validate(found.row["spec"])
        status = DevEnvStatus.model_validate(found.row["status"])
    except ValidationError:
        return None
    rls, keys = status.rls, status.keys
    return DevEnvFacts(
        services=_services(found, status),
        connection=status.connection,
        told=CONNECTIONS[status.connection],
        missing=status.missing,
        mode=spec.rls_mode,
        means=MODES[spec.rls_mode],
        applied=rls.mode if rls else None,
        drift=rls.drift if rls else [],
        checked_at=rls.checked_at if rls else None,
        keys_made_at=keys.made_at if keys else None,
        rotating=bool(keys and spec.rotate_at and keys.made_at < spec.rotate_at),
        stopped_for=STOPPED_FOR[status.stopped_for] if status.stopped_for else "",
        idle_at=status.idle_at,
        last_activity_at=status.last_activity_at,
        warm_up_seconds=status.warm_up_seconds,
        move=status.move,
        front_end=_front_end(spec, status),
        cost=cost_of(spec),
    )


def _services(found: Found, status: DevEnvStatus) -> list[Served]:
    return [
        Served(
            each.name,
            each.machine,
            object_path(Machine.PLURAL, found.namespace, each.machine),
            each.phase,
            each.ready,
            each.started_at,
        )
        for each in status.services
    ]


def _front_end(spec: DevEnvSpec, status: DevEnvStatus) -> str | None:
    if spec.netlify is None:
        return None
    condition = status.condition("NetlifyCurrent")
    return "Unknown" if condition is None else condition.reason
