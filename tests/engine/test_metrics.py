"""Metrics: the field's names, and numbers that mean what the field means."""

import asyncio
import random

from prometheus_client import CollectorRegistry, generate_latest

from controller.engine import (
    Blocked,
    EngineMetrics,
    EventRecorder,
    Leader,
    LeaseKeeper,
    Request,
    RetryLater,
    Shards,
    Timing,
)
from controller.engine.stats import Histogram
from tests.engine.fakes import FakeEvents, FakeLeases, ScriptedReconciler, controller, key
from tests.support.virtual_time import clock, run


async def _scrape() -> tuple[CollectorRegistry, str]:
    async def slow(_: Request) -> None:
        await asyncio.sleep(50)

    rng = random.Random(1)  # noqa: S311 - to repeat
    view = FakeLeases(rng).seen_by(lambda: False)
    keeper = LeaseKeeper(view, "me", Timing(), asyncio.get_running_loop().time)
    shards = Shards(keeper, rng=rng)
    subject = controller(ScriptedReconciler([RetryLater("X"), Blocked("Y"), ValueError(), slow]))
    registry = CollectorRegistry()
    EngineMetrics(
        registry,
        controllers=[subject],
        shards=shards,
        leaders=[Leader("gc", lambda _: asyncio.sleep(1), keeper, rng=rng)],
        recorder=EventRecorder(FakeEvents(), clock()),
    )
    tasks = [asyncio.ensure_future(subject.run()), asyncio.ensure_future(shards.run())]
    for name in "abcd":
        subject.push(key(name))
    await asyncio.sleep(30)
    text = generate_latest(registry).decode()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return registry, text


def test_names_and_values() -> None:
    """Dashboards made for controller-runtime need only another prefix."""
    _, text = run(_scrape, limit_seconds=100)

    for line in (
        'invoker_controller_runtime_reconcile_total{controller="thing",result="error"} 2.0',
        'invoker_controller_runtime_reconcile_total{controller="thing",result="blocked"} 1.0',
        'invoker_controller_runtime_reconcile_errors_total{controller="thing"} 3.0',
        'invoker_controller_runtime_reconcile_panics_total{controller="thing"} 1.0',
        'invoker_controller_runtime_max_concurrent_reconciles{controller="thing"} 2.0',
        'invoker_controller_runtime_active_workers{controller="thing"} 1.0',
        'invoker_controller_runtime_reconcile_time_seconds_count{controller="thing"} 5.0',
        'invoker_workqueue_depth{name="thing"} 0.0',
        'invoker_workqueue_delayed{name="thing"} 1.0',
        'invoker_workqueue_adds_total{name="thing"} 6.0',
        'invoker_workqueue_retries_total{name="thing"} 3.0',
        'invoker_workqueue_longest_running_processor_seconds{name="thing"} 30.0',
        'invoker_workqueue_unfinished_work_seconds{name="thing"} 30.0',
        'invoker_workqueue_queue_duration_seconds_bucket{le="0.0001",name="thing"} 6.0',
        'invoker_workqueue_work_duration_seconds_count{name="thing"} 5.0',
        'invoker_shard_owned{shard="15"} 1.0',
        'invoker_leader_election_master_status{name="gc"} 0.0',
        "invoker_events_dropped_total 0.0",
    ):
        assert line in text, text


def test_histogram_bounds_are_inclusive() -> None:
    """A value on a bound is in its bucket, as Prometheus defines it."""
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 3.0):
        histogram.observe(value)

    assert [("1.0", 2), ("2.0", 3), ("+Inf", 4)] == histogram.buckets()
    assert histogram.sum == 6.0
