"""Platform: the incident page, by switch or because a provider is down."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
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
# How long a page that somebody else took down or put up can stay so; a read may be a minute old.
LOOK_EVERY = timedelta(minutes=5)


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
        self._looked_at: datetime | None = None

    async def converge(self, scope: Scope[Platform]) -> Result:
        """Raise or take down the page when what holds is not what the edge was told."""
        incident, status = scope.object.spec.incident, scope.object.status
        outage = self._breaker.state is not BreakerState.CLOSED
        active = incident.active or outage
        message = incident.message if incident.active else OUTAGE_MESSAGE if outage else ""
        page = {"version": 1, "incident": True, "message": message}
        wanted = json.dumps(page) if active else None
        moved = (active, message) != (status.incident, status.incident_message)
        if moved or await self._is_overwritten(scope, wanted):
            # Intent before effect: a crash in between leaves the row unready and tells again.
            scope.condition("Ready", status=False, reason="Telling")
            await scope.save_if_unmoved()
        if not status.is_true("Ready"):
            await self._edge.show_incident(wanted, scope.call)
            self._looked_at = scope.now
            status.incident, status.incident_message = active, message
            if moved:
                scope.event("Incident" if active else "IncidentOver", message, warning=active)
        status.phase = "Incident" if active else "Active"
        scope.condition("Ready", status=True, reason="Told")
        return Result(requeue_after=RECHECK_SECONDS if outage else self._until_look(scope))

    def _until_look(self, scope: Scope[Platform]) -> float:
        """Seconds until the edge is to be looked at again."""
        due = (self._looked_at or scope.now) + LOOK_EVERY
        return max(0.0, (due - scope.now).total_seconds())

    async def _is_overwritten(self, scope: Scope[Platform], wanted: str | None) -> bool:
        """Whether the edge, looked at now and then, holds something else than it was told."""
        if self._looked_at is not None and scope.now < self._looked_at + LOOK_EVERY:
            return False
        held = await self._edge.incident(scope.call)
        self._looked_at = scope.now
        return held != wanted

    async def remove(self, scope: Scope[Platform]) -> Result | None:
        """Take the page down: without the row nobody would."""
        await self._edge.show_incident(None, scope.call)
        return None
