"""Rollout: transitions come to their end, another config is put in place, another region is not."""

from __future__ import annotations

from datetime import timedelta

from controller.machine import removal
from controller.machine.config import config_hash, in_sync, wished_config
from controller.machine.intent import effect, pending
from controller.machine.power import count_crash
from controller.machine.replacement import replace
from controller.machine.tools import MachineScope, Tools, Wait
from controller.machine.waiting import wait_for
from controller.providers.fly import FAILED_STATES, TRANSIENT_STATES, WaitState

LEASE_SECONDS = 60
# A transition that was helped on so often is beyond help.
MOST_NUDGES = 3
POLL_SECONDS = 2.0
# Fly's own thresholds for a stuck transition (PROVIDERS.md, limits and consistency).
STUCK_AFTER = {"updating": timedelta(minutes=10), "replacing": timedelta(minutes=10)}
STUCK_AFTER_DEFAULT = timedelta(minutes=5)
# What a machine in a transitional state is on its way to, for people.
PHASES = {
    "created": "Creating",
    "creating": "Creating",
    "starting": "Starting",
    "restarting": "Starting",
    "stopping": "Stopping",
    "suspending": "Stopping",
    "updating": "Updating",
    "replacing": "Updating",
    "destroying": "Recreating",
}
# The state in which a transition ends when all goes well.
ENDS: dict[str, WaitState] = {
    "created": "started",
    "creating": "started",
    "starting": "started",
    "restarting": "started",
    "stopping": "stopped",
    "suspending": "suspended",
}


async def settle(scope: MachineScope, tools: Tools) -> Wait | None:
    """Let a transition come to its end; nudge one that is stuck.

    `created` is a transition too: the image is being pulled, and it cannot be started yet.
    """
    status, machine = scope.object.status, scope.seen
    instance = status.instance
    if machine is None or instance is None:
        return None
    if not machine.reachable:
        status.phase = "Unreachable"
        return Wait(30)
    if machine.state not in TRANSIENT_STATES and machine.state != "created":
        return None
    status.phase = PHASES.get(machine.state, "Starting")
    if scope.now < instance.since + STUCK_AFTER.get(machine.state, STUCK_AFTER_DEFAULT):
        end = ENDS.get(machine.state)
        reached = end is not None and await wait_for(scope, tools, end)
        return Wait(0 if reached else POLL_SECONDS)
    return await _help_on(scope, tools, machine.state)


async def _help_on(scope: MachineScope, tools: Tools, state: str) -> Wait:
    """The graded remedy for a stuck transition: nudge it, then have another machine instead.

    A destruction can only be asked for again: its machine holds the name and the volume.
    """
    instance = scope.instance
    message = f"machine {instance.id} has been {state} since {instance.since:%H:%M:%S} UTC"
    scope.condition("Stuck", status=True, reason="StuckTransition", message=message)
    scope.event("StuckTransition", message, warning=True)
    if instance.nudges >= MOST_NUDGES and state != "destroying":
        wait = await replace(scope, tools, f"it stays {state}")
        if scope.object.status.instance is None or scope.instance.state == "destroying":
            count_crash(scope, message)
        return wait
    instance.nudges += 1
    await _nudge(scope, tools, state)
    return Wait(POLL_SECONDS)


async def _nudge(scope: MachineScope, tools: Tools, state: str) -> None:
    """Destroy again, start, or kill."""
    instance = scope.instance
    # The next nudge comes after another full deadline.
    instance.since = scope.now
    if state == "destroying":
        async with effect(scope, "machines.destroy"):
            await tools.fly.destroy_machine(scope.app, instance.id, force=True, call=scope.call)
    elif state == "created":
        async with effect(scope, "machines.start"):
            await tools.fly.start_machine(scope.app, instance.id, call=scope.call)
    else:
        async with effect(scope, "machines.stop"):
            await tools.fly.stop_machine(scope.app, instance.id, timeout=1, call=scope.call)


