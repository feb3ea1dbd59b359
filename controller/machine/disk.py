"""Disk: the volume of a machine, empty or a copy, made only once and kept where its data is."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from controller.engine import Blocked
from controller.machine import names
from controller.machine.intent import await_evidence_of, effect, pending
from controller.machine.loss import found
from controller.machine.tools import MachineScope, Tools, Wait
from controller.providers import InsufficientCapacity, NotFound
from controller.providers.fly import GONE_VOLUME_STATES, Volume
from crds.machine import VolumeSpec, VolumeStatus

# By how much a provider's clock may be behind ours.
CLOCKS_DIFFER = timedelta(minutes=1)
# A volume in such a state does not have all its contents yet (PROVIDERS.md, volume states).
COPYING = frozenset({"creating", "restoring", "hydrating", "recovering"})
COPY_POLL_SECONDS = 5.0
# Nothing tells that an operator has brought it back, or wishes for an empty disk.
SOURCE_RECHECK_SECONDS = 60.0


async def ensure_volume(scope: MachineScope, tools: Tools) -> Wait | None:
    """The volume comes before the machine, which goes to the region the volume came back with.

    One that begins as a copy has to have its contents first.

    Raises:
        RetryLater: An earlier try may still show.
    """
    wish = scope.object.spec.volume
    resting = not needs_a_machine(scope) and scope.object.status.intent is None
    if wish is None or resting:
        return None
    if scope.object.status.volume is not None:
        return await _await_contents(scope, tools, wish)
    volume = await _find_volume(scope, tools) if pending(scope, "volumes.create") else None
    if volume is None:
        await_evidence_of(scope, "volumes.create")
        volume = await _create_volume(scope, tools, wish)
    found(scope)
    scope.object.status.intent = None
    scope.object.status.volume = VolumeStatus(
        id=volume.id,
        region=volume.region,
        size_gb=volume.size_gb,
        wished_region=scope.object.spec.region,
    )
    return Wait(COPY_POLL_SECONDS) if volume.state in COPYING else None


async def _await_contents(scope: MachineScope, tools: Tools, wish: VolumeSpec) -> Wait | None:
    """Wait until a copy is complete; a machine that has been made says that it was."""
    status = scope.object.status
    if wish.source == status.copied or pending(scope, "machines.create"):
        return None
    if status.instance is not None:
        status.copied = wish.source
        return None
    volume = await tools.fly.get_volume(scope.app, scope.volume.id, call=scope.call)
    if volume.state not in COPYING:
        return None
    status.phase = "Creating"
    message = f"volume {volume.id} is {volume.state}"
    scope.condition("Healthy", status=False, reason="VolumeNotReady", message=message)
    return Wait(COPY_POLL_SECONDS)


async def _find_volume(scope: MachineScope, tools: Tools) -> Volume | None:
    """What the pending try made: the oldest of our volumes in the wished region, else anywhere.

    A list may show what is long gone, and what was to be left behind in another region.
    """
    intent, region = scope.object.status.intent, scope.object.spec.region
    begun = scope.now if intent is None else intent.since - CLOCKS_DIFFER
    candidates: list[Volume] = []
    for listed in await tools.fly.list_volumes(scope.app, call=scope.call):
        if listed.name != names.volume_name(scope.uid):
            continue
        try:
            volume = await tools.fly.get_volume(scope.app, listed.id, call=scope.call)
        except NotFound:
            continue
        recent = volume.created_at is not None and volume.created_at >= begun
        if volume.state not in GONE_VOLUME_STATES and (volume.region == region or recent):
            candidates.append(volume)
    return min(
        candidates, key=lambda v: (v.region != region, str(v.created_at), v.id), default=None
    )


async def _create_volume(scope: MachineScope, tools: Tools, wish: VolumeSpec) -> Volume:
    spec = scope.object.spec
    source = await _source(scope, tools, wish)
    try:
        async with effect(scope, "volumes.create"):
            return await tools.fly.create_volume(
                scope.app,
                name=names.volume_name(scope.uid),
                region=spec.region,
                # A copy cannot be smaller than what it is a copy of.
                size_gb=max(wish.size_gb, 0 if source is None else source.size_gb),
                # A hint, so that the volume lands on a host with room for the machine.
                compute={
                    "cpu_kind": spec.size.cpu_kind,
                    "cpus": spec.size.cpus,
                    "memory_mb": spec.size.memory_mb,
                },
                source=None if source is None else source.id,
                call=scope.call,
            )
    except InsufficientCapacity as error:
        _tell_full(scope, error)
        raise


async def _source(scope: MachineScope, tools: Tools, wish: VolumeSpec) -> Volume | None:
    """The volume that a new one begins as a copy of; who had the copy and lost it begins empty.

    Raises:
        Blocked: It is gone: an empty disk in its place would look as if everything were well.
    """
    if wish.source == scope.object.status.copied:
        return None
    with suppress(NotFound):
        volume = await tools.fly.get_volume(scope.app, wish.source, call=scope.call)
        if volume.state not in GONE_VOLUME_STATES:
            return volume
    message = f"volume {wish.source}, of which its own is to be a copy, is not there"
    raise Blocked("SourceMissing", message, recheck_after=SOURCE_RECHECK_SECONDS)


def needs_a_machine(scope: MachineScope) -> bool:
    """Whether there has to be one; to be stopped, or given up, none is needed."""
    given_up = scope.object.status.restarts.given_up_at is not None
    return scope.object.spec.power != "Stopped" and not given_up


async def move_unused_volume(
    scope: MachineScope, tools: Tools, error: InsufficientCapacity
) -> None:
    """Give up a volume that never held anything: it ties the machine to a full host."""
    volume = scope.object.status.volume
    _tell_full(scope, error)
    if volume is None or volume.used:
        return
    async with effect(scope, "volumes.delete"):
        await tools.fly.delete_volume(scope.app, volume.id, call=scope.call)
    scope.object.status.volume = None


def _tell_full(scope: MachineScope, error: InsufficientCapacity) -> None:
    scope.condition("NoCapacity", status=True, reason="NoCapacity", message=error.message)
    scope.event("NoCapacity", error.message, warning=True)
