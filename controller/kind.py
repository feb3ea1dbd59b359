"""What the reconcilers of all kinds share: the frame around the steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

import structlog
from pydantic import ValidationError

from controller.engine import (
    DONE,
    Blocked,
    EventRecorder,
    Failure,
    ReconcileError,
    Request,
    Result,
    Terminal,
)
from controller.failures import meaning_of
from controller.providers import ProviderError
from controller.scope import Scope, write_status
from crds.annotations import FORCE_DELETE, PAUSED
from crds.errors import ConflictError, InvalidError, NotFoundError
from crds.meta import Resource, Retry, Status
from crds.store import StatusWish, Store
from crds.store.rows import without_spec
from crds.store.tombstones import Tombstones
from crds.tracing import TRACEPARENT

R = TypeVar("R", bound=Resource)

log = structlog.get_logger("invoker.kind")

FINALIZER = "invoker.dev/controller"
# A conflict passes with the next read; only so many in a row are worth showing.
VISIBLE_CONFLICTS = 5


class KindReconciler(ABC, Generic[R]):
    """Reads the object anew, keeps the finalizer, runs the steps, writes the status.

    A kind says what `converge` and `remove` do; both may run again at any point.
    """

    kind: ClassVar[type[Resource]]

    def __init__(self, store: Store, recorder: EventRecorder) -> None:
        self.store = store
        self.recorder = recorder

    @abstractmethod
    async def converge(self, scope: Scope[R]) -> Result:
        """Bring the world to what the spec says."""

    @abstractmethod
    async def remove(self, scope: Scope[R]) -> Result | None:
        """Take away everything outside; None when nothing is left and the row may go."""

    async def restrain(self, request: Request) -> None:
        """Do what must be done for an object whose spec is broken; by default nothing."""

    def scope(self, resource: R, request: Request) -> Scope[R]:
        """What one reconcile of an object works in."""
        return Scope(self.store, self.recorder, resource, request)

    async def reconcile(self, request: Request) -> Result:
        """One reconcile of one key (the engine's entry).

        Raises:
            ReconcileError: With its kind, for the engine to act on and `report` to show.
        """
        resource = await self._read(request)
        if resource is None:
            return DONE
        request.link(resource.metadata.annotations.get(TRACEPARENT))
        if resource.metadata.annotations.get(PAUSED) == "true":
            return DONE
        scope = self.scope(resource, request)
        try:
            return await self._run(scope)
        except ProviderError as error:
            await scope.save()
            raise meaning_of(error) from error
        except ReconcileError:
            await scope.save()
            raise
        except InvalidError as error:
            await scope.save()
            raise Blocked("InvalidNeighbour", f"a row that it depends on: {error}") from error

    async def _read(self, request: Request) -> R | None:
        """The object; one with a broken spec only if it is to go, which needs no spec.

        Raises:
            Terminal: Its spec breaks the kind's rules.
        """
        try:
            return await self.store.find(self.kind, request.key.name, request.key.namespace)  # type: ignore[return-value]  # `kind` is R
        except InvalidError as error:
            row = await self.store.find_row(request.key)
            if row is None or row["deletion_timestamp"] is None:
                await self.restrain(request)
                raise Terminal("InvalidSpec", str(error)) from error
            return self._without_what_is_broken(row)

    def _without_what_is_broken(self, row: Mapping[str, Any]) -> R:
        """The object of a row that is to go, whatever an edit by plain SQL did to it."""
        try:
            return without_spec(self.kind, row)  # type: ignore[return-value]  # `kind` is R
        except ValidationError:
            known = self.status_of(row).to_json()
            return without_spec(self.kind, {**row, "status": known})  # type: ignore[return-value]  # the same

    def status_of(self, row: Mapping[str, Any]) -> Status:
        """The status of a row that is to go and whose own says nothing; by default an empty one."""
        del row
        return self._status_type()

    def _status_type(self) -> Status:
        made: type[Status] = self.kind.model_fields["status"].annotation  # type: ignore[assignment]  # every kind narrows it to a Status
        return made()

    async def _run(self, scope: Scope[R]) -> Result:
        if scope.object.deleting:
            if FINALIZER not in scope.object.metadata.finalizers:
                return DONE
            if reason := scope.object.metadata.annotations.get(FORCE_DELETE):
                await self._let_go(scope, reason)
                return DONE
            result = await self.remove(scope)
            if result is None:
                await scope.keep(lambda changed: changed.metadata.finalizers.remove(FINALIZER))
                return DONE
            await scope.save()
            return result
        if FINALIZER not in scope.object.metadata.finalizers:
            await scope.keep(lambda changed: changed.metadata.finalizers.append(FINALIZER))
        result = await self.converge(scope)
        scope.object.status.observed_generation = scope.object.metadata.generation
        scope.object.status.retry = None
        await scope.save()
        return result

    async def _let_go(self, scope: Scope[R], reason: str) -> None:
        """Let an object go unfinished because a person says so.

        The tombstone comes first: the collector goes after what is left outside.
        """
        details = scope.object.status.to_json()
        await Tombstones(self.store.database).force(
            scope.object.key, scope.uid, reason, details, scope.now
        )
        message = f"let go before what it stands for was gone: {reason}"
        scope.event("ForceDeleted", message, warning=True)
        log.warning("force-deleted", key=str(scope.object.key), uid=str(scope.uid), reason=reason)
        await scope.keep(lambda changed: changed.metadata.finalizers.remove(FINALIZER))

    async def report(self, request: Request, failure: Failure) -> None:
        """Show on the object why it has not converged, which attempt this is, and what is next."""
        if failure.kind == "Conflict" and failure.attempt < VISIBLE_CONFLICTS:
            return
        row = await self.store.find_row(request.key)
        if row is None:
            return
        self._warn(request, row, failure)
        status = self._failed(row, failure)
        try:
            await write_status(
                self.store, request.key, StatusWish(row["uid"], status, 0, request.fence)
            )
        except (ConflictError, NotFoundError):
            # Lost the shard or the object: whoever has it now shows what holds now.
            return

    def _warn(self, request: Request, row: Any, failure: Failure) -> None:
        """Record that something stands in the way, once for as long as it is the same."""
        known = row["status"].get("retry")
        if not isinstance(known, dict) or known.get("reason") != failure.reason:
            text = f"{failure.reason}: {failure.message}" if failure.message else failure.reason
            self.recorder.event(request.key, row["uid"], "Warning", "NotConverged", text)

    def _failed(self, row: Any, failure: Failure) -> dict[str, Any]:
        retry = Retry(
            kind=failure.kind,
            reason=failure.reason,
            message=failure.message,
            attempt=failure.attempt,
            next_at=failure.next_at,
            provider=failure.provider,
            request_id=failure.request_id,
        )
        try:
            status = type(self._status_type()).model_validate(row["status"])
        except ValidationError:
            # An edit by plain SQL: what is left of it may be needed, and is not ours to drop.
            return {**row["status"], "retry": retry.to_json()}
        status.retry = retry
        status.set_condition(
            "Ready",
            "False",
            failure.reason,
            failure.message,
            now=self.store.clock.now(),
            generation=row["generation"],
        )
        if failure.kind in ("Blocked", "Terminal") and status.phase == "Pending":
            status.phase = "Blocked"
        return status.to_json()
