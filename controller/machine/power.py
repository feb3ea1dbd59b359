"""Power: running, asleep or stopped, and what to do when the process dies by itself."""

from __future__ import annotations

from datetime import timedelta

from controller.machine import service_config
from controller.machine.intent import effect
from controller.machine.replacement import replace
from controller.machine.restart import GAVE_UP, forget_crash_loop, restart_due
from controller.machine.tools import MachineScope, Tools, Wait
from controller.machine.waiting import wait_for
from controller.providers.fly import FAILED_STATES, ExitEvent

STOP_GRACE_SECONDS = 10
# The product's rule: 5 s doubling to 5 min, forgotten after 10 healthy minutes.
BACKOFF_FIRST_SECONDS = 5.0
BACKOFF_LAST_SECONDS = 300.0
FORGET_CRASHES_AFTER = timedelta(minutes=10)
# Four hours of restarts, or a day of rarer ones, are enough: what ails it does not pass by itself.
MOST_CRASHES = 50
LONGEST_LOOP = timedelta(days=1)
GIVEN_UP_POLL_SECONDS = 600.0

DOWN = FAILED_STATES | {"stopped", "suspended"}


async def apply_power(scope: MachineScope, tools: Tools) -> Wait | None:
    """Bring the machine to the power that the spec asks for."""
    if scope.object.status.instance is None:
        if scope.object.spec.power == "Stopped":
            rest(scope, "Stopped")
            return None
        return _tell_given_up(scope)
    if scope.seen is None:
        return None
    match scope.object.spec.power:
        case "Running":
            return await _run(scope, tools)
        case "Asleep":
            return await _sleep(scope, tools)
        case "Stopped":
            return await _stop(scope, tools)


async def _run(scope: MachineScope, tools: Tools) -> Wait | None:
    status, machine = scope.object.status, scope.fly_machine
    if restart_due(scope):
        return await _restart(scope, tools)
    if status.restarts.given_up_at is not None:
        return await _stay_down(scope, tools)
    if machine.state not in DOWN:
        status.resting_since = None
        _note_crash_under_traffic(scope)
        if status.phase != "Unreachable":
            status.restarts.next_at = None
        await _set_cordon(scope, tools, cordoned=False)
        return None
    if status.resting_since is None and (wait := _crashed(scope)):
        # Otherwise the next request would have the proxy start it before the backoff is over.
        await _set_cordon(scope, tools, cordoned=True)
        return wait
    if machine.state in FAILED_STATES:
        return await replace(scope, tools, f"it is {machine.state}")
    await _set_cordon(scope, tools, cordoned=False)
    return await _start(scope, tools)


async def _stay_down(scope: MachineScope, tools: Tools) -> Wait:
    """Stop what crashes for ever, and leave it so until somebody wishes for something else."""
    told = _tell_given_up(scope)
    await _set_cordon(scope, tools, cordoned=True)
    if scope.fly_machine.state not in DOWN:
        return await _halt(scope, tools)
    return told


def _tell_given_up(scope: MachineScope) -> Wait:
    status = scope.object.status
    status.phase = "Crashed"
    since = status.restarts.since or scope.now
    message = (
        f"crashed {status.restarts.count} times since {since:%Y-%m-%d %H:%M} UTC and is not "
        "restarted any more; put right what ails it, then wish for a restart (restartAt) or for "
        "anything else about it"
    )
    if scope.condition(GAVE_UP, status=True, reason="GaveUp", message=message):
        scope.event("GaveUp", message, warning=True)
    return Wait(GIVEN_UP_POLL_SECONDS)


async def _restart(scope: MachineScope, tools: Tools) -> Wait | None:
    """Stop and start as wished; both steps are found done when this is run again."""
    forget_crash_loop(scope)
    await _set_cordon(scope, tools, cordoned=False)
    if scope.fly_machine.state in DOWN:
        return await _start(scope, tools)
    scope.condition("Healthy", status=False, reason="Restarting")
    scope.event("Restarting", f"machine {scope.instance.id}, as wished")
    return await _halt(scope, tools)


def _note_crash_under_traffic(scope: MachineScope) -> None:
    """Count a crash after which a request had the proxy start the machine before we looked."""
    last = _new_exit(scope)
    if last is not None:
        count_crash(scope, f"machine {scope.instance.id} crashed and was started by a request")
        scope.object.status.restarts.next_at = None


def _new_exit(scope: MachineScope) -> ExitEvent | None:
    """The newest exit that nobody asked for, if it was not counted yet; it is from here on."""
    restarts, last = scope.object.status.restarts, scope.fly_machine.last_exit()
    if last is None or last.requested_stop or last.at == restarts.last_exit_at:
        return None
    restarts.last_exit_code, restarts.last_exit_at = last.exit_code, last.at
    return last


