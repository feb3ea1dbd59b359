"""Health: ready when it answers, alerted when it stops answering, restarted when it stays away."""

from __future__ import annotations

from datetime import timedelta

from controller.machine.intent import effect
from controller.machine.power import FORGET_CRASHES_AFTER, count_crash
from controller.machine.restart import forget_crash_loop
from controller.machine.tools import MachineScope, Tools, Wait

# The product's rules: unreachable for 5 min alerts, for 10 min counts as stopped.
ALERT_AFTER = timedelta(minutes=5)
STOPPED_AFTER = timedelta(minutes=10)
# A machine that has started and does not answer for so long is restarted.
READY_WITHIN = timedelta(minutes=5)
PROBED_EVERY_SECONDS = 60.0
FIRST_POLL_SECONDS, LAST_POLL_SECONDS = 0.5, 15.0


async def check_health(scope: MachineScope, tools: Tools) -> Wait | None:
    """Tell a started machine's health, and what follows from it."""
    status = scope.object.status
    instance = status.instance
    if instance is None or instance.state != "started":
        return None
    if status.phase == "Unreachable" and status.restarts.next_at is not None:
        if await _answers_again(scope, tools):
            status.restarts.next_at = None
            return await _become_ready(scope, tools)
        return await _restart(scope, tools)
    if not status.is_true("Healthy"):
        return await _become_ready(scope, tools)
    return await _stay_healthy(scope, tools)


async def _answers(scope: MachineScope, tools: Tools) -> bool:
    """Whether it is well at this moment: a service by Fly's checks, else as its agent says."""
    instance = scope.instance
    if scope.object.spec.service is None:
        return await tools.agent.healthy(tools.fly.machine_url(scope.app), instance.id)
    machine = scope.seen or await tools.fly.get_machine(scope.app, instance.id, call=scope.call)
    return machine.passing


async def _become_ready(scope: MachineScope, tools: Tools) -> Wait | None:
    status, instance = scope.object.status, scope.instance
    started = instance.started_at or scope.now
    if await _answers(scope, tools):
        status.phase = "Running"
        status.healthy_since = scope.now
        status.unreachable_since = None
        # What probes saw before says nothing about the machine as it is.
        await scope.store.heartbeats.reset_health(scope.uid)
        scope.condition("Healthy", status=True, reason="Answers")
        scope.condition("Reachable", status=True, reason="Answers")
        scope.event("Healthy", f"machine {instance.id} answers")
        return None
    status.phase = "Starting"
    waited = scope.now - started
    if waited >= READY_WITHIN:
        count_crash(scope, f"machine {instance.id} started and did not answer")
        status.phase = "Unreachable"
        return Wait(0)
    scope.condition("Healthy", status=False, reason="NotYet", message="does not answer yet")
    return Wait(min(max(FIRST_POLL_SECONDS, waited.total_seconds() / 4), LAST_POLL_SECONDS))


async def _answers_again(scope: MachineScope, tools: Tools) -> bool:
    """Whether a probe since the restart was scheduled was answered."""
    if scope.object.spec.service is not None:
        return await _answers(scope, tools)
    beat = await scope.store.heartbeats.find(scope.uid)
    scheduled = scope.object.status.restarts.last_at
    since = None if beat is None else beat.healthy_since
    return since is not None and scheduled is not None and since > scheduled


async def _stay_healthy(scope: MachineScope, tools: Tools) -> Wait | None:
    """Heed what the probes saw since the machine became healthy."""
    status = scope.object.status
    status.phase = "Running"
    beat = await scope.store.heartbeats.find(scope.uid)
    away = beat and beat.unreachable_since
    if away is None or (status.healthy_since is not None and away < status.healthy_since):
        status.unreachable_since = None
        scope.condition("Reachable", status=True, reason="Answers")
        return _forget_crashes(scope)
    status.unreachable_since = away
    served = scope.object.spec.service is not None
    if served and scope.now - away >= STOPPED_AFTER and await _answers(scope, tools):
        # Probes of it go through another service, and it may be that one which is away.
        return Wait(PROBED_EVERY_SECONDS)
    return _tell_unreachable(scope, scope.now - away)


def _tell_unreachable(scope: MachineScope, since: timedelta) -> Wait:
    status = scope.object.status
    if since >= STOPPED_AFTER:
        count_crash(scope, "the machine has not answered for ten minutes")
        status.phase = "Unreachable"
        return Wait(0)
    if since >= ALERT_AFTER:
        message = "the machine has not answered for five minutes"
        if scope.condition("Reachable", status=False, reason="Unreachable", message=message):
            scope.event("Unreachable", message, warning=True)
        return Wait((STOPPED_AFTER - since).total_seconds())
    return Wait((ALERT_AFTER - since).total_seconds())


async def _restart(scope: MachineScope, tools: Tools) -> Wait:
    """The remedy for a machine that runs and does not answer."""
    status, instance = scope.object.status, scope.instance
    due = status.restarts.next_at or scope.now
    if due > scope.now:
        return Wait((due - scope.now).total_seconds())
    async with effect(scope, "machines.restart"):
        await tools.fly.restart(scope.app, instance.id, call=scope.call)
    await scope.store.heartbeats.reset_health(scope.uid)
    status.restarts.next_at = status.unreachable_since = None
    status.phase = "Starting"
    instance.started_at = scope.now
    scope.event("Restarted", f"machine {instance.id}")
    return Wait(FIRST_POLL_SECONDS)


def _forget_crashes(scope: MachineScope) -> Wait | None:
    """Ten healthy minutes end a crash loop."""
    status = scope.object.status
    if status.restarts.count == 0 or status.healthy_since is None:
        return None
    left = (status.healthy_since + FORGET_CRASHES_AFTER - scope.now).total_seconds()
    if left > 0:
        return Wait(left)
    forget_crash_loop(scope)
    return None
