"""Vps: the steps of a droplet's life, in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

from controller.engine import Blocked, EventRecorder, Request, Result
from controller.kind import KindReconciler
from controller.providers import Unauthorized
from controller.vps import removal
from controller.vps.access import doubt, gain_access
from controller.vps.agents import install_agents
from controller.vps.cost import ensure_cost
from controller.vps.creation import await_address, await_creation
from controller.vps.destruction import destroy_others, settle_destruction
from controller.vps.droplet import ensure_droplet, observe
from controller.vps.gateway import await_gateway, hear
from controller.vps.power import apply_power
from controller.vps.tidy import tidy
from controller.vps.tools import VpsScope, VpsTools, Wait
from controller.vps.verdict import give_verdict
from crds.account import Account
from crds.meta import Key, Resource
from crds.store import Store
from crds.store.rows import without_spec
from crds.vps import Vps, VpsIntent, VpsSpec, VpsStatus

Step = Callable[[VpsScope, VpsTools], Awaitable[Wait | None]]

LIFE: tuple[Step, ...] = (
    settle_destruction,
    ensure_droplet,
    observe,
    await_creation,
    destroy_others,
    ensure_cost,
    await_address,
    apply_power,
    await_gateway,
    install_agents,
    tidy,
)
REMOVAL: tuple[Step, ...] = (
    removal.remove_children,
    removal.remove_droplets,
    removal.forget,
)


class VpsReconciler(KindReconciler[Vps]):
    """Keeps one droplet on its user's own account, and the gateway in it, as the row says."""

    kind: ClassVar[type[Resource]] = Vps

    def __init__(self, store: Store, recorder: EventRecorder, tools: VpsTools) -> None:
        super().__init__(store, recorder)
        self._tools = tools

    def scope(self, resource: Vps, request: Request) -> VpsScope:
        """A Vps' scope carries what the steps find out."""
        scope = VpsScope(self.store, self.recorder, resource, request)
        scope.phase_before = resource.status.phase
        return scope

    def status_of(self, row: Mapping[str, Any]) -> VpsStatus:
        """Whatever was on record, a droplet may have been made: it is found by its tag."""
        return VpsStatus(intent=VpsIntent(operation="Create", since=row["creation_timestamp"]))

    async def converge(self, scope: VpsScope) -> Result:  # type: ignore[override]  # `scope` above makes it one
        """Hear the gateway, whatever else is wrong; then take the steps as far as they go.

        Raises:
            Blocked: Something has to be there first.
        """
        await hear(scope)
        account = await self._account(scope)
        active = account.spec.state == "Active"
        scope.power = scope.object.spec.power if active else "Stopped"
        wait = await self._live(scope, leaving=not active)
        give_verdict(scope, account, wait)
        if wait is not None and wait.seconds is not None:
            scope.look_again(wait.seconds)
        return Result(requeue_after=scope.soonest)

    async def remove(self, scope: VpsScope) -> Result | None:  # type: ignore[override]  # the same
        """What is in it, the droplet, its traces; the row goes when all of it is gone."""
        scope.object.status.phase = "Deleting"
        if scope.object.status.is_true("Ready"):
            scope.condition("Ready", status=False, reason="Deleting")
        await scope.save()
        try:
            for step in REMOVAL:
                if wait := await step(scope, self._tools):
                    message = f"waits for {wait.why.removeprefix('waits for ')}"
                    scope.condition("Ready", status=False, reason="Deleting", message=message)
                    return Result(requeue_after=wait.seconds)
        except Unauthorized as error:
            await doubt(scope, self._tools, error)
        return None

    async def restrain(self, request: Request) -> None:
        """Switch off what has a broken spec, if its account must not run."""
        row = await self.store.find_row(request.key)
        account = await self.store.find_row(Key("Account", "", request.key.namespace))
        if row is None or account is None or account["spec"].get("state", "Active") == "Active":
            return
        resource = without_spec(Vps, row)
        connection = row["spec"].get("connection")
        named = {"connection": connection} if isinstance(connection, str) and connection else {}
        resource.spec = VpsSpec.model_construct(**{**VpsSpec().model_dump(), **named})
        scope = self.scope(resource, request)
        scope.power = "Stopped"
        await self._live(scope, leaving=True)
        await scope.save()

    async def _account(self, scope: VpsScope) -> Account:
        account = await self.store.find(Account, scope.namespace)
        if account is None or account.deleting:
            scope.object.status.phase = "Blocked"
            raise Blocked("NoAccount", "the account of this namespace does not exist")
        return account

    async def _live(self, scope: VpsScope, *, leaving: bool) -> Wait | None:
        """Take the steps; what was refused with the user's token has the connection looked at."""
        status = scope.object.status
        if scope.power == "Stopped" and status.droplet is None and status.intent is None:
            status.phase = "Off"
            return None
        await gain_access(scope, self._tools, leaving=leaving)
        try:
            for step in LIFE:
                if wait := await step(scope, self._tools):
                    return wait
        except Unauthorized as error:
            await doubt(scope, self._tools, error)
        return None
