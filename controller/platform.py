"""Platform: the incident page, by switch or because a provider is down."""

from __future__ import annotations

import json
from typing import ClassVar

from controller.edge import Edge
from controller.engine import EventRecorder, Result
from controller.kind import KindReconciler
from controller.providers import Breaker, BreakerState
from controller.scope import Scope
from crds.meta import Resource
from crds.platform import Platform
from crds.store import Store

OUTAGE_MESSAGE = "We're experiencing issues with our infrastructure provider."
RECHECK_SECONDS = 15.0


class PlatformReconciler(KindReconciler[Platform]):
    """Tells the edge of an incident and of its end.

    Args:
        store: Where the rows are.
        recorder: Where events go.
        edge: Where the incident flag is.
        breaker: The machines' provider's; open means an outage.
    """

    kind: ClassVar[type[Resource]] = Platform

    def __init__(self, store: Store, recorder: EventRecorder, edge: Edge, breaker: Breaker) -> None:
        super().__init__(store, recorder)
        self._edge = edge
        self._breaker = breaker

    async def converge(self, scope: Scope[Platform]) -> Result:
        """Raise or take down the page when what holds is not what the edge was told."""
        incident, status = scope.object.spec.incident, scope.object.status
        outage = self._breaker.state is not BreakerState.CLOSED
        active = incident.active or outage
        message = incident.message if incident.active else OUTAGE_MESSAGE if outage else ""
        if (active, message) != (status.incident, status.incident_message):
            # Intent before effect: a crash in between leaves the row unready and tells again.
            scope.condition("Ready", status=False, reason="Telling")
            await scope.save_if_unmoved()
        if not status.is_true("Ready"):
            page = {"version": 1, "incident": True, "message": message}
            await self._edge.show_incident(json.dumps(page) if active else None, scope.call)
            status.incident, status.incident_message = active, message
            scope.event("Incident" if active else "IncidentOver", message, warning=active)
        status.phase = "Incident" if active else "Active"
        scope.condition("Ready", status=True, reason="Told")
        return Result(requeue_after=RECHECK_SECONDS if outage else None)

    async def remove(self, _: Scope[Platform]) -> Result | None:
        """Nothing outside depends on the row; its defaults hold without it."""
        return None
