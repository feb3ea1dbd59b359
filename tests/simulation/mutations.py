"""The wrong code itself: what the mutants put in the place of the product's."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID, uuid4

from controller.engine import RetryLater
from controller.machine import launch, names, power, rollout
from controller.machine.config import desired_config
from controller.machine.intent import effect
from controller.machine.loss import forget_instance
from controller.machine.power import _halt
from controller.machine.tools import MachineScope, Tools, Wait
from controller.providers import Unavailable
from controller.providers.fly import Fly, FlyMachine, Volume
from controller.route import RouteReconciler
from controller.scope import Scope
from crds.machine import Machine
from crds.route import Route, RouteEntry

_keep, _create_machine, _create_volume = Scope.keep, Fly.create_machine, Fly.create_volume
_publish, _entry_for, _sleep = (
    RouteReconciler._publish,
    RouteReconciler._entry_for,
    power._sleep,
)
_create_instance = launch._create_instance


async def pass_by(_: MachineScope, __: Tools) -> Wait | None:
    """A step that does nothing."""
    return None


async def keep_without_finalizer(self: Scope[Any], change: Any) -> None:
    """Keep what is changed, unless it is the finalizer that is added."""
    changed = self.object.model_copy(deep=True)
    change(changed)
    if len(changed.metadata.finalizers) <= len(self.object.metadata.finalizers):
        await _keep(self, change)


async def save_anyway(self: Scope[Any]) -> None:
    """Write the intent over whatever moved."""
    await self._write(if_unmoved=False)


async def create_under_any_name(self: Fly, *arguments: Any, **options: Any) -> FlyMachine:
    """A new name with every try."""
    return await _create_machine(self, *arguments, **{**options, "name": f"m-{uuid4().hex[:8]}"})


def any_app_name(installation: str, _: UUID, __: int = 0) -> str:
    """A name that tells of another machine."""
    return f"inv-{installation}-{names.encode_uid(uuid4())}"


async def addresses_recorded_first(scope: MachineScope, tools: Tools) -> Wait | None:
    """Say that the addresses are there, then ask for them."""
    app = scope.app_status
    if not app.addresses:
        app.addresses = True
        scope.object.status.url = tools.fly.machine_url(app.name)
        for kind in launch.ADDRESSES:
            async with effect(scope, "addresses.assign"):
                await tools.fly.assign_address(app.name, kind, call=scope.call)
    return None


async def create_again(scope: MachineScope, tools: Tools, _: str | None) -> FlyMachine:
    """Answer a conflict with another name."""
    config = desired_config(scope.object, tools, scope.volume.id)
    config.pop("mounts")
    return await tools.fly.create_machine(
        scope.app, name="again", region=scope.volume.region, config=config, call=scope.call
    )


def entry_at_once(
    self: RouteReconciler, scope: Scope[Route], machine: Machine
) -> RouteEntry | None:
    """Route to whatever there is."""
    status = machine.status
    if status.instance is None or status.phase not in ("Creating", "Starting"):
        return _entry_for(self, scope, machine)
    return self._entry(
        scope,
        "running",
        target=status.url,
        machine=str(machine.uid),
        instance=status.instance.id,
    )


async def forget_volume(scope: MachineScope, _: Tools) -> Wait | None:
    """Strike the volume from the record."""
    scope.object.status.volume = None
    return None


async def adopt_anything(scope: MachineScope, tools: Tools, instance: str | None) -> FlyMachine:
    """Take over whatever has the name."""
    if instance is None:
        raise RetryLater("AwaitingEvidence", "not listed yet", after=5)
    scope.seen = await tools.fly.get_machine(scope.app, instance, call=scope.call)
    return scope.seen


def uid_of_any_app(_: str, name: str) -> UUID | None:
    """Whoever named it so."""
    found = re.fullmatch(r"inv-[a-z]+-([a-z2-7]{26})(-\d+)?", name)
    return found and names.decode_uid(found[1])


async def publish_with_stamp_one(
    self: RouteReconciler, scope: Scope[Route], wanted: RouteEntry | None
) -> None:
    """Every write has the same stamp."""
    if scope.object.status.stamp:
        scope.object.status.stamp = 0
        if scope.object.status.entry is not None:
            scope.object.status.entry.stamp = 0
        if wanted is not None:
            wanted.stamp = 0
    await _publish(self, scope, wanted)


async def sleep_regardless(scope: MachineScope, tools: Tools) -> Wait | None:
    """Stop it, whoever started it."""
    if scope.fly_machine.state not in power.DOWN:
        return await _halt(scope, tools)
    return await _sleep(scope, tools)


async def create_volume_twice(self: Fly, *arguments: Any, **options: Any) -> Volume:
    """Try once more when nobody knows."""
    try:
        return await _create_volume(self, *arguments, **options)
    except Unavailable:
        return await _create_volume(self, *arguments, **options)


async def forget_when_unreachable(scope: MachineScope, tools: Tools) -> Wait | None:
    """Take what does not answer for gone."""
    if scope.seen is not None and not scope.seen.reachable:
        forget_instance(scope)
        return Wait(0)
    return await rollout.settle(scope, tools)


async def recreate_regardless(scope: MachineScope, tools: Tools) -> Wait | None:
    """Begin anew wherever the region says."""
    volume = scope.object.status.volume
    if volume is None or volume.region == scope.object.spec.region:
        return None
    return await rollout.tear_down_for_region(scope, tools)


async def leave_cordon(_: MachineScope, __: Tools, *, cordoned: bool) -> None:
    """Leave the proxy alone."""
    del cordoned


async def create_and_tell(scope: MachineScope, tools: Tools, config: dict[str, Any]) -> FlyMachine:
    """Say too much."""
    scope.event("Creating", f"with {config['env']}")
    return await _create_instance(scope, tools, config)


async def lacks_anything(*_: Any, **__: Any) -> bool:
    """Whatever is asked for is not in the list."""
    return True


def restart_due_again(scope: MachineScope) -> bool:
    """A wish is due whenever there is one, except right after it was heeded."""
    instance, wished = scope.object.status.instance, scope.object.spec.restart_at
    if instance is None or wished is None or instance.started_at is None:
        return False
    return (scope.now - max(instance.started_at, instance.since)).total_seconds() > 1


async def leave_power(_: Any, __: Any, ___: Any, machine: Machine | None, ____: Any) -> Any:
    """Leave the power for later."""
    return machine


async def start_is_activity(_: Any, scope: Scope[Any], machine: Machine) -> Any:
    """Whoever starts a machine wants it."""
    instance = machine.status.instance
    signs = (instance and instance.started_at, scope.object.spec.wake_at)
    return max((sign for sign in signs if sign), default=None)


async def start_again(scope: MachineScope, tools: Tools) -> Wait | None:
    """Once more cannot hurt."""
    scope.object.status.restarts.given_up_at = None
    return await power._run(scope, tools)
