"""Creation: an accepted droplet is a promise, and its address may come later still."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from controller.providers import NotFound
from controller.vps.destruction import destroy
from controller.vps.droplet import ADDRESSED
from controller.vps.intent import busy, idle
from controller.vps.tools import VpsScope, VpsTools, Wait

ADDRESS_LOOK: Final = 5.0
ADDRESS_AFTER: Final = timedelta(minutes=10)
LATE_LOOK: Final = 60.0


async def await_creation(scope: VpsScope, _: VpsTools) -> Wait | None:
    """Look after a creation until there is a droplet, or none after all."""
    status = scope.object.status
    if status.droplet is None or scope.seen is None:
        return None
    if scope.seen.status != "new":
        if status.intent is not None and status.intent.operation == "Create":
            status.intent = None
            idle(scope)
        return None
    status.phase = "Provisioning"
    if await _has_failed(scope):
        message = f"DigitalOcean could not make droplet {scope.seen.id}; it is replaced"
        scope.event("CreateFailed", message, warning=True)
        return await destroy(scope, scope.seen.id)
    return busy(scope, f"the creation of droplet {scope.seen.id}")


async def _has_failed(scope: VpsScope) -> bool:
    """Whether the creation has ended as `errored`; one that is not found has not."""
    intent = scope.object.status.intent
    of, call = scope.access.connection, scope.call
    try:
        if intent is not None and intent.operation == "Create" and intent.action is not None:
            action = await scope.api.get_action(of, intent.action, call=call)
            return action.status == "errored"
        done = await scope.api.list_actions(of, scope.droplet.id, call=call)
    except NotFound:
        return False
    return any((each.type, each.status) == ("create", "errored") for each in done)


async def await_address(scope: VpsScope, _: VpsTools) -> Wait | None:
    """Look for the public address of a droplet that runs; nothing else has to wait for it."""
    droplet, status = scope.object.status.droplet, scope.object.status
    if droplet is None or droplet.status != "active":
        return None
    if droplet.ipv4 is not None:
        status.drop_condition(ADDRESSED)
        return None
    known = status.condition(ADDRESSED)
    late = scope.now >= (droplet.active_since or scope.now) + ADDRESS_AFTER
    reason = "AddressLate" if late else "AwaitingAddress"
    message = f"droplet {droplet.id} runs and has no public address"
    if late and (known is None or known.reason != reason):
        scope.event(reason, message, warning=True)
    scope.condition(ADDRESSED, status=False, reason=reason, message=message)
    scope.look_again(LATE_LOOK if late else ADDRESS_LOOK)
    return None
