"""Controllers: what follows from each outcome, and what people get to see of it."""

import asyncio
from datetime import timedelta

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from controller.engine import (
    Blocked,
    Controller,
    Grip,
    Priority,
    Request,
    Result,
    RetryLater,
    Terminal,
)
from crds.errors import AlreadyExistsError, ConflictError, FencedError, NotFoundError
from crds.meta import Key
from crds.store import Fence
from tests.engine.fakes import ScriptedReconciler, controller, key, queue
from tests.support.virtual_time import START, clock, run

A, B = key("a"), key("b")


async def _live(subject: Controller, seconds: float, *keys: Key) -> None:
    """Queue keys, let the controller work for a while, stop it."""
    async with asyncio.TaskGroup() as group:
        group.create_task(subject.run())
        for each in keys:
            subject.push(each)
        await asyncio.sleep(seconds)
        subject.stop()


def _play(
    *script: object, seconds: float = 1000, transient: tuple[type[Exception], ...] = ()
) -> tuple[ScriptedReconciler, Controller]:
    reconciler = ScriptedReconciler([*script])  # type: ignore[list-item]  # lines of a script

    async def main() -> Controller:
        subject = controller(reconciler, transient=transient)
        await _live(subject, seconds, A)
        return subject

    return reconciler, run(main, limit_seconds=seconds + 300)


def test_success_is_not_repeated() -> None:
    """A converged key waits for an event."""
    reconciler, subject = _play()

    assert len(reconciler.requests) == 1
    assert subject.stats.results == {"success": 1}


def test_requeue_after_is_kept() -> None:
    """A result may ask to look again, after its time and at the item's priority."""
    reconciler, subject = _play(Result(requeue_after=30))

    assert reconciler.times == [0.0, 30.0]
    assert [Priority.EVENT] * 2 == [request.priority for request in reconciler.requests]
    assert subject.stats.results == {"requeue_after": 1, "success": 1}


def test_lowest_priority_can_be_asked_for() -> None:
    """RESYNC is the number 0, and still counts as given."""
    reconciler, _ = _play(Result(requeue_after=1, priority=Priority.RESYNC))

    assert reconciler.requests[1].priority is Priority.RESYNC


def test_retry_backs_off_and_is_shown() -> None:
    """A failure is shown with its attempt and the time of the next try, which is kept."""
    reconciler, subject = _play(*[RetryLater("NoCapacity", "later")] * 4)

    assert [1, 2, 3, 4] == [failure.attempt for failure in reconciler.failures]
    assert [0, 1, 2, 3, 4] == [request.attempt for request in reconciler.requests]
    for failure, when in zip(reconciler.failures, reconciler.times[1:], strict=True):
        assert ("Retry", "NoCapacity", "later") == (failure.kind, failure.reason, failure.message)
        assert failure.next_at is not None
        assert abs(failure.next_at - START - timedelta(seconds=when)) < timedelta(milliseconds=1)
    assert subject.queue.attempts(A) == 0


def test_retry_after_and_the_providers_words_are_kept() -> None:
    """What the provider said comes to the status, and its Retry-After is waited."""
    error = RetryLater("RateLimited", "slow down", after=40, provider="fly", request_id="01J")

    reconciler, _ = _play(error)

    assert 40 <= reconciler.times[1] <= 44
    assert (reconciler.failures[0].provider, reconciler.failures[0].request_id) == ("fly", "01J")


def test_blocked_is_looked_at_again_with_patience() -> None:
    """A blocked key is checked once in a while, and then retried quickly again."""
    reconciler, subject = _play(
        Blocked("QuotaReached"), Blocked("QuotaReached", recheck_after=100), RetryLater("Soon")
    )

    assert 600 <= reconciler.times[1] <= 660
    assert 100 <= reconciler.times[2] - reconciler.times[1] <= 110
    assert reconciler.times[3] - reconciler.times[2] <= 0.5
    assert reconciler.requests[1].priority is Priority.RESYNC
    assert ["Blocked", "Blocked", "Retry"] == [failure.kind for failure in reconciler.failures]
    assert subject.stats.results["blocked"] == 2


