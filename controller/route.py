"""Route: the edge is told where a subdomain leads, after health, and untold before destruction."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from controller.edge import Change, Edge
from controller.engine import EventRecorder, Result
from controller.kind import KindReconciler
from controller.scope import Scope
from crds.account import Account
from crds.machine import Machine
from crds.meta import Resource
from crds.route import Route, RouteEntry, RouteState
from crds.store import Store
from crds.workspace import Workspace

# A key that was written is not looked for in a listing before so long: listings are stale.
LISTING_GRACE = timedelta(seconds=90)
# How long a redirect can lead to a name that is another account's by now.
REDIRECT_LOOK_SECONDS = 60.0

# What the edge is told for a machine's phase; phases that are missing have no entry, and one that
# is stopping is told as what it will be.
STATES: dict[str, RouteState] = {
    "Running": "running",
    "Asleep": "asleep",
    "Stopped": "stopped",
    "Starting": "starting",
    "Updating": "starting",
    "Creating": "starting",
    "Crashed": "crashed",
    "Failed": "crashed",
    "Unreachable": "crashed",
}
# States in which the edge may send requests to the machine.
FORWARDED = frozenset({"running", "asleep"})


class RouteReconciler(KindReconciler[Route]):
    """Keeps one KV entry as the account, the workspace and the machine say."""

    kind: ClassVar[type[Resource]] = Route

    def __init__(self, store: Store, recorder: EventRecorder, edge: Edge) -> None:
        super().__init__(store, recorder)
        self._edge = edge

    async def converge(self, scope: Scope[Route]) -> Result:
        """Publish what holds; let an old name go when its time is over."""
        spec = scope.object.spec
        if spec.redirect_until is not None and scope.now >= spec.redirect_until:
            await self.store.delete(
                Route, scope.object.metadata.name, uid=scope.uid, fence=scope.request.fence
            )
            return Result(requeue_after=0)
        await self._publish(scope, await self._wanted(scope))
        status = scope.object.status
        status.phase = "Reserved" if status.entry is None else status.entry.state.capitalize()
        scope.condition("Ready", status=True, reason="Published")
        if spec.redirect_until is not None:
            left = (spec.redirect_until - scope.now).total_seconds()
            return Result(requeue_after=min(left, REDIRECT_LOOK_SECONDS))
        return Result()

    async def remove(self, scope: Scope[Route]) -> Result | None:
        """Withdraw the entry."""
        scope.object.status.phase = "Deleting"
        await self._publish(scope, None)
        return None

    async def _wanted(self, scope: Scope[Route]) -> RouteEntry | None:
        """The entry that should be there, from rows alone."""
        spec = scope.object.spec
        account = await self.store.find(Account, spec.account)
        if account is None or account.deleting:
            return None
        if spec.redirect_to is not None:
            return await self._redirect(scope, spec.redirect_to)
        if spec.target is None:
            return None
        workspace = await self.store.find(Workspace, spec.target.workspace, spec.account)
        machine = await self.store.find(Machine, spec.target.machine, spec.account)
        if workspace is None or machine is None or machine.deleting:
            return None
        if account.spec.state != "Active":
            return self._entry(
                scope, "quarantined" if account.spec.state == "Quarantined" else "suspended"
            )
        return self._entry_for(scope, machine)

    async def _redirect(self, scope: Scope[Route], name: str) -> RouteEntry | None:
        """To another name of the same account; one that changed hands leads to a stranger."""
        target = await self.store.find(Route, name)
        if target is None or target.deleting or target.spec.account != scope.object.spec.account:
            return None
        return self._entry(scope, "redirect", redirect=name)

    def _entry_for(self, scope: Scope[Route], machine: Machine) -> RouteEntry | None:
        status = machine.status
        phase = machine.spec.power if status.phase == "Stopping" else status.phase
        state = STATES.get(phase)
        if state == "running" and not status.is_true("Healthy"):
            state = "starting"
        if state is None or (state == "starting" and scope.object.status.entry is None):
            # What has never been healthy has no entry: the API answers for it.
            return None
        if state not in FORWARDED or status.instance is None:
            return self._entry(scope, state)
        return self._entry(
            scope,
            state,
            target=status.url,
            machine=str(machine.uid),
            instance=status.instance.id,
        )

    def _entry(
        self,
        scope: Scope[Route],
        state: RouteState,
        *,
        target: str | None = None,
        machine: str | None = None,
        instance: str | None = None,
        redirect: str | None = None,
    ) -> RouteEntry:
        return RouteEntry(
            stamp=scope.object.status.stamp,
            route=str(scope.uid),
            account=scope.object.spec.account,
            state=state,
            target=target,
            machine=machine,
            instance=instance,
            redirect=redirect,
        )

    async def _publish(self, scope: Scope[Route], wanted: RouteEntry | None) -> None:
        """Intent, effect, confirmation; nothing when the edge holds it already.

        An entry of which nobody knows whether it was written is written again with its stamp:
        the same words, so it does not matter which of the two writes arrives last.
        """
        status = scope.object.status
        changed = wanted != status.entry
        if not changed and status.published and not self._overwritten(scope):
            return
        if changed or status.published:
            status.stamp += 1
            status.published = False
            status.entry = wanted and wanted.model_copy(update={"stamp": status.stamp})
            await scope.save_if_unmoved()
        await self._edge.apply(
            Change(
                scope.object.metadata.name,
                str(scope.uid),
                status.stamp,
                status.entry,
                scope.request.guard,
                scope.request.remaining,
            )
        )
        status.published = True
        status.published_at = scope.now
        scope.event("Published", status.entry.state if status.entry else "withdrawn")

    def _overwritten(self, scope: Scope[Route]) -> bool:
        """Whether a listing that is younger than our last write shows something else."""
        status, listed_at = scope.object.status, self._edge.listed_at
        if listed_at is None or status.published_at is None:
            return False
        if listed_at < status.published_at + LISTING_GRACE:
            return False
        found = self._edge.listed(scope.object.metadata.name)
        if status.entry is None:
            return found is not None
        return found is None or (found.uid, found.stamp) != (str(scope.uid), status.stamp)
