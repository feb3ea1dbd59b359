"""The database on a service's Machine, and whether it knows the keys that hold."""

from __future__ import annotations

from controller.devenv import database
from controller.devenv.psql import Psql
from controller.devenv.tools import DevEnvScope, Tools
from crds.machine import Machine


async def ensure_prepared(scope: DevEnvScope, tools: Tools, postgres: Machine) -> None:
    """Have the database know the keys before anybody comes with them.

    Raises:
        RetryLater: The database refused.
    """
    keys = scope.object.status.keys
    if keys is not None and not is_prepared(scope, tools, postgres):
        await database.prepare(psql_of(scope, tools, postgres), scope.keys)
        keys.applied = _mark(scope, tools, postgres)
        await scope.save()


def is_prepared(scope: DevEnvScope, tools: Tools, postgres: Machine) -> bool:
    """Whether it is on record that this very disk's database has the keys that hold."""
    keys = scope.object.status.keys
    return keys is not None and keys.applied == _mark(scope, tools, postgres)


def _mark(scope: DevEnvScope, tools: Tools, postgres: Machine) -> str:
    """Another one for other keys, and for another disk: an empty one knows nobody."""
    keys, volume = scope.object.status.keys, postgres.status.volume
    return tools.fingerprint(
        mark_of(None if keys is None else keys.fingerprint, None if volume is None else volume.id)
    )


def mark_of(keys: str | None, volume: str | None) -> bytes:
    """What the mark of a prepared database is the fingerprint of.

    Args:
        keys: The keys' fingerprint.
        volume: The id of the volume that the database is on.
    """
    return f"{keys} {volume}".encode()


def psql_of(scope: DevEnvScope, tools: Tools, machine: Machine) -> Psql:
    """The database that runs on a service's Machine.

    Raises:
        ValueError: It does not run.
    """
    instance, service = machine.status.instance, machine.spec.service
    if instance is None or service is None:
        raise ValueError(f"{machine.key} runs nothing")
    return Psql(tools.fly, service.app, instance.id, scope.call)
