"""AuthorizedKey: let into a Vps for as long as its row is there and its time is not over."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar, Final
from uuid import UUID
from weakref import WeakValueDictionary

from controller.engine import EventRecorder, Priority, Result, RetryLater
from controller.gateways.reach import (
    AWAY,
    Connected,
    command,
    connected,
    gateway_of,
    is_tied_elsewhere,
    take_back,
    vps_of,
)
from controller.kind import KindReconciler
from controller.scope import Scope
from crds.authorized_key import AuthorizedKey
from crds.gateway_hub import CommandRefusedError, GatewayHub
from crds.meta import Resource
from crds.store import Store

KeyScope = Scope[AuthorizedKey]

# Gateways that are well answer within a few hundredths of it; whoever waits is missing to others.
TURN_SECONDS: Final = 1.0
AGAIN_SECONDS: Final = 10.0


class AuthorizedKeyReconciler(KindReconciler[AuthorizedKey]):
    """Keeps an SSH key in its Vps' gateway.

    Several rows may hold the same key. What the gateway has is the wish of the one that ends last,
    and whichever row changes or goes sees to that.

    Args:
        store: Where the rows are.
        recorder: Where events go.
        hub: Carries commands to gateways.
    """

    kind: ClassVar[type[Resource]] = AuthorizedKey

    def __init__(self, store: Store, recorder: EventRecorder, hub: GatewayHub) -> None:
        super().__init__(store, recorder)
        self._hub = hub
        self._locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    async def converge(self, scope: KeyScope) -> Result:
        """Let it in, or no longer; look again at the moment when it ends."""
        vps = await vps_of(scope, scope.object.spec.vps)
        seen = await connected(scope, vps)
        if _is_over(scope.object, scope.now):
            await self._expire(scope, seen)
            return Result()
        scope.object.status.expired_at = None
        if seen is not None and _is_due(scope, seen):
            await self._let_in(scope, seen)
        elif _is_applied(scope):
            _authorize(scope)
        elif seen is None:
            _wait(scope)
        end = scope.object.ends_at
        if end is None:
            return Result()
        left = (end - scope.now).total_seconds()
        return Result(requeue_after=max(0.001, left), priority=Priority.EVENT)

    async def remove(self, scope: KeyScope) -> Result | None:
        """Let it in no longer; from a gateway that is away it is taken when that comes back."""
        status, gateway = scope.object.status, await gateway_of(scope)
        if gateway is None or not status.hello:
            return None
        status.phase = "Deleting"
        await self._take_away(scope, gateway)
        return None

    async def _let_in(self, scope: KeyScope, seen: Connected) -> None:
        """Put it there, once it is on record that it may be there."""
        status, spec = scope.object.status, scope.object.spec
        if status.hello and status.fingerprint != spec.fingerprint:
            await self._take_away(scope, seen.gateway)
            _forget(scope)
        status.fingerprint = spec.fingerprint
        if not status.hello:
            status.hello = seen.hello
            await scope.save_if_unmoved()
        async with self._turn(seen.gateway):
            rows = [*await self._others(scope, seen.gateway), scope.object]
            order = _authorization(scope, rows, seen.hello)
            try:
                await command(scope, self._hub, seen.gateway, order)
            except CommandRefusedError as error:
                _fail(scope, seen, error)
                return
        status.hello, status.applied_generation = seen.hello, scope.object.metadata.generation
        _authorize(scope)

    async def _expire(self, scope: KeyScope, seen: Connected | None) -> None:
        """Its time is over; a gateway that is away knows that by its own clock."""
        status = scope.object.status
        if status.expired_at is None:
            status.expired_at = scope.now
            scope.event("Expired", "its time is over")
        status.fingerprint = status.fingerprint or scope.object.spec.fingerprint
        status.phase = "Expired"
        scope.condition("Ready", status=False, reason="Expired", message="its time is over")
        if status.hello and seen is not None and await self._take_away(scope, seen.gateway):
            _forget(scope)

    async def _take_away(self, scope: KeyScope, gateway: UUID) -> bool:
        """Have the key that is there go, or be as the other rows that hold it wish.

        Returns:
            Whether the gateway did so; False while it is away.
        """
        status, generation = scope.object.status, scope.object.metadata.generation
        async with self._turn(gateway):
            others = await self._others(scope, gateway)
            if others:
                order = _authorization(scope, others, status.hello)
            else:
                name = _name("revoke", scope, [status.fingerprint, status.hello, generation])
                order = {"type": "ssh.revoke", "id": name, "fingerprint": status.fingerprint}
            return await take_back(scope, self._hub, gateway, order)

    async def _others(self, scope: KeyScope, gateway: UUID) -> Sequence[AuthorizedKey]:
        """The other rows by whose wish the key that is there shall be there."""
        name = next(o.name for o in scope.object.metadata.owner_references if o.uid == gateway)
        page = await self.store.list(
            AuthorizedKey, namespace=scope.object.metadata.namespace, spec={"vps": name}
        )
        return [
            each
            for each in page.items
            if each.uid != scope.uid
            and each.spec.fingerprint == scope.object.status.fingerprint
            and not each.deleting
            and not _is_over(each, scope.now)
            and not is_tied_elsewhere(each, gateway)
        ]

    @asynccontextmanager
    async def _turn(self, gateway: UUID) -> AsyncIterator[None]:
        """Held from reading the rows to the answer, or two could overtake each other.

        An account's rows are all in one replica's hands.

        Raises:
            RetryLater: Another one waits for an answer that does not come.
        """
        lock = self._locks.get(gateway)
        if lock is None:
            lock = self._locks[gateway] = asyncio.Lock()
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await lock.acquire()
        except TimeoutError:
            text = "another key waits for the gateway's answer"
            raise RetryLater("GatewaySlow", text, after=AGAIN_SECONDS) from None
        try:
            yield
        finally:
            lock.release()


def _is_over(key: AuthorizedKey, now: datetime) -> bool:
    return key.ends_at is not None and key.ends_at <= now


def _is_applied(scope: KeyScope) -> bool:
    """Whether the gateway has the present wish; sshd heeds it whether that is connected or not."""
    return scope.object.status.applied_generation == scope.object.metadata.generation


def _is_due(scope: KeyScope, seen: Connected) -> bool:
    """Whether the gateway has to be asked: not again for what it refused of this wish."""
    status = scope.object.status
    if status.hello != seen.hello:
        return True
    ready = status.condition("Ready")
    refused = status.phase == "Failed" and ready is not None and ready.reason == "CommandRefused"
    edited = status.observed_generation != scope.object.metadata.generation
    return not _is_applied(scope) and (edited or not refused)


def _authorization(scope: KeyScope, rows: Sequence[AuthorizedKey], hello: int) -> dict[str, Any]:
    """The command that has a key be there as that of its rows wishes which ends last."""
    latest = datetime.max.replace(tzinfo=UTC)
    last = max(rows, key=lambda each: (each.ends_at or latest, str(each.uid)))
    spec, end = last.spec, last.ends_at
    wish = {
        "fingerprint": spec.fingerprint,
        "public_key": spec.public_key,
        "label": spec.label,
        "expires_at": end and end.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }
    occasion = [wish, hello, scope.object.metadata.generation, scope.object.deleting]
    return {"type": "ssh.authorize", "id": _name("authorize", scope, occasion), **wish}


def _name(verb: str, scope: KeyScope, occasion: list[Any]) -> str:
    """A command's id: the same whenever a row asks for the same on the same occasion."""
    digest = hashlib.sha256(json.dumps(occasion, sort_keys=True).encode()).hexdigest()
    return f"{verb}.{scope.uid.hex}.{digest[:16]}"


def _forget(scope: KeyScope) -> None:
    """Nothing of it is there."""
    scope.object.status.hello = scope.object.status.applied_generation = 0


def _wait(scope: KeyScope) -> None:
    status = scope.object.status
    if not status.hello:
        status.fingerprint = scope.object.spec.fingerprint
    status.phase = "Waiting"
    scope.condition("Ready", status=False, reason="GatewayAway", message=AWAY)


def _authorize(scope: KeyScope) -> None:
    status = scope.object.status
    if status.authorized_at is None:
        status.authorized_at = scope.now
        scope.event("Authorized", f"{status.fingerprint} is let in")
    status.phase = "Authorized"
    scope.condition("Ready", status=True, reason="Authorized")


def _fail(scope: KeyScope, seen: Connected, error: CommandRefusedError) -> None:
    """It is not let in; it is tried again when its gateway comes back, or its row is edited."""
    status, text = scope.object.status, error.detail or error.code
    if status.phase != "Failed":
        scope.event("NotAuthorized", f"{error.code}: {text}", warning=True)
    status.hello, status.phase = seen.hello, "Failed"
    scope.condition("Ready", status=False, reason="CommandRefused", message=text)
