"""A controller: a fixed pool of workers that reconcile the keys of one queue."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

import anyio
import structlog
from opentelemetry.trace import INVALID_SPAN, NoOpTracer, Span, StatusCode, Tracer
from structlog.contextvars import bound_contextvars

from controller.engine.outcome import (
    Blocked,
    Failure,
    ReconcileError,
    RetryLater,
    Terminal,
    describe_bug,
    is_conflict,
    leading,
)
from controller.engine.queue import Backoff, Item, Priority, ShutDownError, WorkQueue
from controller.engine.reconciler import Grip, Ownership, Reconciler, Request, SoleOwner
from controller.engine.result import Result
from controller.engine.stats import ControllerStats
from crds.clock import Clock
from crds.errors import FencedError
from crds.meta import Key, RetryKind

log = structlog.get_logger("invoker.controller")

CONFLICT_BACKOFF = Backoff(base=0.05, cap=30.0)
"""A conflict passes as soon as the row is read again; many in a row mean two who quarrel."""
REPORT_SECONDS = 30.0


class Controller:
    """Reconciles the keys of one queue.

    Args:
        name: For metrics, logs and sources.
        reconciler: What it runs.
        queue: Where the keys come from.
        clock: For the times that the status shows.
        ownership: Which keys are this replica's; by default all.
        workers: How many keys are in hand at once.
        timeout: Seconds that one reconcile may take.
        recheck: Seconds until a blocked key is looked at again, unless the error says.
        transient: Exceptions that are not bugs but the database or the network away.
        tracer: Opens a span a reconcile.
    """

    def __init__(
        self,
        name: str,
        reconciler: Reconciler,
        *,
        queue: WorkQueue,
        clock: Clock,
        ownership: Ownership | None = None,
        workers: int = 8,
        timeout: float = 120.0,
        recheck: float = 600.0,
        transient: tuple[type[Exception], ...] = (),
        tracer: Tracer | None = None,
    ) -> None:
        self.name = name
        self.queue = queue
        self.workers = workers
        self.timeout = timeout
        self.stats = ControllerStats()
        self._reconciler = reconciler
        self._clock = clock
        self._ownership = ownership or SoleOwner()
        self._recheck = recheck
        self._transient = transient
        self._tracer = tracer or NoOpTracer()

    @property
    def stuck(self) -> int:
        """How many reconciles have outlived their timeout and its report: they ignore both."""
        oldest = self._clock.monotonic() - self.timeout - REPORT_SECONDS
        return sum(since < oldest for since in self.queue.taken.values())

    def push(self, key: Key, *, priority: Priority = Priority.EVENT, delay: float = 0.0) -> None:
        """Queue a key, if it is ours."""
        if self._ownership.owns(key):
            self.queue.add(key, priority=priority, delay=delay)

    def stop(self) -> None:
        """Take nothing new in hand; `run` returns once the workers are done with what they have."""
        self.queue.shut_down()

    async def run(self) -> None:
        """Work until `stop`."""
        async with anyio.create_task_group() as group:
            for _ in range(self.workers):
                group.start_soon(self._work)

    async def _work(self) -> None:
        while True:
            try:
                item = await self.queue.get()
            except ShutDownError:
                return
            try:
                await self._hold(item)
            finally:
                self.queue.done(item.key)

    async def _hold(self, item: Item) -> None:
        """Reconcile a key while it is ours; somebody else's is forgotten."""
        grip = self._ownership.begin(item.key)
        if grip is None:
            self.queue.forget(item.key)
            self.stats.results["dropped"] += 1
            return
        try:
            await self._observe(item, grip)
        finally:
            self._ownership.end(item.key)

    async def _observe(self, item: Item, grip: Grip) -> None:
        """Reconcile under a span, with the key on every log line."""
        kind, namespace, name = item.key
        started = self._clock.monotonic()
        with (
            self._span(str(item.key), item.attempt) as span,
            bound_contextvars(
                controller=self.name,
                kind=kind,
                namespace=namespace or None,
                name=name,
                reconcile=item.attempt + 1,
                # The request that made the wish: `Request.link` fills it in.
                wish_trace_id=None,
            ),
        ):
            request = Request(
                item.key, attempt=item.attempt, priority=item.priority, grip=grip, span=span
            )
            try:
                await self._reconcile(request, span)
            finally:
                self.stats.time.observe(self._clock.monotonic() - started)

    def _span(self, key: str, attempt: int) -> AbstractContextManager[Span]:
        # A tracer that does nothing still takes a third of a reconcile that does nothing.
        if isinstance(self._tracer, NoOpTracer):
            return nullcontext(INVALID_SPAN)
        return self._tracer.start_as_current_span(
            f"reconcile {self.name}",
            attributes={"invoker.key": key, "invoker.attempt": attempt},
        )

    async def _reconcile(self, request: Request, span: Span) -> None:
        deadline = asyncio.timeout(self.timeout)
        try:
            async with deadline:
                result = await self._reconciler.reconcile(request)
        except Exception as error:  # noqa: BLE001 - a bug in a reconciler must not end its worker
            late = isinstance(error, TimeoutError) and deadline.expired()
            await self._failed(request, span, self._timed_out() if late else leading(error))
        else:
            self._succeeded(request, result)

    def _timed_out(self) -> RetryLater:
        return RetryLater("ReconcileTimeout", f"a reconcile took longer than {self.timeout:g} s")

    def _succeeded(self, request: Request, result: Result) -> None:
        self.queue.forget(request.key)
        if result.requeue_after is None:
            self.stats.results["success"] += 1
            return
        self.stats.results["requeue_after"] += 1
        priority = request.priority if result.priority is None else result.priority
        self.queue.add(request.key, priority=priority, delay=result.requeue_after)

    async def _failed(self, request: Request, span: Span, error: Exception) -> None:
        """Arrange the next try, then show it: what fails in showing cannot lose the try.

        The key is still in hand, so that nobody takes it up before it is shown.
        """
        if isinstance(error, FencedError):
            self.stats.results["fenced"] += 1
            self.queue.forget(request.key)
            log.info("shard lost, reconcile dropped", error=str(error))
            return
        failure = self._arrange(request.key, error)
        span.set_status(StatusCode.ERROR, failure.reason)
        try:
            async with asyncio.timeout(REPORT_SECONDS):
                await self._reconciler.report(request, failure)
        except Exception:
            log.warning("cannot report a failure", exc_info=True)

    def _arrange(self, key: Key, error: Exception) -> Failure:
        """Decide on the next try and queue it."""
        if is_conflict(error):
            self.stats.results["conflict"] += 1
            again = self.queue.add_after_failure(key, backoff=CONFLICT_BACKOFF)
            return self._failure("Conflict", type(error).__name__, str(error), again)
        match error:
            case Terminal():
                self.stats.results["terminal"] += 1
                attempt = self.queue.attempts(key) + 1
                self.queue.forget(key)
                return self._known("Terminal", error, (attempt, None))
            case Blocked():
                self.stats.results["blocked"] += 1
                return self._known("Blocked", error, self._blocked(key, error))
            case RetryLater():
                self.stats.results["error"] += 1
                return self._known(
                    "Retry", error, self.queue.add_after_failure(key, after=error.after)
                )
        return self._unexpected(key, error)

    def _blocked(self, key: Key, error: Blocked) -> tuple[int, float]:
        after = self._recheck if error.recheck_after is None else error.recheck_after
        again = self.queue.add_after_failure(key, priority=Priority.RESYNC, after=after)
        # To be blocked is no failure of the world: once it moves on, tries are quick again.
        self.queue.forget(key)
        return again

    def _unexpected(self, key: Key, error: Exception) -> Failure:
        self.stats.results["error"] += 1
        again = self.queue.add_after_failure(key)
        if isinstance(error, self._transient):
            log.warning("unavailable", error=type(error).__name__)
            return self._failure("Retry", "Unavailable", type(error).__name__, again)
        self.stats.panics += 1
        log.error("a reconciler's bug", exc_info=error)
        return self._failure("Retry", "InternalError", describe_bug(error), again)

    def _known(
        self, kind: RetryKind, error: ReconcileError, again: tuple[int, float | None]
    ) -> Failure:
        return self._failure(
            kind, error.reason, error.message, again, error.provider, error.request_id
        )

    def _failure(
        self,
        kind: RetryKind,
        reason: str,
        message: str,
        again: tuple[int, float | None],
        provider: str | None = None,
        request_id: str | None = None,
    ) -> Failure:
        attempt, delay = again
        next_at = None if delay is None else self._clock.now() + timedelta(seconds=delay)
        log.info("not converged", retry=kind, reason=reason, message=message, next_at=next_at)
        return Failure(kind, reason, message, attempt, next_at, provider, request_id)
