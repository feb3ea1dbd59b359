import asyncio
from collections.abc import Awaitable, Callable, Iterator

import aiohttp
import httpx
import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from controller.providers import (
    Breaker,
    Budget,
    Call,
    CircuitOpen,
    Gear,
    NotFound,
    Priority,
    ProviderError,
    ProviderMetrics,
    Rate,
    RateLimited,
    Unavailable,
)
from controller.providers import http as module
from controller.providers.fly import Fly
from tests.providers.clock import now, run
from tests.providers.fakes import AMPLE, TOKEN, Script, ample, fly, reply

CALL = Call(Priority.USER)
MACHINE = {"id": "3d8d9930b46189", "state": "started", "events": None, "config": None}


def disconnected() -> httpx.ConnectTimeout:
    """How httpx-aiohttp reports a connection that broke after the request was sent."""
    error = httpx.ConnectTimeout("Server disconnected")
    error.__cause__ = aiohttp.ServerDisconnectedError()
    return error


async def stop(client: Fly) -> None:
    """Change something."""
    await client.stop_machine("app", "m", call=CALL)


async def get(client: Fly) -> None:
    """Read something."""
    await client.get_machine("app", "m", call=CALL)


def failure(
    act: Callable[[Fly], Awaitable[None]],
    script: httpx.AsyncBaseTransport,
    gear: Gear | None = None,
) -> ProviderError:
    """Return what a call ends with."""

    async def main() -> ProviderError:
        with pytest.raises(ProviderError) as caught:
            await act(fly(script, gear))
        return caught.value

    return run(main)


