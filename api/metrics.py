"""The API's metrics, in a registry of their own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from starlette.requests import Request

# From a cached lookup to the longest that a request may take, so that p50, p95 and p99 of quick and
# slow routes each fall between two bounds that are not far apart.
BUCKETS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.15,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    25.0,
)
# Methods come from the client; others than these share one label.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """What is counted.

    Attributes:
        registry: What /metrics shows.
        requests: Requests by method, route template and status.
        latency: Seconds from request to answer, by method and route template.
        in_flight: Requests being served.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "invoker_api_requests",
            "Requests served.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.latency = Histogram(
            "invoker_api_request_duration_seconds",
            "Seconds from request to answer.",
            ("method", "route"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "invoker_api_requests_in_flight", "Requests being served.", registry=self.registry
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one served request."""
        label = method if method in METHODS else "OTHER"
        self.requests.labels(label, route, str(status)).inc()
        self.latency.labels(label, route).observe(seconds)


def metrics_of(request: Request) -> Metrics:
    """The metrics of the application that a request came to."""
    metrics: Metrics = request.app.state.metrics
    return metrics
