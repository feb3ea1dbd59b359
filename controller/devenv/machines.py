"""The Machines of a dev environment: one a service, kept as rendered, stopped in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from controller.devenv.rendering import render
from controller.devenv.tools import SERVICE_LABEL, DevEnvScope, Tools, Wait
from controller.devenv.wanted import machine_spec, variables_of
from controller.engine import Blocked
from controller.scope import awaited
from crds.connection import variables_name
from crds.devenv import SERVICES, Service, ServiceStatus
from crds.errors import AlreadyExistsError
from crds.machine import Machine, MachineSpec, Power
from crds.meta import ObjectMeta
from crds.tracing import TRACEPARENT

DEVENV_LABEL: Final = "invoker.dev/devenv"
# For so long services are waited for one by one when they stop.
PATIENCE: Final = timedelta(minutes=5)


async def keep(
    scope: DevEnvScope,
    tools: Tools,
    service: Service,
    *,
    name: str | None = None,
    region: str | None = None,
    source: str | None = None,
    power: Power = "Running",
    before_change: Callable[[], Awaitable[None]] | None = None,
) -> Machine:
    """Have a service's Machine as wished; what was not so has to become ready again.

    Args:
        scope: The dev environment.
        tools: The outside world.
        service: Which service.
        name: The Machine's name; the present one's when left out.
        region: Where; where the environment is when left out.
        source: The volume that a new one's begins as a copy of.
        power: Whether it shall run.
        before_change: What comes before anything about it changes.

    Raises:
        Blocked: It is on its way out.
    """
    name = name or scope.machine_name(service)
    held = scope.known.machines.get(name)
    if held is not None and held.deleting:
        raise Blocked("MachineDeleting", f"Machine {name} is being deleted", recheck_after=10)
    spec = await _wanted(scope, tools, service, name, region or place_of(scope), held, source)
    spec.power = power
    machine = held
    if before_change is not None and (held is None or held.spec != spec):
        await before_change()
    if machine is None:
        machine = await _create(scope, Machine(metadata=_metadata(scope, service, name), spec=spec))
    elif machine.spec != spec:
        machine.spec = spec
        _pass_trace(scope, machine.metadata)
        machine = await scope.store.update(machine, fence=scope.request.fence)
    scope.known.machines[name] = machine
    return machine


async def _wanted(
    scope: DevEnvScope,
    tools: Tools,
    service: Service,
    name: str,
    region: str,
    held: Machine | None,
    source: str | None,
) -> MachineSpec:
    """The spec, with the secret variables kept before the row that refers to them is written."""
    rendered = render(scope.object.spec, service, scope.keys, public_url=tools.public_url)
    variables = variables_of(rendered)
    fingerprint = tools.fingerprint(variables)
    if _fingerprint(held) != fingerprint or not _has_them(held, fingerprint):
        fence = scope.request.fence
        await tools.secrets.put(scope.namespace, variables_name(name), variables, fence=fence)
    if source is None:
        source = held.spec.volume.source if held and held.spec.volume else ""
    spec = machine_spec(
        scope.object.spec,
        service,
        rendered,
        account=scope.namespace,
        network=scope.object.status.network,
        region=region,
        machine=name,
        fingerprint=fingerprint,
        source=source,
    )
    if spec.restart_at is not None and spec.restart_at > scope.now:
        # It is passed on when it has come: each Machine would heed it by itself, in no order.
        spec.restart_at = held.spec.restart_at if held is not None else None
    return spec


def _has_them(machine: Machine | None, fingerprint: str) -> bool:
    """Whether the provider surely has these variables, so that they need not be kept for it."""
    app = None if machine is None else machine.status.app
    return app is not None and app.secrets == fingerprint


def _fingerprint(machine: Machine | None) -> str | None:
    service = None if machine is None else machine.spec.service
    return service.secrets.fingerprint if service and service.secrets else None


async def _create(scope: DevEnvScope, machine: Machine) -> Machine:
    """Store a new Machine.

    Raises:
        Blocked: There is one of this name that is not this environment's.
    """
    try:
        return await scope.store.create(machine, fence=scope.request.fence)
    except AlreadyExistsError:
        row = await scope.store.find_row(machine.key)
        if row is None or _controlled_by(row, str(scope.uid)):
            raise
    message = f"Machine {machine.metadata.name} belongs to something else"
    raise Blocked("MachineNotOurs", message, recheck_after=60)


def place_of(scope: DevEnvScope) -> str:
    """Where the environment is: where its data is, or where it is wished for."""
    return scope.object.status.region or scope.object.spec.region


def _metadata(scope: DevEnvScope, service: Service, name: str) -> ObjectMeta:
    metadata = ObjectMeta(
        name=name,
        namespace=scope.namespace,
        labels={DEVENV_LABEL: scope.name, SERVICE_LABEL: service},
        owner_references=[scope.object.owner_reference()],
    )
    _pass_trace(scope, metadata)
    return metadata


def _pass_trace(scope: DevEnvScope, metadata: ObjectMeta) -> None:
    """A child's reconciles belong to the trace of the wish that made it."""
    if trace := scope.object.metadata.annotations.get(TRACEPARENT):
        metadata.annotations[TRACEPARENT] = trace


