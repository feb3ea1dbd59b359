"""Fly's managed Prometheus: what machines use, and what they tell about themselves.

The metrics' and labels' names are those of Fly's documentation (its page on metrics).
The platform scrapes every 15 seconds; here a query scrapes what is older than that, so that
nothing is scraped for nobody.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from deploy.local.simulators.fly.core import CloudCore
from deploy.local.simulators.fly.promql import Labels, QueryError, evaluate
from deploy.local.simulators.fly.state import FlyError, Machine
from deploy.local.simulators.fly.usage import Usage

_EVERY_SECONDS = 15.0
_STALE_SECONDS = 60.0
_KEPT_SAMPLES = 240  # an hour of them
_MIB = 1024 * 1024
_TICKS = 100  # of fly_instance_cpu, in a second

Sample = tuple[str, dict[str, str], float]


class PrometheusError(FlyError):
    """A refusal in Prometheus' shape."""

    def body(self) -> dict[str, str]:
        """Return the answer's body."""
        return {"status": "error", "errorType": "bad_data", "error": self.error}


class Prometheus(CloudCore):
    """`GET /prometheus/{org}/api/v1/query`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._series: dict[str, dict[Labels, deque[tuple[float, float]]]] = {}
        self._scraped_at: float | None = None

    async def query_metrics(self, org: str, query: str) -> dict[str, Any]:
        """Answer an instant query.

        Raises:
            FlyError: 403 for another organization.
            PrometheusError: 400 for a query that is not understood.
        """
        if org not in {self.org, "personal"}:
            raise FlyError(403, "unauthorized")
        await self._scrape()
        try:
            found = evaluate(query, _Data(self._series, self.now()))
        except QueryError as error:
            raise PrometheusError(400, f"invalid parameter 'query': {error}") from None
        at = self.now()
        result = [{"metric": dict(sorted(of)), "value": [at, str(v)]} for of, v in found.items()]
        return {"status": "success", "data": {"resultType": "vector", "result": result}}

    async def _scrape(self) -> None:
        now = self.now()
        if self._scraped_at is not None and now - self._scraped_at < _EVERY_SECONDS:
            return
        self._scraped_at = now
        self._evict(now)
        usages = self.runtime.usages()
        for machine in list(self.machines.values()):
            app = self.apps.get(machine.app)
            if machine.state == "started" and app is not None and app.org == self.org:
                standard = {"app": app.name, "region": machine.region, "instance": machine.id}
                for name, labels, value in await self._samples(machine, usages.get(machine.id)):
                    self._keep(name, frozenset((labels | standard).items()), now, value)

    async def _samples(self, machine: Machine, usage: Usage | None) -> list[Sample]:
        samples = [] if usage is None else list(_vitals(machine, usage, self.now()))
        if scrape := machine.config.get("metrics"):
            path = scrape.get("path") or "/metrics"
            samples += _parsed(await self.runtime.metrics(machine, path))
        return samples

    def _keep(self, name: str, labels: Labels, now: float, value: float) -> None:
        series = self._series.setdefault(name, {})
        if labels not in series:
            # A counter that appears has grown from nothing, as MetricsQL's `increase` sees it.
            series[labels] = deque([(now, 0.0)], maxlen=_KEPT_SAMPLES)
        series[labels].append((now, value))

    def _evict(self, now: float) -> None:
        oldest = now - _KEPT_SAMPLES * _EVERY_SECONDS
        for series in self._series.values():
            for labels in [of for of, samples in series.items() if samples[-1][0] < oldest]:
                del series[labels]


class _Data:
    """Series as a query sees them at one moment."""

    def __init__(
        self, series: Mapping[str, Mapping[Labels, deque[tuple[float, float]]]], now: float
    ) -> None:
        self._series = series
        self._now = now

    def select(self, name: str) -> Iterator[tuple[Mapping[str, str], float]]:
        for labels, samples in self._series.get(name, {}).items():
            at, value = samples[-1]
            if at >= self._now - _STALE_SECONDS:
                yield dict(labels), value

    def increase(self, name: str, seconds: float) -> Iterator[tuple[Mapping[str, str], float]]:
        since = self._now - seconds
        for labels, samples in self._series.get(name, {}).items():
            if samples[-1][0] < since:
                continue
            before = [value for at, value in samples if at < since]
            inside = [value for at, value in samples if at >= since]
            yield dict(labels), _growth([*before[-1:], *inside])


def _growth(values: list[float]) -> float:
    """By how much a counter grew; one that became less has begun anew."""
    pairs = pairwise(values)
    return sum(after - before if after >= before else after for before, after in pairs)


def _vitals(machine: Machine, usage: Usage, now: float) -> Iterator[Sample]:
    guest = machine.config.get("guest") or {}
    cpus, total = guest.get("cpus") or 1, (guest.get("memory_mb") or 256) * _MIB
    yield "fly_instance_up", {}, 1.0
    yield "fly_instance_memory_mem_total", {}, float(total)
    yield "fly_instance_memory_mem_available", {}, max(0.0, total - usage.memory_bytes)
    lived = max(now - machine.started_at, 0.0)
    for number in range(cpus):
        busy = min(usage.cpu_seconds / cpus, lived)
        for mode, spent in (("user", busy), ("idle", lived - busy)):
            labels = {"cpu_id": str(number), "mode": mode}
            yield "fly_instance_cpu", labels, spent * _TICKS


def _parsed(text: str) -> list[Sample]:
    try:
        families = list(text_string_to_metric_families(text))
    except ValueError:
        return []  # the platform drops a scrape that it cannot read
    return [(s.name, dict(s.labels), s.value) for family in families for s in family.samples]
