"""Account: a user's namespace; it goes when everything in it is gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from controller.engine import EventRecorder, Result
from controller.kind import KindReconciler
from controller.scope import Scope, awaited
from crds.account import Account
from crds.devenv import DevEnv
from crds.machine import Machine
from crds.meta import Key, Resource
from crds.registry import KINDS
from crds.route import Route
from crds.store import Store
from crds.vps import Vps
from crds.workspace import Workspace

REMOVAL_POLL_SECONDS = 5.0


class AccountReconciler(KindReconciler[Account]):
    """Counts what the account has, wakes it, and empties the namespace at its end.

    Args:
        store: Where the rows are.
        recorder: Where events go.
        wake: Called with the keys of what heeds the account's state; they are in its shard.
    """

    kind: ClassVar[type[Resource]] = Account

    def __init__(self, store: Store, recorder: EventRecorder, wake: Callable[[Key], None]) -> None:
        super().__init__(store, recorder)
        self._wake = wake

    async def converge(self, scope: Scope[Account]) -> Result:
        """Tell what there is, which heeds the account's state by itself."""
        workspaces = await self.store.rows(Workspace, namespace=scope.object.metadata.name)
        devenvs = await self.store.rows(DevEnv, namespace=scope.object.metadata.name)
        vpses = await self.store.rows(Vps, namespace=scope.object.metadata.name)
        status = scope.object.status
        if status.phase != scope.object.spec.state:
            for row in (*workspaces, *devenvs, *vpses):
                self._wake(Key(row["kind"], row["namespace"], row["name"]))
        if scope.object.spec.state != "Active":
            await self._stop_ownerless(scope)
        status.workspaces, status.devenvs = len(workspaces), len(devenvs)
        status.vpses = len(vpses)
        status.phase = scope.object.spec.state
        scope.condition("Ready", status=True, reason="NamespaceReady")
        return Result()

    async def _stop_ownerless(self, scope: Scope[Account]) -> None:
        """Stop what was made by hand: no workspace looks after it, nor starts it again later."""
        machines = await self.store.list(Machine, namespace=scope.object.metadata.name)
        for machine in machines.items:
            if machine.controller() is None and machine.spec.power != "Stopped":
                machine.spec.power = "Stopped"
                await self.store.update(machine, fence=scope.request.fence)
                scope.event("Stopped", f"Machine {machine.metadata.name}, which has no owner")

    async def remove(self, scope: Scope[Account]) -> Result | None:
        """Delete what owns others, then what else is in the namespace, then the claims on names."""
        scope.object.status.phase = "Deleting"
        rows = await self._left(scope.object.metadata.name)
        for row in rows:
            await scope.ask_deletion(row)
        scope.condition("Ready", status=False, reason="Deleting", message=awaited(rows))
        return Result(requeue_after=REMOVAL_POLL_SECONDS) if rows else None

    async def _left(self, namespace: str) -> Sequence[Mapping[str, Any]]:
        """What goes next; what owns others goes before them, and what needs a connection too."""
        owners: list[type[Resource]] = [Workspace, DevEnv, Vps]
        rows = [row for kind in owners for row in await self.store.rows(kind, namespace=namespace)]
        if rows:
            return rows
        namespaced = [kind for kind in KINDS.values() if kind.SCOPE == "Namespaced"]
        rows = [
            row for kind in namespaced for row in await self.store.rows(kind, namespace=namespace)
        ]
        return rows or await self.store.rows(Route, spec={"account": namespace})