async def _start(scope: MachineScope, tools: Tools) -> Wait | None:
    status, instance = scope.object.status, scope.instance
    status.phase = "Starting"
    status.healthy_since = status.unreachable_since = None
    scope.condition("Healthy", status=False, reason="Starting")
    async with effect(scope, "machines.start"):
        await tools.fly.start_machine(scope.app, instance.id, call=scope.call)
    await scope.store.heartbeats.reset_health(scope.uid)
    status.resting_since = status.woken_at = None
    status.restarts.next_at = None
    instance.state, instance.since = "starting", scope.now
    # Whoever looks late may never see it run.
    instance.started_at = scope.now
    scope.event("Started", f"machine {instance.id}")
    await wait_for(scope, tools, "started")
    return Wait(0)


def _crashed(scope: MachineScope) -> Wait | None:
    """Count a crash and wait for its backoff; a stop that somebody asked for is no crash."""
    machine, restarts = scope.fly_machine, scope.object.status.restarts
    if restarts.next_at is not None:
        return _wait_until_restart(scope)
    last = _new_exit(scope)
    if last is None and machine.state not in FAILED_STATES:
        return None
    told = "out of memory" if last and last.oom_killed else f"exit code {restarts.last_exit_code}"
    if last is None:
        told = f"it is {machine.state}"
    count_crash(scope, f"machine {machine.id} stopped by itself: {told}")
    return Wait(0) if restarts.given_up_at else _wait_until_restart(scope)


def count_crash(scope: MachineScope, message: str) -> None:
    """Schedule the next restart: 5 s after the first crash, doubling to 5 min."""
    status = scope.object.status
    restarts = status.restarts
    restarts.count += 1
    backoff = min(BACKOFF_FIRST_SECONDS * 2 ** (restarts.count - 1), BACKOFF_LAST_SECONDS)
    restarts.last_at = scope.now
    restarts.since = restarts.since or scope.now
    restarts.generation = scope.object.metadata.generation
    restarts.next_at = scope.now + timedelta(seconds=backoff)
    status.healthy_since = None
    if restarts.count >= MOST_CRASHES or scope.now >= restarts.since + LONGEST_LOOP:
        restarts.given_up_at, restarts.next_at = scope.now, None
    last = restarts.next_at is None
    text = f"{message}; {'given up' if last else f'restart {restarts.count} in {backoff:.0f} s'}"
    scope.condition("Healthy", status=False, reason="Crashed", message=text)
    scope.event("Crashed", text, warning=True)


def _wait_until_restart(scope: MachineScope) -> Wait | None:
    status = scope.object.status
    due = status.restarts.next_at or scope.now
    if due <= scope.now:
        return None
    status.phase = "Crashed"
    return Wait((due - scope.now).total_seconds())


async def _sleep(scope: MachineScope, tools: Tools) -> Wait | None:
    """Stop once; if the proxy starts it afterwards, somebody wanted it: that is not drift."""
    status, machine = scope.object.status, scope.fly_machine
    await _set_cordon(scope, tools, cordoned=False)
    if machine.state in DOWN:
        rest(scope, "Asleep")
        return None
    if status.resting_since is None:
        return await _halt(scope, tools)
    if status.woken_at is None:
        status.woken_at = scope.now
        scope.event("Woken", f"machine {machine.id} was started by a request")
    return None


async def _stop(scope: MachineScope, tools: Tools) -> Wait | None:
    """Stop and keep stopped: out of the proxy's routing it cannot be started by a request."""
    machine = scope.fly_machine
    await _set_cordon(scope, tools, cordoned=True)
    if machine.state in DOWN:
        rest(scope, "Stopped")
        return None
    scope.object.status.resting_since = None
    return await _halt(scope, tools)


async def _halt(scope: MachineScope, tools: Tools) -> Wait:
    status, instance = scope.object.status, scope.instance
    status.phase = "Stopping"
    served = scope.object.spec.service is not None
    grace = service_config.STOP_GRACE_SECONDS if served else STOP_GRACE_SECONDS
    async with effect(scope, "machines.stop"):
        await tools.fly.stop_machine(scope.app, instance.id, timeout=grace, call=scope.call)
    instance.state, instance.since = "stopping", scope.now
    await wait_for(scope, tools, "stopped")
    return Wait(0)


def rest(scope: MachineScope, phase: str) -> None:
    """Note that the machine is down because it should be."""
    status = scope.object.status
    status.phase = phase
    status.healthy_since = status.unreachable_since = None
    status.restarts.next_at = None
    status.woken_at = None
    if status.resting_since is None:
        status.resting_since = scope.now
        scope.event(phase, "the machine is stopped")
    scope.condition("Healthy", status=False, reason=phase)


async def _set_cordon(scope: MachineScope, tools: Tools, *, cordoned: bool) -> None:
    """Take the machine out of the proxy's routing, or put it back; nothing if it is so."""
    instance = scope.instance
    if instance.cordoned == cordoned:
        return
    operation = "machines.cordon" if cordoned else "machines.uncordon"
    send = tools.fly.cordon if cordoned else tools.fly.uncordon
    async with effect(scope, operation):
        await send(scope.app, instance.id, call=scope.call)
    instance.cordoned = cordoned
