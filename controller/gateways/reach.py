"""What Sessions and AuthorizedKeys share: their Vps, its gateway, and commands to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from uuid import UUID

from controller.engine import Blocked, ReconcileError, RetryLater
from controller.scope import Scope
from crds.gateway_hub import (
    CommandError,
    CommandRefusedError,
    GatewayHub,
    GatewayOfflineError,
    GatewaySlowError,
    TokenRefusedError,
)
from crds.meta import Key, OwnerReference, Resource
from crds.store.observations import CONNECTION, HEALTH, HELLO, Observation, is_linked
from crds.vps import Vps

R = TypeVar("R", bound=Resource)

AWAY: Final = "its VPS is not connected"
# The hub waits 30 s before it calls a gateway away, which then wakes whoever waits for it.
OFFLINE_RETRY_SECONDS: Final = 5.0
TOKEN_RECHECK_SECONDS: Final = 60.0
_OFFLINE: Final = "gateway-offline"


@dataclass(frozen=True, slots=True)
class Connected:
    """A gateway that is connected, by what it reported.

    Attributes:
        gateway: Its id.
        hello: The number of its newest hello.
        sessions: The sessions that it had then, by their ids.
        told: What else was asked for, by subject.
    """

    gateway: UUID
    hello: int
    sessions: frozenset[str]
    told: Mapping[str, Observation]


async def vps_of(scope: Scope[R], name: str) -> Vps:
    """The Vps that an object is on, to which it is tied from then on.

    Args:
        scope: The object's.
        name: What its spec names.

    Raises:
        Blocked: There is none, or the object is tied to another one.
        ConflictError: The row moved.
    """
    tied = _tie(scope.object)
    if tied is not None and tied.name != name:
        raise Blocked("VpsIsFixed", f"it is on {tied.name}, and cannot be moved to {name}")
    vps = await scope.store.find(Vps, name, scope.object.metadata.namespace)
    if vps is None or vps.deleting or (tied is not None and tied.uid != vps.uid):
        if scope.object.status.phase != "Blocked":
            scope.object.status.phase = "Pending"
        raise Blocked("NoVps", f"there is no VPS {name}")
    if tied is None:
        await _tie_to(scope, vps)
    return vps


async def gateway_of(scope: Scope[R]) -> UUID | None:
    """The gateway where traces of an object may be; None where there are none to take away.

    What is in a Vps that goes, goes with its droplet. Its spec is not looked at: it may be broken.
    """
    tied = _tie(scope.object)
    if tied is None:
        return None
    # Whoever edits a reference can name any uid: only one in the same namespace counts.
    row = await scope.store.find_row(Key(Vps.KIND, scope.object.metadata.namespace, tied.name))
    if row is None or row["uid"] != tied.uid or row["deletion_timestamp"] is not None:
        return None
    return tied.uid


def is_tied_elsewhere(resource: Resource, vps: UUID) -> bool:
    """Whether an object is tied to another Vps."""
    tied = _tie(resource)
    return tied is not None and tied.uid != vps


async def connected(scope: Scope[R], vps: Vps, *subjects: str) -> Connected | None:
    """What a Vps' gateway reported, or None while it is away.

    Both the Vps and the newest report have to say that it is connected: whichever is behind
    wakes the object when it catches up.

    Args:
        scope: The object's.
        vps: The Vps.
        subjects: What else is wanted of what it reported.
    """
    if not vps.status.gateway.connected:
        return None
    known = await scope.store.observations.of(vps.uid, CONNECTION, HELLO, HEALTH, *subjects)
    hello = known.get(HELLO)
    if hello is None or not is_linked(known):
        return None
    sessions = (hello.message or {}).get("sessions", [])
    ids = frozenset(str(each.get("session_id")) for each in sessions)
    return Connected(vps.uid, hello.sequence, ids, known)


async def command(
    scope: Scope[R], hub: GatewayHub, gateway: UUID, order: Mapping[str, Any]
) -> None:
    """Have a gateway do something.

    Raises:
        CommandRefusedError: It does not.
        RetryLater: It is away, or nobody knows whether it did.
        Blocked: The hub does not know us.
        FencedError: The shard was lost: nothing was sent.
    """
    scope.request.guard()
    try:
        await hub.send(gateway, order)
    except CommandRefusedError:
        raise
    except CommandError as error:
        raise meaning_of(error) from error


async def take_back(
    scope: Scope[R], hub: GatewayHub, gateway: UUID, order: Mapping[str, Any]
) -> bool:
    """The same, for what need not be done in a gateway that is away.

    The hub knows best whether it is; when it comes back, its Vps takes away what nobody wishes for.

    Returns:
        Whether it was done.

    Raises:
        RetryLater: It is refused, or nobody knows whether it was done.
        Blocked: The hub does not know us.
        FencedError: The shard was lost: nothing was sent.
    """
    scope.request.guard()
    try:
        await hub.send(gateway, order)
    except CommandError as error:
        if isinstance(error, GatewayOfflineError) and error.code == _OFFLINE:
            return False
        raise meaning_of(error) from error
    return True


def meaning_of(error: CommandError) -> ReconcileError:
    """Turn what became of a command into what the engine does about it."""
    match error:
        case GatewayOfflineError(code=code) if code == _OFFLINE:
            return RetryLater("GatewayOffline", AWAY, after=OFFLINE_RETRY_SECONDS)
        case GatewayOfflineError():
            return RetryLater("HubUnreachable", "the hub of the gateways cannot be reached")
        case GatewaySlowError(seconds=seconds):
            return RetryLater("GatewaySlow", error.detail, after=seconds)
        case TokenRefusedError():
            text = "the hub of the gateways does not take our token"
            return Blocked("HubRefusesToken", text, recheck_after=TOKEN_RECHECK_SECONDS)
        case CommandRefusedError():
            return RetryLater("CommandRefused", _words(error))
    return RetryLater("CommandUnknown", _words(error))


def _words(error: CommandError) -> str:
    return f"{error.code}: {error.detail}" if error.detail else error.code


def _tie(resource: Resource) -> OwnerReference | None:
    owners = resource.metadata.owner_references
    return next((each for each in owners if each.kind == Vps.KIND), None)


async def _tie_to(scope: Scope[R], vps: Vps) -> None:
    """Note whose it is, so that it cannot be moved, and goes when its Vps is gone."""
    tie = vps.owner_reference()
    tie.controller = scope.object.controller() is None

    def change(changed: R) -> None:
        changed.metadata.owner_references = [*changed.metadata.owner_references, tie]

    await scope.keep(change)
