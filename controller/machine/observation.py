"""Observation: what the Fly machine is like, without asking when the last look was enough."""

from __future__ import annotations

from controller.machine.config import config_hash, wished_config
from controller.machine.loss import forget_instance, found
from controller.machine.restart import restart_due
from controller.machine.tools import MachineScope, Tools, Wait
from controller.providers import CircuitOpen
from controller.providers.fly import TERMINAL_STATES, FlyMachine

# While Fly is down a converged machine is left as it is and looked at again after so long.
OUTAGE_SECONDS = 60.0


async def observe(scope: MachineScope, tools: Tools) -> Wait | None:
    """Read the machine, unless the last look over the organisation shows it as recorded.

    That it was destroyed is believed at once when Fly says so; a 404 alone proves nothing.

    Raises:
        NotFound: It answers 404.
    """
    if scope.object.status.instance is None or (scope.seen is None and at_rest(scope, tools)):
        return None
    try:
        machine = scope.seen or await tools.fly.get_machine(
            scope.app, scope.instance.id, call=scope.call
        )
    except CircuitOpen:
        if scope.object.status.is_true("Ready"):
            return Wait(OUTAGE_SECONDS)
        raise
    if machine.state in TERMINAL_STATES:
        if scope.instance.state == "destroying":
            # As it was to be.
            scope.object.status.instance = scope.object.status.healthy_since = None
        else:
            forget_instance(scope)
        return Wait(0)
    scope.seen = machine
    note(scope, machine)
    return None


def at_rest(scope: MachineScope, tools: Tools) -> bool:
    """Whether the object was converged and the organisation-wide view still agrees."""
    status = scope.object.status
    instance = status.instance
    if (
        not status.is_true("Ready")
        or status.intent is not None
        or status.observed_generation != scope.object.metadata.generation
        or instance is None
        or (status.volume is None and scope.object.spec.volume is not None)
        or instance.host_status == "unreachable"
        or restart_due(scope)
    ):
        return False
    view = tools.observer.view(instance.id)
    recorded = (instance.state, instance.version, instance.updated_at)
    if view is None or (view.state, view.version, view.updated_at) != recorded:
        return False
    return instance.config_hash == config_hash(wished_config(scope, tools))


def note(scope: MachineScope, machine: FlyMachine) -> None:
    """Write down what was read; it answers what became of an effect that nobody heard of."""
    found(scope)
    instance = scope.instance
    intent = scope.object.status.intent
    if intent is not None and intent.operation.startswith("machines."):
        scope.object.status.intent = None
    _note_start(scope, machine)
    if machine.state != instance.state:
        instance.since = scope.now
    if machine.version != instance.version:
        instance.version = machine.version
        instance.config_hash = ""
    instance.state = machine.state
    instance.host_status = machine.host_status or "ok"
    instance.cordoned = bool(machine.cordoned)
    instance.updated_at = machine.updated_at
    _note_host(scope, machine)


def _note_start(scope: MachineScope, machine: FlyMachine) -> None:
    """When the process last started: as seen, or as Fly tells of what nobody saw."""
    instance, told = scope.instance, machine.last_start()
    another = told is not None and told != instance.start_told
    instance.start_told = told or instance.start_told
    if another and told is not None and (instance.started_at is None or instance.started_at < told):
        instance.started_at = told
    elif machine.state == "started" and (
        instance.state != "started" or instance.started_at is None
    ):
        instance.started_at = scope.now


def _note_host(scope: MachineScope, machine: FlyMachine) -> None:
    if machine.reachable:
        scope.object.status.drop_condition("HostUnreachable")
        return
    message = f"Fly cannot reach the host of machine {machine.id}; it may come back by itself"
    if scope.condition("HostUnreachable", status=True, reason="HostDown", message=message):
        scope.event("HostUnreachable", message, warning=True)
