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
        name = scope.object.metadata.name
        scope.object.status.phase = "Deleting"
        rows = await self.store.rows(Workspace, namespace=name)
        rows = rows or await self.store.rows(Route, spec={"account": name})
        for row in rows:
            await scope.ask_deletion(row)
        return Result(requeue_after=REMOVAL_POLL_SECONDS) if rows else None
