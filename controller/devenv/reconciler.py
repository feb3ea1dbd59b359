"""DevEnv: the steps of its life, in order."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from controller.devenv.connection import tell, withdraw
from controller.devenv.machines import (
    DEVENV_LABEL,
    keep,
    lower_all,
    remove,
    rows_of,
    tell_services,
)
from controller.devenv.netlify import tell_front_end
from controller.devenv.power import decide, look_again_at
from controller.devenv.prerequisites import check_prerequisites
from controller.devenv.relocation import current, finish, relocate
from controller.devenv.services import INSPECT_EVERY, away, ensure, raise_services, secure_rows
from controller.devenv.tools import SERVICE_LABEL, DevEnvScope, Known, Tools, Wait
from controller.engine import Blocked, EventRecorder, Request, Result
from controller.kind import KindReconciler
from controller.machine import names
from controller.scope import Scope, write_status
from crds.account import Account
from crds.connection import connection_name, keys_name
from crds.devenv import SERVICES, DevEnv, DevEnvSpec, cost_of
from crds.errors import InvalidError
from crds.machine import Machine
from crds.meta import Key, Resource
from crds.store import StatusWish, Store
from crds.store.rows import to_object, without_spec

# Services that were healthy and are not are looked at by themselves; this only catches what a
# lost notification would leave.
DEGRADED_POLL_SECONDS = 60.0


class DevEnvReconciler(KindReconciler[DevEnv]):
    """Keeps six services, their keys and what their users are told as the row says."""

    kind: ClassVar[type[Resource]] = DevEnv

    def __init__(self, store: Store, recorder: EventRecorder, tools: Tools) -> None:
        super().__init__(store, recorder)
        self._tools = tools

    def scope(self, resource: DevEnv, request: Request) -> DevEnvScope:
        """A dev environment's scope carries what the steps find out."""
        scope = DevEnvScope(self.store, self.recorder, resource, request)
        scope.known = Known()
        return scope

    async def converge(self, scope: DevEnvScope) -> Result:  # type: ignore[override]  # `scope` above makes it one
        """Up or down, whatever else is wrong; on the way up step by step.

        Raises:
            Blocked: Something has to be there first.
        """
        account = await self._account(scope)
        await self._look(scope)
        self._name(scope)
        scope.object.status.cost = cost_of(scope.object.spec)
        try:
            if await decide(scope, account) is not None:
                wait = await self._go_down(scope, account)
            else:
                self._check_name(scope)
                _check_status(scope)
                wait = await self._come_up(scope, account)
        finally:
            tell_services(scope)
        return Result(requeue_after=_soonest(scope, wait))

    async def remove(self, scope: DevEnvScope) -> Result | None:  # type: ignore[override]  # the same
        """Nobody is told anything, the services go, and the keys when nothing needs them."""
        scope.object.status.phase = "Deleting"
        await withdraw(scope, self._tools)
        if wait := await remove(scope, self._tools, keep=frozenset()):
            scope.condition("Ready", status=False, reason="Deleting", message=wait.why)
            return Result()
        for name in (connection_name(scope.name), keys_name(scope.name)):
            await self._tools.secrets.delete(scope.namespace, name, fence=scope.request.fence)
        return None

    async def restrain(self, request: Request) -> None:
        """Stop what an environment with a broken spec runs, if its account must not run."""
        row = await self.store.find_row(request.key)
        account = await self.store.find_row(Key("Account", "", request.key.namespace))
        if row is None or account is None or account["spec"].get("state", "Active") == "Active":
            return
        await self._tell_nobody(request, row)
        for each in await self.store.rows(Machine, namespace=request.key.namespace):
            if (each["labels"] or {}).get(DEVENV_LABEL) != request.key.name:
                continue
            try:
                machine = to_object(Machine, each)
            except InvalidError:
                continue
            if not machine.deleting and machine.spec.power != "Stopped":
                machine.spec.power = "Stopped"
                await self.store.update(machine, fence=request.fence)

    async def _tell_nobody(self, request: Request, row: Mapping[str, Any]) -> None:
        """Withdraw what users are told, without a spec to go by."""
        name = connection_name(request.key.name)
        await self._tools.secrets.delete(request.key.namespace, name, fence=request.fence)
        nothing = {**row["status"], "connection": "None", "told": ""}
        if row["status"] != nothing:
            await write_status(
                self.store, request.key, StatusWish(row["uid"], nothing, 0, request.fence)
            )

    async def _account(self, scope: DevEnvScope) -> Account:
        account = await self.store.find(Account, scope.namespace)
        if account is None or account.deleting:
            raise Blocked("NoAccount", "the account of this namespace does not exist")
        return account

    async def _look(self, scope: DevEnvScope) -> None:
        """Read the Machines anew; a broken spec is written again, as everything that is ours is."""
        for row in await rows_of(scope):
            try:
                scope.known.machines[row["name"]] = to_object(Machine, row)
            except InvalidError:
                scope.known.machines[row["name"]] = without_spec(Machine, row)
                scope.known.broken.add(row["name"])

    def _name(self, scope: DevEnvScope) -> None:
        """Fix what every name begins with, once."""
        status = scope.object.status
        status.prefix = status.prefix or _prefix(scope.object.spec)
        status.network = names.app_name(self._tools.installation, scope.uid)

    def _check_name(self, scope: DevEnvScope) -> None:
        """Let nothing come up by other names than those that are in use.

        Raises:
            Blocked: Somebody wishes for others.
        """
        if (prefix := scope.object.status.prefix) != _prefix(scope.object.spec):
            raise Blocked(
                "NamesAreFixed", f"client and app cannot change: its apps are called {prefix}-…"
            )

    async def _go_down(self, scope: DevEnvScope, account: Account) -> Wait | None:
        """Tell nobody anything any more, then stop in the reverse order."""
        await withdraw(scope, self._tools)
        await self._mend(scope)
        wait = await lower_all(scope)
        resting = "Stopping" if wait else "Stopped"
        self._be(scope, account.spec.state if account.spec.state != "Active" else resting)
        why = wait.why if wait else ""
        scope.condition("Ready", wait is None, resting, f"waits for {why}" if why else "")
        scope.condition("Healthy", status=False, reason=resting)
        return wait

    async def _mend(self, scope: DevEnvScope) -> None:
        """Give Machines whose specs are broken others, at rest, so that they can be stopped."""
        for name in scope.known.broken:
            service = scope.known.machines[name].metadata.labels.get(SERVICE_LABEL)
            if service in SERVICES and not scope.known.machines[name].deleting:
                await ensure(scope, self._tools)
                await keep(scope, self._tools, service, name=name, power="Stopped")

    async def _come_up(self, scope: DevEnvScope, account: Account) -> Wait | None:
        """Take the steps in order, as far as they go at present."""
        status, tools = scope.object.status, self._tools
        await check_prerequisites(scope, tools, account)
        await ensure(scope, tools)
        if status.connection == "None" and status.move is None:
            await tell(scope, tools, "Partial")
        if not scope.known.machines and status.starting_since is None:
            status.starting_since = scope.now
        if wait := await relocate(scope, tools):
            return self._unready(scope, "Moving", wait)
        if wait := await raise_services(scope, tools):
            started = status.last_started_at is not None
            return self._unready(scope, "Starting" if started else "Provisioning", wait)
        if wait := await finish(scope, tools):
            return self._unready(scope, "Moving", wait)
        if scope.known.machines.keys() - current(scope):
            wait = await remove(scope, tools, keep=current(scope))
            return self._unready(scope, "Updating", wait or Wait(0, "a look at what is left"))
        await secure_rows(scope, tools)
        if missed := away(scope):
            return await self._degrade(scope, ", ".join(missed))
        await self._be_well(scope)
        return await tell_front_end(scope, tools, scope.keys)

    def _unready(self, scope: DevEnvScope, phase: str, wait: Wait) -> Wait:
        self._be(scope, phase)
        scope.condition("Ready", status=False, reason=phase, message=f"waits for {wait.why}")
        scope.condition("Healthy", status=False, reason=phase)
        return wait

    async def _degrade(self, scope: DevEnvScope, missed: str) -> Wait:
        """Something that was well is away: users who may know it are told so."""
        await tell(scope, self._tools, "Unsafe")
        self._be(scope, "Degraded")
        message = f"does not answer: {missed}"
        if scope.condition("Healthy", status=False, reason="Degraded", message=message):
            scope.event("Degraded", message, warning=True)
        scope.condition("Ready", status=False, reason="Degraded", message=message)
        return Wait(DEGRADED_POLL_SECONDS, missed)

    async def _be_well(self, scope: DevEnvScope) -> None:
        """Everything is well: users are told everything."""
        status = scope.object.status
        if status.starting_since is not None:
            status.warm_up_seconds = (scope.now - status.starting_since).total_seconds()
            status.last_started_at = scope.now
            status.starting_since = status.idle_at = None
            scope.event("Started", f"all services are well after {status.warm_up_seconds:.0f} s")
        await tell(scope, self._tools, "Full")
        self._be(scope, "Running")
        scope.condition("Healthy", status=True, reason="Answers")
        scope.condition("Ready", status=True, reason="Running")

    @staticmethod
    def _be(scope: DevEnvScope, phase: str) -> None:
        if scope.object.status.phase != phase:
            scope.event("PhaseChanged", f"{phase}, was {scope.object.status.phase}")
        scope.object.status.phase = phase


