"""What the fleet's objects are told apart by, and how that is read from their rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

# From so many crashes in a row on it is a loop: 5 s, 10 s, 20 s have passed.
LOOP_CRASHES: Final = 3


class Sort(NamedTuple):
    """What objects are told apart by.

    From `wanted` to `service` only machines, but for the intent, and from `connection` on only dev
    environments.
    """

    kind: str
    phase: str | None
    retry: str | None
    wanted: str | None
    healthy: bool | None
    looping: bool | None
    intent: bool | None
    up: bool | None
    size: str | None
    volume: str | None
    service: str | None
    connection: str | None
    move: str | None
    drift: bool | None
    cost: str | None


_MACHINE: Final = "CASE kind WHEN 'Machine' THEN {} END"
_DEVENV: Final = "CASE kind WHEN 'DevEnv' THEN {} END"
_DRIFT: Final = "status->'rls'->'drift'"
BY: Final[Mapping[str, str]] = {
    "kind": "kind",
    "phase": "status->>'phase'",
    "retry": "status->'retry'->>'kind'",
    "wanted": _MACHINE.format("spec->>'power'"),
    "healthy": _MACHINE.format("status->>'healthySince' IS NOT NULL"),
    "looping": _MACHINE.format(
        f"coalesce(status->'restarts'->'count' >= '{LOOP_CRASHES}'::jsonb, false)"
    ),
    # A droplet's stays until what was accepted is through.
    "intent": "CASE WHEN kind IN ('Machine', 'Vps') THEN "
    "coalesce(jsonb_typeof(status->'intent') = 'object', false) "
    "AND NOT coalesce(status->'intent' ? 'acceptedAt', false) END",
    "up": _MACHINE.format(
        "coalesce(status->'instance'->>'state' NOT IN "
        "('created', 'stopped', 'suspended', 'failed', 'destroyed'), false)"
    ),
    "size": _MACHINE.format("(spec->'size')::text"),
    "volume": _MACHINE.format(
        "CASE WHEN jsonb_typeof(status->'volume') = 'object' THEN status->'volume'->>'sizeGb' END"
    ),
    # What the name of its app ends in.
    "service": _MACHINE.format("substring(spec->'service'->>'app' from '-([a-z]+)$')"),
    "connection": _DEVENV.format("status->>'connection'"),
    "move": _DEVENV.format("status->'move'->>'step'"),
    "drift": _DEVENV.format(
        f"CASE jsonb_typeof({_DRIFT}) WHEN 'array' THEN {_DRIFT} <> '[]'::jsonb ELSE false END"
    ),
    "cost": _DEVENV.format("(status->'cost')::text"),
}
