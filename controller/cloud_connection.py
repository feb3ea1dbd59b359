"""CloudConnection: a user's consent becomes tokens, which are kept fresh, and given up at the end.

Only the user can begin: without a consent nothing is asked, and a grant that has ended is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from controller.engine import Blocked, EventRecorder, Result
from controller.grants import (
    GrantScope,
    GrantTools,
    Keeper,
    await_asker,
    renewal_due,
)
from controller.kind import KindReconciler
from controller.scope import awaited
from crds.cloud_connection import GRANTED, CloudConnection
from crds.grants import CODE_LIFETIME, Consent, Grant
from crds.meta import Resource
from crds.store import Store
from crds.vps import Vps

# A token that is refused as soon as it was given is tried again only so often, in seconds.
REFUSED_RECHECK_SECONDS: Final = 600.0
REVOKED: Final = "the provider says that the grant has ended: the user has to connect again"


class CloudConnectionReconciler(KindReconciler[CloudConnection]):
    """Keeps a grant.

    Args:
        store: Where the rows are.
        recorder: Where events go.
        tools: The outside world.
    """

    kind: ClassVar[type[Resource]] = CloudConnection

    def __init__(self, store: Store, recorder: EventRecorder, tools: GrantTools) -> None:
        super().__init__(store, recorder)
        self._tools = tools

    async def converge(self, scope: GrantScope) -> Result:
        """Have a grant that works, or none."""
        keeper = Keeper(scope, self._tools)
        _take_in(scope, await keeper.grant())
        await_asker(scope)
        if scope.object.spec.state == "Disconnected":
            if users := await self._users(scope, keeper):
                return await self._hold(scope, keeper, awaited(users))
            await self._give_up(keeper)
            _ended(scope, "Disconnected", "Disconnected", "the user gave the connection up")
            return Result()
        grant = await self._begun(scope, keeper)
        if grant is not None:
            _connected(scope, grant)
            grant = await self._fresh(scope, keeper, grant)
        if grant is None:
            self._without(scope)
            return Result()
        _connected(scope, grant)
        return _until_renewal(scope, grant)

    async def remove(self, scope: GrantScope) -> Result | None:
        """Revoke the grant and forget it, once nothing is on the account that needs it."""
        keeper = Keeper(scope, self._tools)
        _take_in(scope, await keeper.grant())
        await_asker(scope)
        if users := await self._users(scope, keeper):
            result = await self._hold(scope, keeper, awaited(users))
            scope.object.status.phase = "Deleting"
            return result
        await self._give_up(keeper)
        return None

    async def _users(self, scope: GrantScope, keeper: Keeper) -> Sequence[Mapping[str, Any]]:
        """The rows that need the grant until they are gone; none when it may be dead already."""
        intent, meta = scope.object.status.intent, scope.object.metadata
        if await keeper.grant() is None or (intent is not None and intent.operation == "Revoke"):
            return []
        return await self.store.rows(Vps, namespace=meta.namespace, spec={"connection": meta.name})

    async def _hold(self, scope: GrantScope, keeper: Keeper, message: str) -> Result:
        """Keep the grant fresh for those that need it, and say who they are."""
        grant = await keeper.grant()
        if grant is not None:
            _connected(scope, grant, held=message)
            grant = await self._fresh(scope, keeper, grant)
        if grant is None:
            self._without(scope)
            return Result(requeue_after=0)
        _connected(scope, grant, held=message)
        return _until_renewal(scope, grant)

    async def _begun(self, scope: GrantScope, keeper: Keeper) -> Grant | None:
        """The grant that there is; a consent that was brought back becomes one."""
        grant, consent = await keeper.grant(), await keeper.consent()
        intent = scope.object.status.intent
        if grant is not None and intent is not None and intent.operation == "Revoke":
            # It was being given up when the user changed their mind: it may be dead.
            await keeper.revoke(grant)
            grant = None
        if consent is None:
            return grant
        if grant is None:
            grant = await self._exchanged(scope, keeper, consent)
        await keeper.forget_consent()
        return grant

    async def _exchanged(self, scope: GrantScope, keeper: Keeper, consent: Consent) -> Grant | None:
        late = scope.now >= consent.given_at + CODE_LIFETIME
        grant = None if late else await keeper.exchange(consent)
        if grant is None:
            text = "the provider did not take the user's consent: they have to connect again"
            scope.event("ConsentRefused", text, warning=True)
            _ended(scope, "Disconnected", "ConsentRefused", text)
            # On record before the consent is forgotten, or nobody would know why there is nothing.
            await scope.save()
            return None
        scope.event("Connected", "the user's consent became a grant")
        return grant

    async def _fresh(self, scope: GrantScope, keeper: Keeper, grant: Grant) -> Grant | None:
        """A grant that works, renewed if it was time or if it did not; None when it has ended."""
        if grant.client != keeper.application.oauth.client_id:
            raise Blocked(
                "OtherApplication",
                "the grant was given to another application than the one that is configured",
            )
        doubted = _doubted(scope)
        refused = doubted and not await keeper.works(grant)
        if not refused and scope.now < renewal_due(grant, scope.uid.int):
            scope.object.status.intent = None
            return grant
        renewed = await keeper.renew(grant)
        if renewed is None:
            await self._revoked(scope, keeper)
            return None
        scope.event("Refreshed", "the grant was renewed")
        if refused and not await keeper.works(renewed):
            raise Blocked(
                "TokenRefused",
                "the provider refuses a token that it has just given",
                recheck_after=REFUSED_RECHECK_SECONDS,
            )
        return renewed

    async def _revoked(self, scope: GrantScope, keeper: Keeper) -> None:
        """The grant is over, and only the user can give another.

        The event comes before the row, so that it is told again rather than not at all.
        """
        await keeper.forget_grant()
        scope.event("GrantRevoked", REVOKED, warning=True)
        _ended(scope, "Revoked", "GrantRevoked", REVOKED)
        await scope.save()

    async def _give_up(self, keeper: Keeper) -> None:
        """Revoke what there is; a consent that nobody exchanged dies by itself."""
        if await keeper.consent() is not None:
            await keeper.forget_consent()
        grant = await keeper.grant()
        if grant is not None:
            await keeper.revoke(grant)

    def _without(self, scope: GrantScope) -> None:
        """Say why there is no grant although one is wished for."""
        status = scope.object.status
        if status.intent is not None and status.intent.operation == "Refresh":
            # Whoever heard that it had ended forgot the tokens, and died before saying so.
            scope.event("GrantRevoked", REVOKED, warning=True)
            _ended(scope, "Revoked", "GrantRevoked", REVOKED)
        known = status.condition(GRANTED)
        if known is not None and known.reason in ("GrantRevoked", "ConsentRefused"):
            scope.condition("Ready", status=False, reason=known.reason, message=known.message)
            return
        text = "nothing was granted: the user begins at /auth/do"
        _ended(scope, "Pending", "AwaitingConsent", text)


def _take_in(scope: GrantScope, grant: Grant | None) -> None:
    """Forget that an answer is awaited which is there, although its asker did not say so."""
    intent = scope.object.status.intent
    asked = intent is not None and intent.operation in ("Exchange", "Refresh")
    if intent is not None and asked and grant is not None and grant.given_at >= intent.since:
        scope.object.status.intent = None


def _doubted(scope: GrantScope) -> bool:
    """Whether the access token has to be tried before it is relied upon."""
    spec, status = scope.object.spec, scope.object.status
    if status.intent is not None or status.verified_at is None:
        return True
    return spec.verify_at is not None and status.verified_at < spec.verify_at


def _until_renewal(scope: GrantScope, grant: Grant) -> Result:
    due = renewal_due(grant, scope.uid.int)
    return Result(requeue_after=max(1.0, (due - scope.now).total_seconds()))


def _connected(scope: GrantScope, grant: Grant, *, held: str = "") -> None:
    """Say what there is; of another grant than the last one nothing is known yet.

    Args:
        scope: The connection.
        grant: Its tokens.
        held: What keeps it from being given up as wished, in words.
    """
    status = scope.object.status
    if status.granted_at != grant.granted_at:
        status.verified_at = status.team = None
    status.phase, status.ended_at = "Connected", None
    status.granted_at, status.refreshed_at = grant.granted_at, grant.given_at
    status.expires_at, status.scopes = grant.expires_at, list(grant.scopes)
    scope.condition(GRANTED, status=True, reason="Connected")
    if held:
        scope.condition("Ready", status=False, reason="InUse", message=held)
    else:
        scope.condition("Ready", status=True, reason="Connected")


def _ended(scope: GrantScope, phase: str, reason: str, text: str) -> None:
    """Say that there is nothing, and why; since when, the first time."""
    status = scope.object.status
    known = status.condition(GRANTED)
    if known is None or (known.status, known.reason) != ("False", reason):
        status.ended_at = scope.now
    status.phase, status.intent = phase, None
    status.granted_at = status.refreshed_at = status.expires_at = status.verified_at = None
    status.scopes = []
    if phase != "Revoked":
        status.team = None
    for condition in (GRANTED, "Ready"):
        scope.condition(condition, status=False, reason=reason, message=text)
