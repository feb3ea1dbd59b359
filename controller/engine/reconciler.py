"""What the engine asks of a reconciler, and what it hands to it."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import NamedTuple, Protocol

from opentelemetry.trace import INVALID_SPAN, Span, format_trace_id
from structlog.contextvars import bind_contextvars

from controller.engine.outcome import Failure
from controller.engine.queue import Priority
from controller.engine.result import Result
from crds.meta import Key
from crds.store import Fence
from crds.tracing import link, span_context


def _pass() -> None:
    """Nobody else can act on the key."""


def _for_ever() -> float:
    """The right never ends."""
    return inf


class Grip(NamedTuple):
    """The right to act on a key.

    Attributes:
        fence: Goes with every write; None where nobody shares the keys.
        guard: Raises FencedError once the right is not surely ours any more; asked before
            every effect outside.
        remaining: For how many seconds it surely is ours, unless it is renewed.
    """

    fence: Fence | None = None
    guard: Callable[[], None] = _pass
    remaining: Callable[[], float] = _for_ever


class Request:
    """One reconcile of one key.

    Attributes:
        key: What to reconcile.
        attempt: How many times it failed in a row before.
        priority: Who waits for the outcome.
        fence: Goes with every write.
        guard: Raises FencedError once the key is not surely ours any more.
        remaining: For how many seconds it surely is.
    """

    __slots__ = ("_span", "attempt", "fence", "guard", "key", "priority", "remaining")

    def __init__(
        self,
        key: Key,
        *,
        attempt: int = 0,
        priority: Priority = Priority.EVENT,
        grip: Grip | None = None,
        span: Span = INVALID_SPAN,
    ) -> None:
        self.key = key
        self.attempt = attempt
        self.priority = priority
        self.fence, self.guard, self.remaining = grip or Grip()
        self._span = span

    def link(self, traceparent: str | None) -> None:
        """Tie the reconcile's span and log to the request that made the wish (W3C traceparent)."""
        link(self._span, traceparent)
        if (wish := span_context(traceparent)) is not None:
            bind_contextvars(wish_trace_id=format_trace_id(wish.trace_id))


class Reconciler(Protocol):
    """Makes the world what a row says."""

    async def reconcile(self, request: Request) -> Result:
        """Read everything anew and take the next steps; may run again at any point.

        Raises:
            ReconcileError: It did not converge.
        """

    async def report(self, request: Request, failure: Failure) -> None:
        """Show a failure where people look; the next try is arranged already."""


class Ownership(Protocol):
    """Says which keys are this replica's."""

    def owns(self, key: Key) -> bool:
        """Whether new work on the key may begin here."""

    def begin(self, key: Key) -> Grip | None:
        """Take a key in hand, until `end`; None when it is not ours."""

    def end(self, key: Key) -> None:
        """Put a key back that `begin` gave."""


class SoleOwner:
    """Owns every key: for one replica alone, and for tests."""

    def owns(self, key: Key) -> bool:  # noqa: ARG002 - all keys are alike
        """Always."""
        return True

    def begin(self, key: Key) -> Grip | None:  # noqa: ARG002 - all keys are alike
        """A grip without a fence."""
        return Grip()

    def end(self, key: Key) -> None:
        """Nothing to do."""