async def check_region(scope: MachineScope, tools: Tools) -> Wait | None:
    """Another region needs a new, empty volume: refused with a reason unless asked for.

    Without a volume it needs another machine, which is as well made only when asked for.
    """
    spec, status = scope.object.spec, scope.object.status
    places = _places(scope)
    if not places or spec.region in places:
        status.drop_condition("RegionRefused")
        return None
    if spec.recreate == "OnRegionChange":
        status.drop_condition("RegionRefused")
        status.phase = "Recreating"
        return await tear_down_for_region(scope, tools)
    what = "machine" if status.volume is None else "volume"
    message = (
        f"the {what} is in {places[0]} and {what}s cannot move to {spec.region}; "
        f"set recreate to OnRegionChange to begin anew there{_with_what(scope)}"
    )
    if scope.condition("RegionRefused", status=True, reason="VolumesAreRegional", message=message):
        scope.event("RegionRefused", message, warning=True)
    return None


def _places(scope: MachineScope) -> tuple[str, ...]:
    """Where it is, and where it was asked for: who asked for this got what the provider gave."""
    volume, instance = scope.object.status.volume, scope.object.status.instance
    if volume is not None:
        return (volume.region, volume.wished_region)
    return (instance.region,) if instance is not None and instance.region else ()


def _with_what(scope: MachineScope) -> str:
    return "" if scope.object.spec.volume is None else " with an empty volume"


async def tear_down_for_region(scope: MachineScope, tools: Tools) -> Wait | None:
    """Remove machine and volume, as at deletion, but keep the app and its name."""
    status = scope.object.status
    scope.condition("Healthy", status=False, reason="Recreating")
    scope.condition("Ready", status=False, reason="Recreating")
    await scope.save()
    for step in (removal.await_withdrawal, removal.destroy_instance, removal.delete_volume):
        if wait := await step(scope, tools):
            return wait
    status.volume = status.instance = None
    scope.event("Recreating", f"in {scope.object.spec.region}{_with_what(scope)}")
    return Wait(0)


async def grow_volume(scope: MachineScope, tools: Tools) -> Wait | None:
    """A volume can grow; it cannot shrink."""
    wish, volume = scope.object.spec.volume, scope.object.status.volume
    if wish is None or volume is None:
        return None
    wanted = wish.size_gb
    if pending(scope, "volumes.extend"):
        found = await tools.fly.get_volume(scope.app, volume.id, call=scope.call)
        volume.size_gb, scope.object.status.intent = found.size_gb, None
    if wanted < volume.size_gb:
        scope.condition(
            "ShrinkRefused",
            status=True,
            reason="VolumesOnlyGrow",
            message=f"the volume has {volume.size_gb} GB and cannot shrink to {wanted} GB",
        )
        return None
    scope.object.status.drop_condition("ShrinkRefused")
    if wanted > volume.size_gb:
        async with effect(scope, "volumes.extend"):
            await tools.fly.extend_volume(scope.app, volume.id, size_gb=wanted, call=scope.call)
        volume.size_gb = wanted
    return None


async def update_config(scope: MachineScope, tools: Tools) -> Wait | None:
    """Put another image, size or environment in place, under Fly's lease and version.

    A machine that should not run is not started by it.
    """
    status, machine = scope.object.status, scope.seen
    if machine is None or status.instance is None:
        return None
    if status.volume is None and scope.object.spec.volume is not None:
        return None
    if machine.state in FAILED_STATES:
        # Another one is made instead, with the config that is wished then.
        return None
    config = wished_config(scope, tools)
    if in_sync(scope, config):
        return None
    status.phase = "Updating"
    launch = scope.object.spec.power == "Running" and status.resting_since is None
    async with (
        effect(scope, "machines.update"),
        tools.fly.leased(
            scope.app, machine.id, ttl=LEASE_SECONDS, description="invoker", call=scope.call
        ) as lease,
    ):
        updated = await tools.fly.update_machine(
            scope.app,
            machine.id,
            config=config,
            current_version=machine.version,
            nonce=lease.nonce,
            skip_launch=not launch,
            call=scope.call,
        )
    scope.event("Updated", f"machine {machine.id} has another configuration")
    status.instance.version = updated.version
    status.instance.config_hash = config_hash(config)
    if updated.state != status.instance.state:
        status.instance.state, status.instance.since = updated.state, scope.now
    status.instance.started_at = None if launch else status.instance.started_at
    status.healthy_since = None
    scope.condition("Healthy", status=False, reason="Updating")
    return Wait(POLL_SECONDS)
