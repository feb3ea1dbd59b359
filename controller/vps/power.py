"""Power: on or off, asked of DigitalOcean alone; the gateway is not needed for it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal

from controller.engine import Blocked, RetryLater
from controller.providers import NotFound, NotReady
from controller.providers.digitalocean import Action, AlreadyInState
from controller.vps.droplet import REACHED
from controller.vps.intent import busy, effect, idle
from controller.vps.tools import VpsScope, VpsTools, Wait
from crds.vps import VpsIntent

Switch = Literal["PowerOn", "Shutdown", "PowerOff"]

KINDS: Final[dict[str, str]] = {
    "PowerOn": "power_on",
    "Shutdown": "shutdown",
    "PowerOff": "power_off",
}
# A shutdown completes whether the droplet heeds it or not: one that still runs so long
# afterwards does not.
HEED_WITHIN: Final = timedelta(seconds=60)
# A droplet's status may follow a completed action late.
FOLLOW_WITHIN: Final = timedelta(seconds=15)
# How far our clock and DigitalOcean's may be apart when an action is looked for by its time.
RECENT: Final = timedelta(minutes=5)
NEXT_LOOK: Final = 2.0
SETTLE_LOOK: Final = 5.0
FAILED_SECONDS: Final = 30.0


async def apply_power(scope: VpsScope, _: VpsTools) -> Wait | None:
    """Bring the droplet to the power that is wished for.

    Raises:
        RetryLater: An action has ended as `errored`.
        Blocked: The droplet cannot be switched.
    """
    status = scope.object.status
    if scope.power == "Stopped" and (status.droplet is None or status.droplet.status == "off"):
        # Also when DigitalOcean cannot be asked or need not be.
        status.phase = "Off"
    if status.droplet is None or scope.seen is None:
        return None
    if wait := await _settle(scope):
        return wait
    if scope.seen.status == REACHED[scope.power]:
        idle(scope)
        return None
    if scope.seen.status == "archive":
        raise Blocked("DropletArchived", f"DigitalOcean has archived droplet {scope.seen.id}")
    return await _switch(scope, "PowerOn" if scope.power == "Running" else "Shutdown")


async def _switch(scope: VpsScope, switch: Switch) -> Wait:
    """Ask for an action, unless another one is under way."""
    droplet, of, call = scope.droplet.id, scope.access.connection, scope.call
    _tell(scope)
    if scope.seen is not None and scope.seen.locked:
        return busy(scope, f"another action on droplet {droplet}")
    ask = {
        "PowerOn": scope.api.power_on,
        "Shutdown": scope.api.shutdown,
        "PowerOff": scope.api.power_off,
    }[switch]
    try:
        async with effect(scope, switch, droplet) as intent:
            action = await ask(of, droplet, call=call)
            intent.action = action.id
    except AlreadyInState:
        return Wait(NEXT_LOOK, "another look")
    except NotReady:
        return busy(scope, f"another action on droplet {droplet}")
    scope.event(switch, f"droplet {droplet}")
    return Wait(NEXT_LOOK, f"{KINDS[switch]} of droplet {droplet}")


def _tell(scope: VpsScope) -> None:
    running = scope.power == "Running"
    scope.object.status.phase = "PoweringOn" if running else "PoweringOff"


async def _settle(scope: VpsScope) -> Wait | None:
    """Look at the action that was asked for; nothing else is asked before it is over.

    Raises:
        RetryLater: It has ended as `errored`.
    """
    status = scope.object.status
    intent = status.intent
    if intent is None or intent.operation not in KINDS:
        return None
    action = None
    if intent.droplet == scope.droplet.id:
        action = await _find(scope, intent)
    if action is None:
        status.intent = None
        return None
    intent.action = action.id
    intent.accepted_at = intent.accepted_at or scope.now
    if action.status == "in-progress":
        _tell(scope)
        return busy(scope, f"{action.type} of droplet {scope.droplet.id}")
    if _has_effect(scope, intent):
        status.intent = None
        return None
    if action.status == "errored":
        status.intent = None
        return _fail(scope, action)
    return await _follow(scope, intent, action)


async def _find(scope: VpsScope, intent: VpsIntent) -> Action | None:
    """The action of an intent; None when there is none, of an unknown outcome too."""
    of, call = scope.access.connection, scope.call
    try:
        if intent.action is not None:
            return await scope.api.get_action(of, intent.action, call=call)
        done = await scope.api.list_actions(of, scope.droplet.id, call=call)
    except NotFound:
        return None
    newest = done[0] if done else None
    if newest is None or newest.type != KINDS[intent.operation]:
        return None
    return newest if newest.started_at > intent.since - RECENT else None


def _has_effect(scope: VpsScope, intent: VpsIntent) -> bool:
    """Whether the droplet is as the action should have made it."""
    wanted = "active" if intent.operation == "PowerOn" else "off"
    return scope.seen is not None and scope.seen.status == wanted


def _fail(scope: VpsScope, action: Action) -> Wait:
    message = f"{action.type} of droplet {scope.droplet.id} ended as errored (action {action.id})"
    scope.event("ActionFailed", message, warning=True)
    raise RetryLater("ActionFailed", message, after=FAILED_SECONDS, provider="digitalocean")


async def _follow(scope: VpsScope, intent: VpsIntent, action: Action) -> Wait | None:
    """What has completed without its effect: wait for it a little, then go on."""
    patience = HEED_WITHIN if intent.operation == "Shutdown" else FOLLOW_WITHIN
    if scope.now < _over_at(scope, intent, action) + patience:
        _tell(scope)
        return Wait(SETTLE_LOOK, f"droplet {scope.droplet.id} to be as {action.type} makes it")
    scope.object.status.intent = None
    if intent.operation == "Shutdown" and scope.power == "Stopped":
        message = f"droplet {scope.droplet.id} did not heed a shutdown"
        scope.event("ShutdownIgnored", message, warning=True)
        return await _switch(scope, "PowerOff")
    return None


def _over_at(scope: VpsScope, intent: VpsIntent, action: Action) -> datetime:
    """When an action ended, by our clock: it took as long by any."""
    began = intent.accepted_at or scope.now
    return began + ((action.completed_at or action.started_at) - action.started_at)
