"""Counts that cost nanoseconds where they are made; `metrics` turns them into metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

# The buckets of client-go's workqueue, in seconds.
QUEUE_BUCKETS = (1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1000.0)
# Those of controller-runtime's reconcile time, thinned out.
RECONCILE_BUCKETS = (
    0.001,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)


class Histogram:
    """How often a value fell into each bucket.

    Args:
        bounds: The buckets' upper bounds, inclusive, ascending; +Inf follows by itself.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, int]]:
        """Cumulative counts by upper bound, as Prometheus wants them."""
        total, result = 0, []
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            total += count
            result.append((bound, total))
        return result


@dataclass(slots=True)
class QueueStats:
    """What a queue has done since it was made.

    Attributes:
        adds: Keys that were added, delayed ones when they came due.
        retries: Keys that were added after a failure.
        queue_duration: Seconds from queued to taken.
        work_duration: Seconds from taken to done.
    """

    adds: int = 0
    retries: int = 0
    queue_duration: Histogram = field(default_factory=lambda: Histogram(QUEUE_BUCKETS))
    work_duration: Histogram = field(default_factory=lambda: Histogram(QUEUE_BUCKETS))


@dataclass(slots=True)
class ControllerStats:
    """What a controller has done since it was made.

    Attributes:
        results: How reconciles ended, by result.
        panics: Errors that nobody raised on purpose.
        time: Seconds a reconcile took.
    """

    results: Counter[str] = field(default_factory=Counter)
    panics: int = 0
    time: Histogram = field(default_factory=lambda: Histogram(RECONCILE_BUCKETS))

    @property
    def errors(self) -> int:
        """Reconciles that ended in an error; conflicts and lost shards are none."""
        return sum(self.results[name] for name in ("error", "blocked", "terminal"))
