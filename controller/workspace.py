"""Workspace: a name, a machine, a route between them; asleep when nobody uses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from controller.engine import Blocked, EventRecorder, Request, Result
from controller.kind import KindReconciler
from controller.scope import Scope, awaited
from controller.wanted import spec_at_rest, wanted_spec
from crds.account import Account
from crds.errors import AlreadyExistsError, InvalidError
from crds.fleet import one, tally
from crds.machine import Machine, Power
from crds.meta import Key, ObjectMeta, Resource
from crds.platform import PLATFORM, Platform, PlatformSpec
from crds.route import Route, RouteSpec, RouteTarget
from crds.store import Store
from crds.store.rows import to_object, without_spec
from crds.tracing import TRACEPARENT
from crds.workspace import REDIRECT_DAYS, Workspace, WorkspaceStatus

SUBDOMAIN_LABEL = "invoker.dev/subdomain"
REMOVAL_POLL_SECONDS = 5.0
STARTING = timedelta(seconds=10)
# What a machine tells that its user should see on the workspace.
MIRRORED = (
    "RegionRefused",
    "ShrinkRefused",
    "NoCapacity",
    "HostUnreachable",
    "Stuck",
    "Missing",
    "CrashLoop",
)


class WorkspaceReconciler(KindReconciler[Workspace]):
    """Keeps a Route and a Machine as the workspace says, and puts the idle to sleep.

    Args:
        store: Where the rows are.
        recorder: Where events go.
        public_url: The address of a subdomain.
    """

    kind: ClassVar[type[Resource]] = Workspace

    def __init__(
        self, store: Store, recorder: EventRecorder, public_url: Callable[[str], str]
    ) -> None:
        super().__init__(store, recorder)
        self._public_url = public_url

    async def converge(self, scope: Scope[Workspace]) -> Result:
        """Apply the power, check what the account may have, claim the name, keep the machine.

        The power comes first: whatever else is wrong, a quarantined machine stops, an idle one
        sleeps.
        """
        try:
            account = await self._account(scope)
        except InvalidError:
            await self.restrain(scope.request)
            raise
        machine = await self._machine(scope.request, runs=account.spec.state == "Active")
        power, idle_at = await self._power(scope, account, machine)
        machine = await self._apply_power(scope, account, machine, power)
        platform = await self._platform()
        if machine is None:
            await self._check_caps(scope, account, platform)
        await self._keep_routes(scope)
        machine = await self._keep_machine(scope, platform, machine, power)
        self._tell(scope, account, machine, idle_at)
        if idle_at is None:
            return Result()
        return Result(requeue_after=max(0.0, (idle_at - scope.now).total_seconds()))

    async def remove(self, scope: Scope[Workspace]) -> Result | None:
        """Routes go first, then the machine; the row when both are gone."""
        scope.object.status.phase = "Deleting"
        meta, account = scope.object.metadata, scope.object.metadata.namespace
        routes = await self.store.rows(Route, spec={"account": account})
        machine = await self.store.find_row(Key("Machine", account, meta.name))
        rows: list[Mapping[str, Any]] = [row for row in routes if _leads_to(row, meta.name)]
        rows += [machine] if machine and _is_of(machine, meta.name) else []
        for row in rows:
            await scope.ask_deletion(row)
        scope.condition("Ready", status=False, reason="Deleting", message=awaited(rows))
        return Result(requeue_after=REMOVAL_POLL_SECONDS) if rows else None

    async def restrain(self, request: Request) -> None:
        """Stop the machine of a workspace whose own spec is broken, if its account must not run."""
        account = await self.store.find_row(Key("Account", "", request.key.namespace))
        if account is None or account["spec"].get("state", "Active") == "Active":
            return
        machine = await self._machine(request, runs=False)
        if machine is not None and not machine.deleting and machine.spec.power != "Stopped":
            machine.spec.power = "Stopped"
            await self.store.update(machine, fence=request.fence)

    async def _machine(self, request: Request, *, runs: bool) -> Machine | None:
        """The workspace's machine; one that must not run gets another spec for a broken one.

        Raises:
            Blocked: The machine of its name is another's, a dev environment's perhaps.
            InvalidError: Its spec is broken, and it may run.
        """
        key = Key("Machine", request.key.namespace, request.key.name)
        row = await self.store.find_row(key)
        if row is not None and not _is_of(row, key.name):
            raise Blocked("MachineNotOurs", f"Machine {key.name} belongs to something else")
        try:
            return None if row is None else to_object(Machine, row)
        except InvalidError:
            if runs or row is None:
                raise
        machine = without_spec(Machine, row)
        machine.spec = spec_at_rest(machine)
        return await self.store.update(machine, fence=request.fence)

    async def _apply_power(
        self,
        scope: Scope[Workspace],
        account: Account,
        machine: Machine | None,
        power: Power,
    ) -> Machine | None:
        """Have the machine, if there is one, do what it should, before anything can be refused."""
        if account.spec.state != "Active":
            scope.object.status.phase = account.spec.state
        if machine is None or machine.deleting or machine.spec.power == power:
            return machine
        machine.spec.power = power
        self._pass_trace(scope, machine.metadata)
        return await self.store.update(machine, fence=scope.request.fence)

    async def _account(self, scope: Scope[Workspace]) -> Account:
        account = await self.store.find(Account, scope.object.metadata.namespace)
        if account is None or account.deleting:
            raise Blocked("NoAccount", "the account of this namespace does not exist")
        return account

    async def _platform(self) -> PlatformSpec:
        platform = await self.store.find(Platform, PLATFORM)
        return PlatformSpec() if platform is None else platform.spec

    async def _check_caps(
        self, scope: Scope[Workspace], account: Account, platform: PlatformSpec
    ) -> None:
        """Refuse what is over a cap; the older workspaces are the ones within it.

        Raises:
            Blocked: With the cap and its value.
        """
        page = await self.store.list(Workspace, namespace=scope.object.metadata.namespace)
        older = [w for w in page.items if _age(w) < _age(scope.object)]
        if len(older) >= account.spec.quota.workspaces:
            raise Blocked(
                "QuotaReached", f"the account may have {account.spec.quota.workspaces} workspaces"
            )
        fleet = await tally(self.store, platform, older_than=scope.object)
        fleet = fleet.plus(one(platform, scope.object.spec))
        if fleet.machines > platform.caps.machines:
            raise Blocked(
                "FleetCapReached", f"the platform may have {platform.caps.machines} machines"
            )
        if fleet.monthly_usd > platform.caps.monthly_spend_usd:
            raise Blocked(
                "SpendCapReached",
                f"the platform may spend {platform.caps.monthly_spend_usd:.2f} USD a month",
            )

    async def _keep_routes(self, scope: Scope[Workspace]) -> None:
        """Claim the name; names that it had before lead to it for a while.

        Raises:
            Blocked: The name is somebody else's.
        """
        name = scope.object.spec.subdomain
        target = RouteTarget(
            workspace=scope.object.metadata.name, machine=scope.object.metadata.name
        )
        account = scope.object.metadata.namespace
        route = await self.store.find(Route, name)
        if route is None:
            route = await self._claim(scope, name, RouteSpec(account=account, target=target))
        if route is None or route.spec.account != account or route.deleting:
            scope.condition("Routed", status=False, reason="SubdomainTaken")
            raise Blocked("SubdomainTaken", f"{name} is taken", recheck_after=60)
        wanted = RouteSpec(account=account, target=target)
        await self._keep_route(scope, route, wanted)
        until = scope.now + timedelta(days=REDIRECT_DAYS)
        for old in await self._routes(scope):
            if old.metadata.name != name and not old.deleting and old.spec.redirect_to != name:
                spec = old.spec.model_copy(
                    update={
                        "redirect_to": name,
                        "redirect_until": old.spec.redirect_until or until,
                    }
                )
                await self._keep_route(scope, old, spec)

    async def _claim(self, scope: Scope[Workspace], name: str, spec: RouteSpec) -> Route | None:
        try:
            return await self.store.create(
                Route(metadata=self._child_metadata(scope, name, ""), spec=spec),
                fence=scope.request.fence,
            )
        except AlreadyExistsError:
            return await self.store.find(Route, name)

    async def _keep_route(self, scope: Scope[Workspace], route: Route, spec: RouteSpec) -> None:
        if route.spec != spec:
            route.spec = spec
            await self.store.update(route, fence=scope.request.fence)

    async def _routes(self, scope: Scope[Workspace]) -> list[Route]:
        """The routes that lead or led to this workspace."""
        page = await self.store.list(Route, spec={"account": scope.object.metadata.namespace})
        return [
            route
            for route in page.items
            if route.spec.target and route.spec.target.workspace == scope.object.metadata.name
        ]

    async def _power(
        self, scope: Scope[Workspace], account: Account, machine: Machine | None
    ) -> tuple[Power, datetime | None]:
        """What the machine should do at present, and when that is to be asked again."""
        spec, status = scope.object.spec, scope.object.status
        if account.spec.state != "Active" or spec.power == "Stopped":
            return "Stopped", None
        if machine is None or not (machine.status.instance or machine.status.restarts.count):
            return "Running", None
        last = await self._last_activity(scope, machine)
        status.last_activity_at = last
        if last is None:
            return "Running", None
        idle_at = last + timedelta(seconds=spec.idle_timeout_seconds)
        if scope.now >= idle_at:
            return "Asleep", None
        return "Running", idle_at

    async def _last_activity(self, scope: Scope[Workspace], machine: Machine) -> datetime | None:
        """The newest sign that somebody wants the machine; None before it first ran."""
        beat = await self.store.heartbeats.find(machine.uid)
        instance = machine.status.instance
        active = beat.last_activity_at if beat else None
        started = instance.started_at if instance else None
        restarts, known = machine.status.restarts, None
        if restarts.count:
            # A crash loop starts it again and again: that is no sign of its user, nor is what
            # its agent counts as activity when it starts.
            known = scope.object.status.last_activity_at
            if active and started and active < started + STARTING:
                active = None
            started = restarts.since
        wake_at = scope.object.spec.wake_at
        signs = [active, machine.status.woken_at, started, wake_at, known]
        return max((sign for sign in signs if sign is not None), default=None)

    async def _keep_machine(
        self,
        scope: Scope[Workspace],
        platform: PlatformSpec,
        machine: Machine | None,
        power: Power,
    ) -> Machine:
        spec, meta = scope.object.spec, scope.object.metadata
        wanted = wanted_spec(scope.object, platform, machine, power=power, now=scope.now)
        if machine is None:
            child = Machine(
                metadata=self._child_metadata(scope, meta.name, meta.namespace), spec=wanted
            )
            return await self.store.create(child, fence=scope.request.fence)
        if machine.deleting:
            raise Blocked("MachineDeleting", "its machine is being deleted", recheck_after=10)
        label = machine.metadata.labels.get(SUBDOMAIN_LABEL)
        if machine.spec != wanted or label != spec.subdomain:
            machine.spec = wanted
            machine.metadata.labels[SUBDOMAIN_LABEL] = spec.subdomain
            self._pass_trace(scope, machine.metadata)
            return await self.store.update(machine, fence=scope.request.fence)
        return machine

    def _child_metadata(self, scope: Scope[Workspace], name: str, namespace: str) -> ObjectMeta:
        metadata = ObjectMeta(
            name=name,
            namespace=namespace,
            labels={SUBDOMAIN_LABEL: scope.object.spec.subdomain},
            owner_references=[scope.object.owner_reference()],
        )
        self._pass_trace(scope, metadata)
        return metadata

    @staticmethod
    def _pass_trace(scope: Scope[Workspace], metadata: ObjectMeta) -> None:
        """A child's reconciles belong to the trace of the wish that made it."""
        if trace := scope.object.metadata.annotations.get(TRACEPARENT):
            metadata.annotations[TRACEPARENT] = trace

    def _tell(
        self,
        scope: Scope[Workspace],
        account: Account,
        machine: Machine,
        idle_at: datetime | None,
    ) -> None:
        status: WorkspaceStatus = scope.object.status
        status.subdomain = scope.object.spec.subdomain
        status.url = self._public_url(status.subdomain)
        status.idle_at = idle_at
        status.asleep = machine.status.phase == "Asleep"
        phase = machine.status.phase if account.spec.state == "Active" else account.spec.state
        if phase != status.phase:
            scope.event("PhaseChanged", f"{phase}, was {status.phase}")
        status.phase = phase
        scope.condition("Routed", status=True, reason="Claimed")
        ready = machine.status.condition("Ready")
        if ready is None or ready.observed_generation != machine.metadata.generation:
            scope.condition("Ready", status=False, reason="Converging")
        else:
            scope.condition("Ready", ready.status, ready.reason, ready.message)
        self._mirror(scope, machine)

    @staticmethod
    def _mirror(scope: Scope[Workspace], machine: Machine) -> None:
        """Show what is wrong with the machine on the thing that its user knows."""
        for type_ in MIRRORED:
            told = machine.status.condition(type_)
            if told is None:
                scope.object.status.drop_condition(type_)
            else:
                scope.condition(type_, told.status, told.reason, told.message)


def _leads_to(route: Mapping[str, Any], workspace: str) -> bool:
    """Whether a route's row leads to a workspace, however broken the rest of it is."""
    target = route["spec"].get("target")
    return isinstance(target, dict) and target.get("workspace") == workspace


def _is_of(machine: Mapping[str, Any], workspace: str) -> bool:
    """Whether a machine's row is controlled by a workspace of this name."""
    owners = machine["owner_references"] or []
    return any(
        owner.get("controller") and (owner["kind"], owner["name"]) == (Workspace.KIND, workspace)
        for owner in owners
    )


def _age(workspace: Workspace) -> tuple[str, str]:
    return str(workspace.metadata.creation_timestamp), str(workspace.uid)