def test_terminal_is_not_retried() -> None:
    """A terminal error is shown without a next try, and nothing follows by itself."""
    reconciler, subject = _play(Terminal("InvalidSpec", "size: no such size"))

    assert len(reconciler.requests) == 1
    assert [("Terminal", None)] == [(each.kind, each.next_at) for each in reconciler.failures]
    assert subject.stats.results == {"terminal": 1}


@pytest.mark.parametrize("error", [ConflictError, NotFoundError, AlreadyExistsError])
def test_conflict_is_retried_at_once(error: type[Exception]) -> None:
    """Rows that moved are read again within moments, and that is no error."""
    reconciler, subject = _play(error("it moved"))

    assert reconciler.times[1] <= 0.05
    assert reconciler.failures[0].kind == "Conflict"
    assert subject.stats.results == {"conflict": 1, "success": 1}
    assert subject.stats.errors == 0


def test_fenced_is_dropped() -> None:
    """A key that is not ours any more is neither retried nor shown."""
    reconciler, subject = _play(RetryLater("First"), FencedError("shard/3"))

    assert len(reconciler.requests) == 2
    assert len(reconciler.failures) == 1
    assert subject.queue.attempts(A) == 0
    assert subject.stats.results["fenced"] == 1


def test_bug_is_retried_and_its_text_kept_secret() -> None:
    """An error that nobody raised on purpose becomes a failure; the status tells only where."""
    reconciler, subject = _play(ValueError("token=hunter2"))

    assert len(reconciler.requests) == 2
    assert reconciler.failures[0].reason == "InternalError"
    assert reconciler.failures[0].message.startswith("ValueError in fakes.py:")
    assert "hunter2" not in reconciler.failures[0].message
    assert subject.stats.panics == 1


def test_known_outage_is_no_bug() -> None:
    """Exceptions declared as transient are retried without a panic."""
    reconciler, subject = _play(OSError("gone"), transient=(OSError,))

    assert reconciler.failures[0].reason == "Unavailable"
    assert subject.stats.panics == 0


def test_parallel_steps_fail_as_one() -> None:
    """Of errors raised together the one that matters most decides, then the one due first."""
    together = ExceptionGroup(
        "steps", [Terminal("T"), RetryLater("Late", after=90), RetryLater("Soon", after=5)]
    )
    fenced = ExceptionGroup("steps", [ValueError(), ExceptionGroup("", [FencedError()])])

    reconciler, subject = _play(together, fenced)

    assert ["Soon"] == [failure.reason for failure in reconciler.failures]
    assert subject.stats.results["fenced"] == 1


def test_report_error_does_not_lose_the_retry() -> None:
    """When the failure cannot be shown, it is retried all the same."""
    reconciler = ScriptedReconciler([RetryLater("X")], report_error=ConnectionError())

    async def main() -> None:
        await _live(controller(reconciler), 10, A)

    run(main, limit_seconds=100)

    assert len(reconciler.requests) == 2


def test_failure_is_shown_before_the_next_try() -> None:
    """However long the report takes, the key is not taken up before it ended."""
    order: list[str] = []

    class Slow(ScriptedReconciler):
        async def reconcile(self, request: Request) -> Result:
            order.append("reconcile")
            return await super().reconcile(request)

        async def report(self, *_: object) -> None:
            await asyncio.sleep(20)
            order.append("report")

    async def main() -> None:
        await _live(controller(Slow([RetryLater("X")])), 60, A)

    run(main, limit_seconds=100)

    assert order == ["reconcile", "report", "reconcile"]


