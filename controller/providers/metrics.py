"""What Prometheus is told about the providers; made once per registry, shared by the clients."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from controller.providers.breaker import Breaker, BreakerState

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60)
WAIT_BUCKETS = (0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300)


class ProviderMetrics:
    """The metrics of all providers.

    Args:
        registry: Where they are registered; a private one when not given.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = CollectorRegistry() if registry is None else registry
        both = ("provider", "operation")
        self._calls = Counter(
            "invoker_provider_calls_total",
            "Requests sent, by the status of the answer",
            (*both, "code"),
            registry=registry,
        )
        self._errors = Counter(
            "invoker_provider_errors_total",
            "Requests that failed, by the kind of error",
            (*both, "kind"),
            registry=registry,
        )
        self._duration = Histogram(
            "invoker_provider_duration_seconds",
            "From sending a request to its whole answer",
            both,
            buckets=BUCKETS,
            registry=registry,
        )
        self._throttled = Counter(
            "invoker_provider_throttled_total",
            "Requests that had to wait for the budget",
            both,
            registry=registry,
        )
        self._waits = Histogram(
            "invoker_provider_budget_wait_seconds",
            "What requests that had to wait for the budget waited",
            ("provider",),
            buckets=WAIT_BUCKETS,
            registry=registry,
        )
        self._left = Gauge(
            "invoker_provider_budget_left",
            "Requests that could be sent at once",
            ("provider",),
            registry=registry,
        )
        self._breaker = Gauge(
            "invoker_provider_breaker_state",
            "1 for the state that the provider's circuit breaker is in, 0 for the others",
            ("provider", "state"),
            registry=registry,
        )
        self._children: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}

    def watch(self, provider: str, left: Callable[[], float], breaker: Breaker) -> None:
        """Read a provider's budget and breaker whenever the metrics are."""
        self._left.labels(provider).set_function(left)
        for state in BreakerState:
            self._breaker.labels(provider, state.value).set_function(_is_in(breaker, state))

    def called(self, provider: str, operation: str, code: str, seconds: float) -> None:
        """Count a request and the time it took."""
        key = (provider, operation, code)
        children = self._children.get(key)
        if children is None:
            children = (self._calls.labels(*key), self._duration.labels(provider, operation))
            self._children[key] = children
        children[0].inc()
        children[1].observe(seconds)

    def failed(self, provider: str, operation: str, kind: str) -> None:
        """Count a failure."""
        self._errors.labels(provider, operation, kind).inc()

    def throttled(self, provider: str, operation: str, seconds: float) -> None:
        """Count a wait for the budget."""
        self._throttled.labels(provider, operation).inc()
        self._waits.labels(provider).observe(seconds)


def _is_in(breaker: Breaker, state: BreakerState) -> Callable[[], float]:
    return lambda: float(breaker.state is state)
