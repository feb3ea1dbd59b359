"""The gateway in the droplet, by what the hub and itself report of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from controller.vps.tools import VpsScope, VpsTools, Wait
from crds.store.observations import CONNECTION, HEALTH, HELLO, agent_subject, is_linked
from crds.vps import GATEWAY, GatewayStatus

# From the first moment that the droplet runs: packages are installed before its gateway.
FIRST_HELLO_WITHIN: Final = timedelta(minutes=10)
# A gateway tells its health every 30 s; six in a row are not lost by chance.
SILENT_AFTER: Final = timedelta(seconds=180)
# How long a droplet that was switched on may take until its gateway is back.
STARTING: Final = timedelta(seconds=180)
# Health wakes nobody, so who is silent is looked at.
SILENT_LOOK: Final = 30.0
TIMEOUT_LOOK: Final = 60.0
ADVICE: Final = (
    "look at /var/log/cloud-init-output.log in the droplet, or delete the VPS and make another"
)


async def hear(scope: VpsScope) -> None:
    """Read what is known of the gateway, and note the gist; DigitalOcean is not asked for it."""
    scope.heard = await scope.store.observations.of(scope.uid, CONNECTION, HELLO, HEALTH)
    gateway, hello = scope.object.status.gateway, scope.heard.get(HELLO)
    if hello is not None and hello.sequence > gateway.hello:
        gateway.hello = hello.sequence
        gateway.version = str((hello.message or {}).get("version", ""))
        gateway.first_hello_at = gateway.first_hello_at or hello.observed_at
    connected = _is_linked(scope) and not _is_silent(scope)
    if connected != gateway.connected:
        gateway.connected, gateway.since = connected, scope.now


def _is_linked(scope: VpsScope) -> bool:
    """Whether the hub has a connection of this droplet's gateway that has said hello."""
    young = scope.object.status.gateway.first_hello_at is None
    return not young and is_linked(scope.heard)


def _is_silent(scope: VpsScope) -> bool:
    """Whether a linked gateway has said nothing for too long; when it has not, that is due."""
    heard_at = max(each.observed_at for each in scope.heard.values())
    left = (heard_at + SILENT_AFTER - scope.now).total_seconds()
    scope.look_again(left if left > 0 else SILENT_LOOK)
    return left <= 0


async def forget_gateway(scope: VpsScope) -> None:
    """Begin anew with another droplet: what is known up to here is about the one that is gone."""
    status = scope.object.status
    known = await scope.store.observations.of(scope.uid)
    newest = max((each.sequence for each in known.values()), default=0)
    status.gateway = GatewayStatus(hello=max(status.gateway.hello, newest))
    status.provisioning_since = status.offline_since = None
    status.agents = []
    names = [name for name in known if name.startswith(agent_subject(""))]
    await scope.store.observations.forget_subjects(scope.uid, *names)


async def await_gateway(scope: VpsScope, _: VpsTools) -> Wait | None:
    """Wait for the gateway of a droplet that runs; say which way it is away."""
    status = scope.object.status
    if status.gateway.connected:
        scope.condition(GATEWAY, status=True, reason="Connected")
    if scope.power == "Stopped" or status.droplet is None:
        status.provisioning_since = status.offline_since = None
        if not status.gateway.connected:
            scope.condition(GATEWAY, status=False, reason="PoweredOff")
        return None
    if status.gateway.connected:
        status.provisioning_since = status.offline_since = None
        status.phase = "Running"
        return None
    if status.gateway.first_hello_at is None:
        return _await_first(scope)
    return _await_return(scope)


def _await_first(scope: VpsScope) -> Wait:
    """A droplet whose gateway was never heard of; it may yet be, whatever the time."""
    status = scope.object.status
    since = status.provisioning_since or scope.droplet.active_since or scope.now
    status.provisioning_since = since
    left = (since + FIRST_HELLO_WITHIN - scope.now).total_seconds()
    if left > 0:
        status.phase = "Provisioning"
        scope.condition(GATEWAY, status=False, reason="AwaitingFirstHello")
        return Wait(left, "the first sign of its gateway")
    message = f"its gateway has not been heard of since {since:%H:%M} UTC; {ADVICE}"
    known = status.condition(GATEWAY)
    if known is None or known.reason != "ProvisioningTimeout":
        scope.event("ProvisioningTimeout", message, warning=True)
    status.phase = "ProvisioningTimeout"
    scope.condition(GATEWAY, status=False, reason="ProvisioningTimeout", message=message)
    return Wait(TIMEOUT_LOOK, message)


def _await_return(scope: VpsScope) -> Wait:
    """A gateway that was there is away: its droplet starts, or something is wrong with it."""
    status, gateway = scope.object.status, scope.object.status.gateway
    active_since = scope.droplet.active_since
    if active_since is not None and (gateway.since is None or gateway.since <= active_since):
        left = (active_since + STARTING - scope.now).total_seconds()
        if left > 0:
            status.phase = "PoweringOn"
            scope.condition(GATEWAY, status=False, reason="Starting")
            return Wait(left, "its gateway")
    silent = _is_linked(scope)
    message = f"its gateway {'has said nothing for too long' if silent else 'is not connected'}"
    if status.offline_since is None:
        status.offline_since = scope.now
        scope.event("Offline", message, warning=True)
    status.phase = "Offline"
    reason = "Silent" if silent else "Disconnected"
    scope.condition(GATEWAY, status=False, reason=reason, message=message)
    return Wait(None, message)