def _check_status(scope: DevEnvScope) -> None:
    """Touch nothing while it is not on record which of two databases is the environment's.

    Raises:
        Blocked: The status was lost in the middle of a move.
    """
    there = sorted(
        name
        for name, machine in scope.known.machines.items()
        if machine.metadata.labels.get(SERVICE_LABEL) == "postgres"
    )
    if len(there) > 1 and scope.object.status.service("postgres") is None:
        raise Blocked(
            "StatusLost",
            f"nothing tells which of {', '.join(there)} has the data; delete the other Machine",
        )


def _soonest(scope: DevEnvScope, wait: Wait | None) -> float | None:
    """Seconds until something is due although nothing changes; None when nothing is."""
    status = scope.object.status
    seconds = [] if wait is None or wait.seconds is None else [wait.seconds]
    spec = scope.object.spec
    # A moment that is wished for brings new keys or another start when it comes.
    due = [m for m in (spec.rotate_at, spec.restart_at) if m is not None and m > scope.now]
    if (moment := look_again_at(scope)) is not None:
        due.append(moment)
    elif status.phase == "Running" and spec.auto_stop_minutes is not None:
        # It has only just come up: from here on its time without traffic counts.
        due.append(scope.now)
    if status.phase == "Running" and status.rls is not None and status.rls.checked_at is not None:
        due.append(status.rls.checked_at + INSPECT_EVERY)
    seconds += [_until(scope, moment) for moment in due]
    return min(seconds, default=None)


def _prefix(spec: DevEnvSpec) -> str:
    return f"devenv-{spec.client}-{spec.app}"


def _until(scope: Scope[Any], moment: datetime) -> float:
    return max(0.0, (moment - scope.now).total_seconds())
