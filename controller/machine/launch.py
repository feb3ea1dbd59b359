"""Launch: the app, its addresses, the volume and the machine come to be, each only once."""

from __future__ import annotations

from datetime import timedelta
from typing import NoReturn

from controller.engine import Blocked, RetryLater
from controller.machine import apps, names
from controller.machine.config import config_hash, wished_config
from controller.machine.intent import await_evidence, effect, pending
from controller.machine.loss import LOST_AFTER, found
from controller.machine.tools import MachineScope, Tools, Wait
from controller.providers import (
    AlreadyExists,
    Forbidden,
    InsufficientCapacity,
    NameTaken,
    NotFound,
)
from controller.providers.fly import (
    GONE_VOLUME_STATES,
    TERMINAL_STATES,
    AddressType,
    FlyMachine,
    Volume,
)
from crds.machine import AppStatus, InstanceStatus, ServiceSpec, VolumeSpec, VolumeStatus

# By how much a provider's clock may be behind ours.
CLOCKS_DIFFER = timedelta(minutes=1)
ADDRESSES: tuple[AddressType, ...] = ("shared_v4", "v6")
PRIVATE: AddressType = "private_v6"
# Who has a name may give it up at any time, and nothing tells of it.
NAME_RECHECK_SECONDS = 300.0
# A volume in such a state does not have all its contents yet (PROVIDERS.md, volume states).
COPYING = frozenset({"creating", "restoring", "hydrating", "recovering"})
COPY_POLL_SECONDS = 5.0


async def ensure_app(scope: MachineScope, tools: Tools) -> Wait | None:
    """One app for each machine, with a network of its own; a service's is as wished.

    Creating is safe to repeat: the name is decided before, and so is the idempotency key.

    Raises:
        NameTaken: The name belongs to somebody else; the next one is tried.
        Blocked: The same, of a service, whose name is fixed.
    """
    status, service = scope.object.status, scope.object.spec.service
    if status.app is None:
        own = names.app_name(tools.installation, scope.uid)
        status.app = AppStatus(name=own if service is None else service.app)
    if status.app.created_at is not None:
        return None
    status.phase = "Creating"
    try:
        async with effect(scope, "apps.create"):
            await tools.fly.create_app(
                status.app.name,
                network=apps.network(scope),
                idempotency_key=apps.idempotency_key(scope),
                call=scope.call,
            )
    except NameTaken:
        if not await _app_is_ours(scope, tools):
            if service is not None:
                _refuse_name(scope)
            _take_next_name(scope, tools)
            raise
    status.drop_condition("NameTaken")
    status.app.created_at, status.app.missing_since = scope.now, None
    return None


async def _app_is_ours(scope: MachineScope, tools: Tools) -> bool:
    """Whether a taken name is taken by us.

    Raises:
        RetryLater: Taken, yet not to be found: one of the two is wrong, and will be put right.
    """
    app = scope.app_status
    try:
        answer = await tools.fly.get_app(app.name, call=scope.call)
    except Forbidden:
        return False
    except NotFound:
        app.missing_since = app.missing_since or scope.now
        if scope.now >= app.missing_since + LOST_AFTER:
            return False
        raise RetryLater(
            "AppMissing", f"{app.name} is taken and cannot be found", after=15
        ) from None
    return apps.is_ours(scope, tools, answer)


def _refuse_name(scope: MachineScope) -> NoReturn:
    """A fixed name has no next one: whoever has it must give it up.

    Raises:
        Blocked: Always.
    """
    status = scope.object.status
    message = (
        f"{scope.app} is the name of an app that is not this environment's: "
        "another organisation's, or one on another network"
    )
    if scope.condition("NameTaken", status=True, reason="NameTaken", message=message):
        scope.event("NameTaken", message, warning=True)
    status.phase = "Blocked"
    raise Blocked("NameTaken", message, recheck_after=NAME_RECHECK_SECONDS)


