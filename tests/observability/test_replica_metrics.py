"""What a replica tells beside the fleet: the database, events, leaks, breakers."""

from __future__ import annotations

import asyncio
from collections import Counter
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from controller.engine import EventRecorder
from controller.metrics import DatabaseWatch, EventMetrics, LeakMetrics
from controller.providers import Breaker, BreakerState, ProviderMetrics
from crds.meta import Key
from crds.store.database import make_pool
from tests.engine.fakes import FakeEvents
from tests.support.virtual_time import clock, run


@pytest.mark.parametrize(
    ("answers", "up"), [(0.1, 1), (3600, 0), (None, 0)], ids=["answers", "hangs", "refuses"]
)
def test_whether_the_database_answers(answers: float | None, up: float) -> None:
    """It is up when it answers in time; a hang and a refusal are the same to who waits."""
    registry = CollectorRegistry()

    async def ping() -> None:
        if answers is None:
            raise OSError
        await asyncio.sleep(answers)

    async def main() -> None:
        watch = DatabaseWatch(ping, make_pool("postgresql:///", 1), registry)
        await watch.look()

    run(main, limit_seconds=60)

    answered = registry.get_sample_value("invoker_database_ping_seconds_count")
    assert (up, up) == (registry.get_sample_value("invoker_database_up"), answered)


def test_events_are_counted_by_reason() -> None:
    """Also those over the limit; reasons that nobody looks for share one word."""
    registry = CollectorRegistry()

    async def main() -> None:
        recorder = EventRecorder(FakeEvents(), clock())
        EventMetrics(recorder, registry)
        for number in range(100):
            key = Key("Machine", "alice", "main")
            recorder.event(key, UUID(int=1), "Normal", "Adopted", f"number {number}")
            recorder.event(key, UUID(int=1), "Normal", f"Reason{number}", "")

    run(main, limit_seconds=60)

    counts = {
        reason: registry.get_sample_value("invoker_events_total", {"reason": reason})
        for reason in ("Adopted", "Other", "Crashed")
    }
    assert counts == {"Adopted": 100, "Other": 100, "Crashed": 0}


def test_leaks_are_shown_by_who_looks() -> None:
    """What went is not shown as there, and what another replica sees not as ours."""
    registry = CollectorRegistry()
    leaks = LeakMetrics(registry)

    def orphans(thing: str) -> float | None:
        return registry.get_sample_value("invoker_orphans", {"thing": thing})

    leaks.saw(Counter(app=2, volume=1))
    leaks.removed("volume")
    leaks.refused()
    first = (orphans("app"), orphans("volume"))
    leaks.saw(Counter(app=1))
    second = (orphans("app"), orphans("volume"))
    leaks.forget()

    assert ((2, 1), (1, 0)) == (first, second)
    assert orphans("app") is None
    assert registry.get_sample_value("invoker_orphans_removed_total", {"thing": "volume"}) == 1
    assert registry.get_sample_value("invoker_collections_refused_total") == 1


def test_a_breaker_is_in_one_state() -> None:
    """The gauge is 1 for the state that the breaker is in, and 0 for the others."""
    registry = CollectorRegistry()
    breaker = Breaker(threshold=2)
    ProviderMetrics(registry).watch("fly", lambda: 5.0, breaker)

    def state() -> str:
        values = {
            each.value: registry.get_sample_value(
                "invoker_provider_breaker_state", {"provider": "fly", "state": each.value}
            )
            for each in BreakerState
        }
        assert Counter(values.values()) == {0: 2, 1: 1}
        return max(values, key=lambda name: values[name] or 0)

    async def main() -> list[str]:
        seen = [state()]
        breaker.failed("a")
        breaker.failed("b")
        seen.append(state())
        await asyncio.sleep(20)
        breaker.admit()
        return [*seen, state()]

    assert ["closed", "open", "half-open"] == run(main, limit_seconds=60)
