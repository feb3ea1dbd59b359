"""Account: a user's namespace; it goes when everything in it is gone."""

from __future__ import annotations

from typing import ClassVar

from controller.engine import Result
from controller.kind import KindReconciler
from controller.scope import Scope
from crds.account import Account
from crds.meta import Resource
from crds.route import Route
from crds.workspace import Workspace

REMOVAL_POLL_SECONDS = 5.0


class AccountReconciler(KindReconciler[Account]):
    """Counts what the account has, and empties the namespace at its end."""

    kind: ClassVar[type[Resource]] = Account

    async def converge(self, scope: Scope[Account]) -> Result:
        """Tell what there is; workspaces and routes heed the account's state themselves."""
        page = await self.store.list(Workspace, namespace=scope.object.metadata.name)
        status = scope.object.status
        status.workspaces = len(page.items) + len(page.broken)
        status.phase = scope.object.spec.state
        scope.condition("Ready", status=True, reason="NamespaceReady")
        return Result()

    async def remove(self, scope: Scope[Account]) -> Result | None:
        """Delete the workspaces, then the claims on names."""
        name, fence = scope.object.metadata.name, scope.request.fence
        scope.object.status.phase = "Deleting"
        workspaces = (await self.store.list(Workspace, namespace=name)).items
        for workspace in workspaces:
            if not workspace.deleting:
                await scope.or_none(
                    self.store.delete(
                        Workspace, workspace.metadata.name, name, uid=workspace.uid, fence=fence
                    )
                )
        if workspaces:
            return Result(requeue_after=REMOVAL_POLL_SECONDS)
        routes = (await self.store.list(Route, spec={"account": name})).items
        for route in routes:
            if not route.deleting:
                await scope.or_none(
                    self.store.delete(Route, route.metadata.name, uid=route.uid, fence=fence)
                )
        return Result(requeue_after=REMOVAL_POLL_SECONDS) if routes else None