def _take_next_name(scope: MachineScope, tools: Tools) -> None:
    app = scope.app_status
    scope.event("NameTaken", f"{app.name} belongs to somebody else; taking another", warning=True)
    scope.condition("NameTaken", status=True, reason="NameTaken", message=f"{app.name} is not ours")
    taken = app.names_taken + 1
    scope.object.status.app = AppStatus(
        name=names.app_name(tools.installation, scope.uid, taken), names_taken=taken
    )


async def ensure_addresses(scope: MachineScope, tools: Tools) -> Wait | None:
    """The public addresses without which `<app>.fly.dev` does not answer, and a service's own.

    Raises:
        RetryLater: An earlier try may still show: assigning once more would make a second one.
    """
    app, service = scope.app_status, scope.object.spec.service
    if not app.addresses:
        wanted = _addresses(service)
        # Another row's machine may be in a service's app already, with its addresses.
        if pending(scope, "addresses.assign") or service is not None:
            listed = await tools.fly.list_addresses(app.name, call=scope.call)
            app.assigned = sorted({address.kind for address in listed} & set(wanted))
            if len(app.assigned) < len(wanted):
                await_evidence_of(scope, "addresses.assign")
        for kind in wanted:
            if kind not in app.assigned:
                await _assign(scope, tools, kind)
        scope.object.status.intent = None
        app.addresses = True
    # Where a service is reached is told only to whom it concerns.
    scope.object.status.url = tools.fly.machine_url(app.name) if service is None else None
    return None


def _addresses(service: ServiceSpec | None) -> tuple[AddressType, ...]:
    """The kinds of addresses; a service's siblings reach it by a private one (Flycast)."""
    if service is None:
        return ADDRESSES
    return (*ADDRESSES, PRIVATE) if service.public else (PRIVATE,)


async def _assign(scope: MachineScope, tools: Tools, kind: AddressType) -> None:
    app = scope.app_status
    network = apps.network(scope) if kind == PRIVATE else None
    async with effect(scope, "addresses.assign"):
        await tools.fly.assign_address(app.name, kind, network=network, call=scope.call)
    app.assigned = sorted([*app.assigned, kind])


async def ensure_volume(scope: MachineScope, tools: Tools) -> Wait | None:
    """The volume comes before the machine, which goes to the region the volume came back with.

    One that begins as a copy has to have its contents first.

    Raises:
        RetryLater: An earlier try may still show.
    """
    wish = scope.object.spec.volume
    resting = not _needs_a_machine(scope) and scope.object.status.intent is None
    if wish is None or resting:
        return None
    if scope.object.status.volume is not None:
        return await _await_contents(scope, tools) if wish.source else None
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


async def _await_contents(scope: MachineScope, tools: Tools) -> Wait | None:
    """Wait until a copy is complete; a machine that has been made says that it was."""
    if scope.object.status.instance is not None or pending(scope, "machines.create"):
        return None
    volume = await tools.fly.get_volume(scope.app, scope.volume.id, call=scope.call)
    if volume.state not in COPYING:
        return None
    scope.object.status.phase = "Creating"
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
    try:
        async with effect(scope, "volumes.create"):
            return await tools.fly.create_volume(
                scope.app,
                name=names.volume_name(scope.uid),
                region=spec.region,
                size_gb=wish.size_gb,
                # A hint, so that the volume lands on a host with room for the machine.
                compute={
                    "cpu_kind": spec.size.cpu_kind,
                    "cpus": spec.size.cpus,
                    "memory_mb": spec.size.memory_mb,
                },
                source=wish.source or None,
                call=scope.call,
            )
    except InsufficientCapacity as error:
        _tell_full(scope, error)
        raise


async def ensure_instance(scope: MachineScope, tools: Tools) -> Wait | None:
    """The machine; its name is unique in its app, so a second one cannot come to be.

    What shall be stopped needs none: to make it would be to start it.
    """
    status = scope.object.status
    if status.instance is not None:
        return None
    if not _needs_a_machine(scope):
        await _find_launched(scope, tools)
        return None
    config = wished_config(scope, tools)
    machine = await _create_instance(scope, tools, config)
    found(scope)
    status.intent = None
    status.instance = _record(scope, machine)
    if scope.seen is None:
        status.instance.config_hash = config_hash(config)
        status.instance.region = status.instance.region and scope.object.spec.region
    status.resting_since = status.woken_at = status.healthy_since = None
    await scope.store.heartbeats.reset_health(scope.uid)
    await scope.save()
    return None