def test_timeout_is_a_failure() -> None:
    """A reconcile that hangs is ended after its time, and its worker lives on."""

    async def hang(_: Request) -> None:
        await asyncio.sleep(1e6)

    reconciler, subject = _play(hang)

    assert reconciler.failures[0].reason == "ReconcileTimeout"
    assert 120 < reconciler.times[1] < 121
    assert subject.stats.results == {"error": 1, "success": 1}


def test_a_reconcilers_own_timeout_is_a_bug() -> None:
    """A TimeoutError that the reconciler let through is not mistaken for ours."""
    reconciler, _ = _play(TimeoutError())

    assert reconciler.failures[0].reason == "InternalError"


def test_stuck_reconciles_are_counted() -> None:
    """A reconcile that ignores its cancellation shows as stuck."""

    async def ignore(_: Request) -> None:
        for _n in range(3):
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                continue

    async def main() -> list[int]:
        subject = controller(ScriptedReconciler([ignore]))
        async with asyncio.TaskGroup() as group:
            group.create_task(subject.run())
            subject.push(A)
            await asyncio.sleep(100)
            early = subject.stuck
            await asyncio.sleep(100)
            late = subject.stuck
            subject.stop()
        return [early, late]

    assert run(main, limit_seconds=10_000) == [0, 1]


def test_stop_lets_workers_finish() -> None:
    """At shutdown what is in hand is finished, what waits is not begun."""

    async def slow(_: Request) -> None:
        await asyncio.sleep(10)

    reconciler = ScriptedReconciler([slow, slow, slow])

    async def main() -> float:
        subject = controller(reconciler, workers=2)
        for name in "abcde":
            subject.push(key(name))
        async with asyncio.TaskGroup() as group:
            group.create_task(subject.run())
            await asyncio.sleep(1)
            subject.stop()
        return asyncio.get_running_loop().time()

    assert run(main, limit_seconds=100) == 10
    assert len(reconciler.requests) == 2


class OwnsOnly:
    """Owns some keys."""

    def __init__(self, *keys: Key) -> None:
        self.keys = set(keys)
        self.in_hand: list[Key] = []

    def owns(self, key: Key) -> bool:
        """Whether it is one of those."""
        return key in self.keys

    def begin(self, key: Key) -> Grip | None:
        """A grip on those."""
        if key not in self.keys:
            return None
        self.in_hand.append(key)
        return Grip(Fence("shard/1", 7))

    def end(self, key: Key) -> None:
        """Out of hand."""
        self.in_hand.remove(key)


def test_only_own_keys_are_reconciled() -> None:
    """Others' keys are neither queued nor, if lost while they waited, begun."""
    reconciler = ScriptedReconciler([RuntimeError()])
    ownership = OwnsOnly(A, B)

    async def main() -> Controller:
        subject = controller(reconciler, ownership=ownership)
        for each in (A, B, key("c")):
            subject.push(each)
        ownership.keys.discard(B)
        await _live(subject, 0.1)
        return subject

    subject = run(main, limit_seconds=100)

    assert [(A, Fence("shard/1", 7))] == [(r.key, r.fence) for r in reconciler.requests]
    assert subject.stats.results["dropped"] == 1
    assert ownership.in_hand == []


def test_span_is_linked_to_the_wish() -> None:
    """Each reconcile has a span, linked to the request that made the wish; rubbish is ignored."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    wish = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    def link(request: Request) -> None:
        for traceparent in (wish, None, "rubbish"):
            request.link(traceparent)

    async def main() -> None:
        subject = Controller(
            "thing",
            ScriptedReconciler([link, Terminal("Wrong")]),
            queue=queue(),
            clock=clock(),
            workers=1,
            tracer=provider.get_tracer("test"),
        )
        await _live(subject, 1, A, B)

    run(main, limit_seconds=10)
    first, second = exporter.get_finished_spans()

    assert first.name == "reconcile thing"
    assert [0xB7AD6B7169203331] == [link.context.span_id for link in first.links]
    assert second.status.description == "Wrong"
