"""Machine: the steps of its life, in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

from controller.engine import EventRecorder, Request, Result
from controller.kind import KindReconciler
from controller.machine import launch, names, removal
from controller.machine.disk import ensure_volume
from controller.machine.health import check_health
from controller.machine.loss import take_stock
from controller.machine.observation import observe
from controller.machine.power import apply_power, rest
from controller.machine.restart import heed_new_wish, until_restart
from controller.machine.rollout import check_region, grow_volume, settle, update_config
from controller.machine.tools import MachineScope, Tools, Wait
from controller.machine.variables import ensure_variables
from controller.providers import NotFound
from crds.machine import AppStatus, Machine, MachineStatus
from crds.meta import Resource
from crds.store import Store

Step = Callable[[MachineScope, Tools], Awaitable[Wait | None]]

LIFE: tuple[Step, ...] = (
    heed_new_wish,
    launch.ensure_app,
    launch.ensure_addresses,
    ensure_variables,
    check_region,
    ensure_volume,
    launch.ensure_instance,
    observe,
    settle,
    grow_volume,
    update_config,
    apply_power,
    check_health,
)
REMOVAL: tuple[Step, ...] = (
    removal.await_withdrawal,
    removal.destroy_instance,
    removal.delete_own_volume,
    removal.leave_app,
    removal.delete_app,
)
# What a removal that is not through yet waits for, in words.
AWAITS: dict[Step, str] = {
    removal.await_withdrawal: "waits until no route leads here any more",
    removal.destroy_instance: "waits for the destruction of the machine",
    removal.delete_own_volume: "waits for the deletion of the volume",
    removal.leave_app: "waits for the others that share its app and go too",
    removal.delete_app: "waits for the deletion of the app",
}
# What each wish looks like when it has come true.
REACHED = {"Running": "Running", "Asleep": "Asleep", "Stopped": "Stopped"}


class MachineReconciler(KindReconciler[Machine]):
    """Keeps one Fly app, volume and machine as the row says."""

    kind: ClassVar[type[Resource]] = Machine

    def __init__(self, store: Store, recorder: EventRecorder, tools: Tools) -> None:
        super().__init__(store, recorder)
        self._tools = tools

    def scope(self, resource: Machine, request: Request) -> MachineScope:
        """A machine's scope carries the Fly machine as read."""
        return MachineScope(self.store, self.recorder, resource, request)

    def status_of(self, row: Mapping[str, Any]) -> MachineStatus:
        """The app's name follows from the uid, and with the app everything in it goes.

        A service's is wished for; what is in it is found by its marks.
        """
        service = row["spec"].get("service")
        wished = service.get("app") if isinstance(service, dict) else None
        name = wished or names.app_name(self._tools.installation, row["uid"])
        return MachineStatus(app=AppStatus(name=str(name), created_at=row["creation_timestamp"]))

    async def converge(self, scope: MachineScope) -> Result:  # type: ignore[override]  # `scope` above makes it one
        """Take the steps in order, as far as they go at present.

        What answers 404 anywhere on the way may be lost.
        """
        try:
            return await self._live(scope)
        except NotFound:
            if await take_stock(scope, self._tools):
                return Result(requeue_after=0)
            raise

    async def _live(self, scope: MachineScope) -> Result:
        if launch.needs_nothing(scope):
            rest(scope, "Stopped")
            _tell_ready(scope, last=True)
            return Result()
        for step in LIFE:
            if wait := await step(scope, self._tools):
                _tell_ready(scope, last=step is check_health)
                return Result(requeue_after=wait.seconds)
        _tell_ready(scope, last=True)
        return Result(requeue_after=until_restart(scope))

    async def remove(self, scope: MachineScope) -> Result | None:  # type: ignore[override]  # the same
        """Withdraw, destroy, delete; the row goes when all of it is gone."""
        scope.object.status.phase = "Deleting"
        if scope.object.status.is_true("Ready"):
            scope.condition("Ready", status=False, reason="Deleting")
        await scope.save()
        for step in REMOVAL:
            if wait := await step(scope, self._tools):
                scope.condition("Ready", status=False, reason="Deleting", message=AWAITS[step])
                return Result(requeue_after=wait.seconds)
        await self.store.heartbeats.forget(scope.uid)
        return None


def _tell_ready(scope: MachineScope, *, last: bool) -> None:
    """Ready means: the wish came true, and nothing about it was refused."""
    status = scope.object.status
    reached = last and status.phase == REACHED[scope.object.spec.power]
    woken = last and scope.object.spec.power == "Asleep" and status.woken_at is not None
    ready = reached or (woken and status.phase == "Running")
    if ready:
        # A transition was stuck until the wish has come true, not until the first nudge.
        status.drop_condition("Stuck")
        if status.instance is not None and status.instance.nudges:
            status.instance.nudges = 0
    scope.condition(
        "Ready", ready, status.phase, "" if reached else f"wants {scope.object.spec.power}"
    )