async def lower(scope: DevEnvScope, services: tuple[Service, ...]) -> Wait | None:
    """Stop services in the reverse order, each before the next."""
    for service in reversed(services):
        if wait := await rest(scope, scope.machine(service)):
            return wait
    return None


async def lower_all(scope: DevEnvScope) -> Wait | None:
    """Stop every service in the reverse order, and then whatever else there is.

    The order is for the sake of those who use it: an account that may run nothing does not have
    it, and what does not stop in a while holds up nothing else.
    """
    status = scope.object.status
    ordered = [scope.machine(service) for service in reversed(SERVICES)]
    names = {machine.metadata.name for machine in ordered if machine is not None}
    others = [m for name, m in scope.known.machines.items() if name not in names]
    patience = 0.0
    if status.stopped_for != "Account" and status.last_stopped_at is not None:
        patience = (status.last_stopped_at + PATIENCE - scope.now).total_seconds()
    waits: list[Wait] = []
    for machine in [*ordered, *others]:
        if wait := await rest(scope, machine):
            waits.append(wait)
            if patience > 0:
                return Wait(patience, wait.why)
    return Wait(None, ", ".join(wait.why for wait in waits)) if waits else None


async def rest(scope: DevEnvScope, machine: Machine | None) -> Wait | None:
    """Have a Machine stop, and wait until it has."""
    if machine is None or machine.deleting:
        return None
    if machine.spec.power != "Stopped":
        machine.spec.power = "Stopped"
        machine = await scope.store.update(machine, fence=scope.request.fence)
        scope.known.machines[machine.metadata.name] = machine
    if has_come_true(machine, "Stopped"):
        return None
    return Wait(None, f"Machine {machine.metadata.name} to stop")


def is_ready(machine: Machine | None) -> bool:
    """Whether a service answers, as it is wished at present."""
    return machine is not None and has_come_true(machine, "Running")


def has_come_true(machine: Machine, phase: str) -> bool:
    """Whether a Machine is in the phase that its present spec wishes for."""
    ready = machine.status.condition("Ready")
    return (
        ready is not None
        and ready.status == "True"
        and ready.observed_generation == machine.metadata.generation
        and machine.status.phase == phase
    )


def tell_services(scope: DevEnvScope) -> None:
    """Show every service's Machine on the environment."""
    scope.object.status.services = [_told(scope, s) for s in scope.object.spec.services]


def _told(scope: DevEnvScope, service: Service) -> ServiceStatus:
    machine = scope.machine(service)
    if machine is None:
        return ServiceStatus(name=service, machine=scope.machine_name(service))
    instance = machine.status.instance
    return ServiceStatus(
        name=service,
        machine=machine.metadata.name,
        phase=machine.status.phase,
        ready=is_ready(machine),
        instance=instance and instance.id,
        started_at=_started_at(machine) if is_ready(machine) else None,
    )


def _started_at(machine: Machine) -> datetime | None:
    return machine.status.instance.started_at if machine.status.instance else None


async def remove(scope: DevEnvScope, tools: Tools, keep: frozenset[str]) -> Wait | None:
    """Have all Machines but some go, each with its secret variables, and wait until they are gone.

    Args:
        scope: The dev environment.
        tools: The outside world.
        keep: The names of those that stay.
    """
    rows = [row for row in await rows_of(scope) if row["name"] not in keep]
    for row in rows:
        # Whoever is interrupted here finds the row, and comes by again.
        name, fence = variables_name(row["name"]), scope.request.fence
        await tools.secrets.delete(scope.namespace, name, fence=fence)
        await scope.ask_deletion(row)
    return Wait(None, awaited(rows).removeprefix("waits for ")) if rows else None


async def rows_of(scope: DevEnvScope) -> list[Mapping[str, Any]]:
    """The rows of all Machines that this environment controls, valid or not."""
    rows = await scope.store.rows(Machine, namespace=scope.namespace)
    return [row for row in rows if _controlled_by(row, str(scope.uid))]


def _controlled_by(row: Mapping[str, Any], uid: str) -> bool:
    owners = row["owner_references"] or []
    return any(owner.get("controller") and owner.get("uid") == uid for owner in owners)