def _needs_a_machine(scope: MachineScope) -> bool:
    """Whether there has to be one; to be stopped, or given up, none is needed."""
    given_up = scope.object.status.restarts.given_up_at is not None
    return scope.object.spec.power != "Stopped" and not given_up


async def _find_launched(scope: MachineScope, tools: Tools) -> None:
    """A creation of which nobody knows the outcome may have started a machine all the same.

    Raises:
        RetryLater: It may still show.
    """
    if pending(scope, "machines.create"):
        await find_unrecorded(scope, tools)
        if scope.object.status.instance is None:
            await_evidence(scope)
            scope.object.status.intent = None


async def find_unrecorded(scope: MachineScope, tools: Tools) -> None:
    """Put on record the machine that a try of ours made without our hearing of it."""
    for machine in await tools.fly.list_machines(scope.app, call=scope.call):
        uid = names.marked_uid(tools.installation, machine.metadata)
        if uid == scope.uid and machine.state not in TERMINAL_STATES:
            scope.object.status.instance = _record(scope, machine)
            scope.object.status.intent = None


def _record(scope: MachineScope, machine: FlyMachine) -> InstanceStatus:
    """What is written down of a machine at first; where there is a volume, that has the region."""
    return InstanceStatus(
        id=machine.id,
        region="" if scope.object.status.volume else machine.region or scope.object.spec.region,
        version=machine.version,
        state=machine.state,
        since=scope.now,
    )


async def _create_instance(
    scope: MachineScope, tools: Tools, config: dict[str, object]
) -> FlyMachine:
    volume = scope.object.status.volume
    region = scope.object.spec.region if volume is None else volume.region
    try:
        async with effect(scope, "machines.create"):
            machine = await tools.fly.create_machine(
                scope.app,
                name=_instance_name(scope, tools),
                region=region,
                config=config,
                call=scope.call,
            )
    except AlreadyExists as error:
        return await _adopt(scope, tools, error.existing_id)
    except InsufficientCapacity as error:
        await _move_unused_volume(scope, tools, error)
        raise
    scope.object.status.drop_condition("NoCapacity")
    if volume is not None:
        scope.object.status.volume = volume.model_copy(update={"used": True})
    scope.event("Created", f"machine {machine.id} in {region}")
    return machine


def _instance_name(scope: MachineScope, tools: Tools) -> str:
    """Unique in the app, so that a second machine of this row cannot come to be."""
    shared = apps.is_shared(scope, tools)
    return names.shared_instance_name(scope.uid) if shared else names.INSTANCE_NAME


async def _adopt(scope: MachineScope, tools: Tools, instance: str | None) -> FlyMachine:
    """Take over the machine that an earlier try made."""
    if instance is None:
        listed = await tools.fly.list_machines(scope.app, call=scope.call)
        name = _instance_name(scope, tools)
        instance = next((m.id for m in listed if m.name == name), None)
    if instance is None:
        raise RetryLater("AwaitingEvidence", "a machine exists that is not listed yet", after=5)
    machine = await tools.fly.get_machine(scope.app, instance, call=scope.call)
    if names.marked_uid(tools.installation, machine.metadata) != scope.uid:
        raise Blocked("NotOurs", f"machine {instance} in our app was made by somebody else")
    mounts = machine.config.get("mounts") or []
    held = scope.object.status.volume
    if held is not None and mounts and (volume := mounts[0].get("volume")):
        scope.object.status.volume = held.model_copy(
            update={"id": volume, "region": machine.region or held.region, "used": True}
        )
    scope.seen = machine
    scope.event("Adopted", f"machine {machine.id}")
    return machine


async def _move_unused_volume(
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


def await_evidence_of(scope: MachineScope, operation: str) -> None:
    """Wait for the grace after an unfinished try of this operation.

    Raises:
        RetryLater: The grace is not over.
    """
    if pending(scope, operation):
        await_evidence(scope)
