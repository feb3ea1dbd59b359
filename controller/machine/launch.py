"""Launch: the app, its addresses and the machine come to be, each only once."""

from __future__ import annotations

from typing import NoReturn

from controller.engine import Blocked, RetryLater
from controller.machine import apps, names
from controller.machine.config import config_hash, wished_config
from controller.machine.disk import move_unused_volume, needs_a_machine
from controller.machine.intent import await_evidence, await_evidence_of, effect, pending
from controller.machine.loss import LOST_AFTER, found
from controller.machine.tools import MachineScope, Tools, Wait
from controller.providers import (
    AlreadyExists,
    Forbidden,
    InsufficientCapacity,
    NameTaken,
    NotFound,
)
from controller.providers.fly import TERMINAL_STATES, AddressType, FlyMachine
from crds.machine import AppStatus, InstanceStatus, ServiceSpec

ADDRESSES: tuple[AddressType, ...] = ("shared_v4", "v6")
PRIVATE: AddressType = "private_v6"
# Who has a name may give it up at any time, and nothing tells of it.
NAME_RECHECK_SECONDS = 300.0


def needs_nothing(scope: MachineScope) -> bool:
    """Whether it shall be stopped and nothing of it was made yet: then nothing has to be.

    Whatever would refuse to make it must not keep it from counting as stopped.
    """
    status = scope.object.status
    made = status.app is not None and status.app.created_at is not None
    return scope.object.spec.power == "Stopped" and not made and status.intent is None


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


async def ensure_instance(scope: MachineScope, tools: Tools) -> Wait | None:
    """The machine; its name is unique in its app, so a second one cannot come to be.

    What shall be stopped needs none: to make it would be to start it.
    """
    status = scope.object.status
    if status.instance is not None:
        return None
    if not needs_a_machine(scope):
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
    if scope.object.spec.volume is not None:
        # No machine was made before its disk was a complete copy of what it is to be a copy of.
        status.copied = scope.object.spec.volume.source
    status.resting_since = status.woken_at = status.healthy_since = None
    await scope.store.heartbeats.reset_health(scope.uid)
    await scope.save()
    return None


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
        await move_unused_volume(scope, tools, error)
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