@pytest.mark.parametrize(
    ("broken", "sent", "unknown"),
    [
        (httpx.ConnectError("refused"), False, False),
        (httpx.ConnectTimeout("slow"), False, False),
        (httpx.PoolTimeout("full"), False, False),
        (httpx.ProxyError("no"), False, False),
        (httpx.WriteError("broken pipe"), None, True),
        (httpx.WriteTimeout("slow"), None, True),
        (httpx.ReadTimeout("slow"), None, True),
        (httpx.TimeoutException("slow"), None, True),
        (httpx.ReadError("reset"), True, True),
        (httpx.RemoteProtocolError("disconnected"), True, True),
        (disconnected(), True, True),
        (ConnectionResetError("reset"), None, True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_lost_mutation_may_have_done(
    broken: Exception,
    sent: bool | None,  # noqa: FBT001 - a table
    unknown: bool,  # noqa: FBT001 - a table
) -> None:
    """A mutation whose request may have arrived says so, one that cannot have arrived does not."""
    error = failure(stop, Script(broken))

    assert isinstance(error, Unavailable)
    assert (error.sent, error.outcome_unknown) == (sent, unknown)


def test_a_lost_read_has_no_unknown_outcome() -> None:
    """A read changes nothing, so nothing about it is unknown."""
    error = failure(get, Script(httpx.ReadError("reset")))

    assert isinstance(error, Unavailable)
    assert not error.outcome_unknown


@pytest.mark.parametrize("broken", [reply(500), reply(503), httpx.ReadError("reset")])
def test_a_mutation_is_sent_once(broken: httpx.Response | Exception) -> None:
    """No mutation is ever repeated by the client."""
    script = Script(broken)
    failure(stop, script)

    assert len(script.asked) == 1


def test_reads_are_tried_three_times() -> None:
    """A read that fails quickly is tried again, with pauses on the loop's time."""
    script = Script(reply(503), httpx.ConnectError("refused"), reply(200, MACHINE))

    async def act() -> float:
        await get(fly(script))
        return now()

    later = run(act)

    assert len(script.asked) == 3
    assert 0 < later < 1


def test_reads_give_up() -> None:
    """The third failure of a read is the caller's."""
    script = Script(reply(503))
    failure(get, script)

    assert len(script.asked) == 3


def test_refusals_are_not_tried_again() -> None:
    """An answer is an answer."""
    script = Script(reply(404, {"error": "not found"}))

    assert isinstance(failure(get, script), NotFound)
    assert len(script.asked) == 1


class Hanging(Script):
    """Accepts a request and never answers."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Hang."""
        self.asked.append(request)
        await asyncio.Event().wait()
        raise AssertionError


@pytest.mark.parametrize(("act", "unknown"), [(stop, True), (get, False)])
def test_the_deadline_ends_a_hanging_call(
    act: Callable[[Fly], Awaitable[None]],
    unknown: bool,  # noqa: FBT001 - a table
) -> None:
    """Twenty seconds are all that a call gets, and a timeout is not tried again."""
    hanging = Hanging()

    async def main() -> tuple[float, Unavailable]:
        with pytest.raises(Unavailable) as caught:
            await act(fly(hanging))
        return now(), caught.value

    later, error = run(main)

    assert (later, len(hanging.asked)) == (20, 1)
    assert (error.timed_out, error.sent, error.outcome_unknown) == (True, None, unknown)


def test_a_wait_may_last_its_own_time() -> None:
    """The deadline of a wait is what the provider was given, and five seconds."""

    async def main() -> float:
        with pytest.raises(Unavailable):
            await fly(Hanging()).wait("app", "m", state="started", timeout=60, call=CALL)
        return now()

    assert run(main) == 65


def test_an_unreadable_answer_to_a_mutation_leaves_its_outcome_unknown() -> None:
    """A 200 that cannot be read may still have created something."""

    async def act(client: Fly) -> None:
        await client.create_machine("app", name="main", region="ams", config={}, call=CALL)

    error = failure(act, Script(httpx.Response(200, content=b"<html>")))

    assert isinstance(error, Unavailable)
    assert error.outcome_unknown


class ShardLostError(Exception):
    """What the engine's guard raises."""


def test_the_guard_is_asked_after_the_waiting() -> None:
    """The guard decides at the moment of sending, not before the queue for the budget."""
    script, asked = Script(), list[tuple[float, int]]()
    gear = Gear(budget=Budget(default=Rate(1, 1), wide=AMPLE))

    async def act() -> None:
        client = fly(script, gear)
        call = Call(Priority.USER, lambda: asked.append((now(), len(script.asked))))
        await client.stop_machine("app", "m", call=call)
        await client.stop_machine("app", "m", call=call)

    run(act)

    assert asked == [(0, 0), (1, 1)]


def test_the_guards_refusal_passes_unwrapped_and_nothing_is_sent() -> None:
    """A lost shard sends nothing, and does not look like a provider's failure."""
    script = Script()

    def guard() -> None:
        raise ShardLostError

    async def act() -> int:
        client = fly(script)
        with pytest.raises(ShardLostError):
            await client.stop_machine("app", "m", call=Call(guard=guard))
        return len(script.asked)

    assert run(act) == 0


def test_reads_ask_no_guard() -> None:
    """Whoever lost a shard may still look."""

    def guard() -> None:
        raise ShardLostError

    async def act() -> str:
        client = fly(Script(reply(200, MACHINE)))
        return (await client.get_machine("app", "m", call=Call(guard=guard))).id

    assert run(act) == MACHINE["id"]


def test_a_429_pauses_its_own_bucket() -> None:
    """Retry-After holds the same action on the same object back, and nothing else."""
    script = Script(reply(429, {"error": "rate limit exceeded"}, retry_after="7"), reply())

    async def act() -> tuple[float | None, float, float]:
        client = fly(script)
        with pytest.raises(RateLimited) as caught:
            await client.stop_machine("app", "a", call=CALL)
        await client.stop_machine("app", "b", call=CALL)
        other = now()
        await client.stop_machine("app", "a", call=CALL)
        return caught.value.retry_after, other, now()

    assert run(act) == (7, 0, 7)


def test_a_long_pause_is_told_instead_of_waited_for() -> None:
    """A worker is not held for minutes: the caller learns how long, and nothing is sent."""
    script = Script(reply(429, {}, retry_after="300"))

    async def act() -> tuple[float | None, bool | None, int]:
        client = fly(script)
        with pytest.raises(RateLimited):
            await client.stop_machine("app", "a", call=CALL)
        await asyncio.sleep(100)
        with pytest.raises(RateLimited) as caught:
            await client.stop_machine("app", "a", call=CALL)
        return caught.value.retry_after, caught.value.sent, len(script.asked)

    assert run(act) == (200, False, 1)


def test_an_open_breaker_asks_nobody() -> None:
    """During an outage calls fail at once, without a request and without an unknown outcome."""
    script = Script(reply(503))
    gear = Gear(budget=ample(), breaker=Breaker(threshold=2))

    async def act() -> tuple[CircuitOpen, int]:
        client = fly(script, gear)
        for machine in "ab":
            with pytest.raises(Unavailable):
                await client.stop_machine("app", machine, call=CALL)
        with pytest.raises(CircuitOpen) as caught:
            await client.stop_machine("app", "c", call=CALL)
        return caught.value, len(script.asked)

    error, sent = run(act)

    assert (error.sent, error.outcome_unknown, sent) == (False, False, 2)


def test_a_cancelled_probe_lets_the_next_one_try() -> None:
    """Cancellation in the middle of a call leaves breaker and budget usable."""
    hanging = Hanging()
    gear = Gear(budget=ample(), breaker=Breaker(threshold=2))

    async def act() -> bool:
        client = fly(hanging, gear)
        gear.breaker.failed("a")
        gear.breaker.failed("b")
        await asyncio.sleep(20)
        probe = asyncio.ensure_future(stop(client))
        await asyncio.sleep(1)
        probe.cancel()
        await asyncio.wait([probe])
        return probe.cancelled() and gear.breaker.admit()

    assert run(act)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """The spans of a test."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(module, "tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def test_what_is_told_about_a_call(spans: InMemorySpanExporter) -> None:
    """Span, metrics and log name the operation, the outcome and the provider's request id."""
    registry = CollectorRegistry()
    gear = Gear(budget=ample(), metrics=ProviderMetrics(registry))
    broken = reply(409, {"error": "what?"}, fly_request_id="01ID")

    with structlog.testing.capture_logs() as logs:
        failure(stop, Script(broken), gear)

    (span,) = spans.get_finished_spans()
    labels = {"provider": "fly", "operation": "machines.stop"}
    assert span.name == "fly machines.stop"
    assert (span.attributes or {})["invoker.provider.request_id"] == "01ID"
    assert logs[0]["provider_request_id"] == "01ID"
    samples = {
        "invoker_provider_calls_total": {"code": "409"},
        "invoker_provider_errors_total": {"kind": "UnclassifiedConflict"},
        "invoker_provider_duration_seconds_count": {},
    }
    assert [registry.get_sample_value(n, {**labels, **more}) for n, more in samples.items()] == [
        1,
        1,
        1,
    ]
    assert registry.get_sample_value("invoker_provider_budget_left", {"provider": "fly"}) == (
        pytest.approx(1e6, rel=1e-3)
    )


def test_the_token_is_told_to_nobody(spans: InMemorySpanExporter) -> None:
    """Neither error, representation, log, span nor metric carries the token or a body."""
    registry = CollectorRegistry()
    gear = Gear(budget=ample(), metrics=ProviderMetrics(registry))
    script = Script(reply(400, {"error": f"bad token {TOKEN}"}), httpx.ReadError(f"{TOKEN}"))
    seen = list[str]()

    async def act() -> None:
        client = fly(script, gear)
        seen.append(repr(client))
        for _ in range(2):
            with pytest.raises(ProviderError) as caught:
                await client.create_machine(
                    "app", name="main", region="ams", config={"env": {"K": "hush"}}, call=CALL
                )
            seen.extend([repr(caught.value), str(caught.value)])

    with structlog.testing.capture_logs() as logs:
        run(act)

    seen.append(str(logs))
    seen.extend(span.to_json() for span in spans.get_finished_spans())
    seen.extend(str(metric) for metric in registry.collect())
    assert script.asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert [text for text in seen if TOKEN in text or "hush" in text] == []
