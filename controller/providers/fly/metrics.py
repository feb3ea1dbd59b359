"""The client of Fly's managed Prometheus: what machines use, and whether there is traffic.

Documented by Fly (its page "Metrics on Fly.io"): the address `/prometheus/<org>/api/v1/query`
under the organisation's token; `fly_instance_memory_mem_total` and `…_mem_available` in bytes;
`fly_instance_cpu{cpu_id, mode}` counts centiseconds of each processor; every series carries
`app`, `region`, `host` and `instance`, the machine's id, which override labels of the same names;
a machine's own metrics are scraped every 15 seconds.
Kong documents `kong_http_requests_total{…, consumer}`.
What answers is VictoriaMetrics, whose `increase` counts a counter that appears from zero.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
from pydantic import BaseModel, ConfigDict

from controller.providers.budget import Budget, Rate
from controller.providers.call import Call
from controller.providers.errors import ProviderError
from controller.providers.exchange import Answer, Ask
from controller.providers.fly.classify import classify
from controller.providers.fly.noun import part
from controller.providers.http import Gear, ProviderClient

PROBE = "invoker-probe"
"""The consumer of our own probes, which are nobody's traffic."""
RATE = Rate(1, 3)
"""That of every other action: Fly documents none for queries."""

# Two minutes hold several scrapes, one that was missed included.
_BUSY = 'sum by (instance) (increase(fly_instance_cpu{mode!="idle"}[2m]))'
_TIME = "sum by (instance) (increase(fly_instance_cpu[2m]))"
CPU_QUERY = f"100 * ({_BUSY} / {_TIME})"
_USED = "fly_instance_memory_mem_total - fly_instance_memory_mem_available"
MEMORY_QUERY = f"max by (instance) ({_USED}) / 1048576"
REQUESTS_QUERY = (
    'sum by (app) (increase(kong_http_requests_total{{consumer!="{probe}"}}[{seconds}s]))'
)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a machine uses.

    Attributes:
        cpu_percent: Of all its processors together, over the last two minutes.
        memory_mb: In MiB, without what the kernel would give back.
    """

    cpu_percent: float
    memory_mb: float


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Sample(_Model):
    metric: dict[str, str] = {}
    value: tuple[float, float]


class _Data(_Model):
    result: list[_Sample] = []


class _Found(_Model):
    data: _Data


class FlyMetrics(ProviderClient):
    """What is asked of Fly's Prometheus, one query each for the whole organisation.

    Args:
        transport: Where requests go.
        token: The organisation's token.
        org: The organisation's slug.
        base_url: The address above the organisation's slug.
        gear: Budget, breaker, metrics and randomness.
    """

    provider = "fly-metrics"
    request_id_header = "fly-request-id"

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        *,
        token: str,
        org: str,
        base_url: str = "https://api.fly.io/prometheus",
        gear: Gear | None = None,
    ) -> None:
        super().__init__(transport, token=token, base_url=base_url, gear=gear)
        self.org = org

    def default_budget(self) -> Budget:
        """One query a second: whoever asks does so for all machines together."""
        return Budget(default=RATE, wide=RATE)

    def classify(self, ask: Ask, answer: Answer) -> ProviderError | None:
        """Return the typed error of an answer, or None."""
        return classify(self.reason(ask, "", answer), ask, answer, self._token)

    async def usage(self, *, call: Call) -> dict[str, Usage]:
        """Return what each machine uses, by its id; machines that are not known are absent.

        Raises:
            ProviderError: The metrics cannot be had.
        """
        cpu = dict(await self._query(CPU_QUERY, "instance", call))
        memory = dict(await self._query(MEMORY_QUERY, "instance", call))
        return {
            instance: Usage(cpu[instance], memory[instance])
            for instance in memory
            if instance in cpu
        }

    async def requests(self, *, window_seconds: int, call: Call) -> dict[str, float]:
        """Return how many requests Kong counted for each app, our own probes aside.

        Args:
            window_seconds: How far to look back.
            call: On whose behalf.

        Raises:
            ProviderError: The metrics cannot be had.
        """
        query = REQUESTS_QUERY.format(probe=PROBE, seconds=window_seconds)
        return dict(await self._query(query, "app", call))

    async def _query(self, query: str, label: str, call: Call) -> Iterator[tuple[str, float]]:
        path = f"/{part(self.org)}/api/v1/query"
        ask = Ask("metrics.query", "GET", path, self.org, params={"query": query})
        found = await self.fetch(_Found, ask, call)
        # A quotient of nothing by nothing is NaN, and says nothing.
        return (
            (sample.metric[label], sample.value[1])
            for sample in found.data.result
            if label in sample.metric and math.isfinite(sample.value[1])
        )
