"""What users are told: addresses on the way up, everything when up, nothing when down."""

from __future__ import annotations

from typing import Final

from controller.devenv.keys import connection_of
from controller.devenv.tools import DevEnvScope, Tools
from crds.connection import connection_name
from crds.devenv import Connection

# Nothing is told in these, and nothing has to be withdrawn.
AT_REST: Final = frozenset({"Stopped", "Suspended", "Quarantined"})


async def tell(scope: DevEnvScope, tools: Tools, how: Connection) -> None:
    """Put on record what users are told, if that is not what they are told already.

    The record comes first and the row follows: the row alone lets nobody in, and who reads the two
    in any order is given no more than either allows.

    Args:
        scope: The dev environment.
        tools: The outside world.
        how: Addresses, everything, or everything as unsafe.
    """
    status = scope.object.status
    told = connection_of(
        scope.object.spec, scope.keys, public_url=tools.public_url, partial=how == "Partial"
    ).to_bytes()
    fingerprint = tools.fingerprint(told)
    if status.told != fingerprint:
        # Noted before it is there, so that whoever withdraws it knows of it.
        if status.connection == "None":
            await _note(scope, "Partial", "")
        name, fence = connection_name(scope.name), scope.request.fence
        await tools.secrets.put(scope.namespace, name, told, fence=fence)
    await _note(scope, how, fingerprint)


async def withdraw(scope: DevEnvScope, tools: Tools) -> None:
    """Tell users nothing any more; a status that was lost does not keep a record alive."""
    status = scope.object.status
    if status.connection != "None" or status.told or status.phase not in AT_REST:
        name, fence = connection_name(scope.name), scope.request.fence
        await tools.secrets.delete(scope.namespace, name, fence=fence)
        await _note(scope, "None", "")


async def _note(scope: DevEnvScope, how: Connection, fingerprint: str) -> None:
    status = scope.object.status
    if (status.connection, status.told) != (how, fingerprint):
        status.connection, status.told = how, fingerprint
        await scope.save()
