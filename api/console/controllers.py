"""What the controllers tell of themselves, read from their metrics and said honestly."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from pydantic import SecretStr

from crds.clock import Clock

TIMEOUT_SECONDS: Final = 2.0
# Everybody who looks within this time shares one scrape.
FRESH_SECONDS: Final = 4.0
MAX_BYTES: Final = 4 * 1024 * 1024
OK: Final = 200

# Of several replicas the worst one's breaker is shown.
BREAKER_STATES: Final = ("open", "half_open", "half-open", "closed")


@dataclass(slots=True)
class Queue:
    """One controller's queue, over all replicas.

    Attributes:
        depth: Keys that could be taken at once.
        delayed: Keys that are due later.
        active: Workers that have a key in hand.
        workers: Workers in all.
        stuck: Workers whose reconcile outlived its timeout.
        longest: Seconds that the longest running reconcile has run.
    """

    depth: float = 0
    delayed: float = 0
    active: float = 0
    workers: float = 0
    stuck: float = 0
    longest: float = 0


@dataclass(slots=True)
class Provider:
    """One provider, over all replicas.

    Attributes:
        breaker: The worst state of its circuit breakers; empty when none was told.
        left: Calls that could be sent at once; None when it was not told.
        throttled: Calls that had to wait for the budget since the controllers started.
        calls: Calls since then.
        errors: Those of them that failed.
    """

    breaker: str = ""
    left: float | None = None
    throttled: float = 0
    calls: float = 0
    errors: float = 0


@dataclass(frozen=True, slots=True)
class Told:
    """What could be had.

    Attributes:
        queues: By controller.
        providers: By name.
        reached: How many controllers answered.
        unreachable: Those that did not, with the reason; the addresses without credentials.
    """

    queues: Mapping[str, Queue] = field(default_factory=dict)
    providers: Mapping[str, Provider] = field(default_factory=dict)
    reached: int = 0
    unreachable: Sequence[tuple[str, str]] = ()

    @property
    def depth(self) -> int:
        """Keys that could be taken at once, in all queues."""
        return int(sum(queue.depth for queue in self.queues.values()))


class Controllers:
    """Reads the controllers' metrics; several who look at once share one reading.

    Args:
        urls: Where they are.
        token: What has to be shown there.
        transport: How they are reached; sockets when left out.
    """

    def __init__(
        self,
        urls: Sequence[str] = (),
        token: SecretStr | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._urls = tuple(urls)
        self._token = token
        self._transport = transport
        self._lock = asyncio.Lock()
        self._told = Told()
        self._read_at: float | None = None

    async def tell(self) -> Told:
        """What they tell, at most a few seconds old."""
        async with self._lock:
            now = Clock.monotonic()
            if self._read_at is None or now - self._read_at >= FRESH_SECONDS:
                self._told = await self._read()
                self._read_at = Clock.monotonic()
            return self._told

    async def _read(self) -> Told:
        if not self._urls:
            return Told()
        token = self._token
        headers = {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}
        async with httpx.AsyncClient(
            transport=self._transport, timeout=TIMEOUT_SECONDS, headers=headers, trust_env=False
        ) as client:
            answers = await asyncio.gather(*(_scrape(client, url) for url in self._urls))
        samples: list[Sample] = []
        unreachable: list[tuple[str, str]] = []
        for url, answer in zip(self._urls, answers, strict=True):
            if isinstance(answer, str):
                unreachable.append((_place(url), answer))
            else:
                samples += answer
        reached = len(self._urls) - len(unreachable)
        return Told(_queues(samples), _providers(samples), reached, unreachable)


async def _scrape(client: httpx.AsyncClient, url: str) -> list[Sample] | str:
    """The samples of one controller, or why there are none."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            text = await _text(client, url)
            families = text_string_to_metric_families(text)
            return [sample for family in families for sample in family.samples]
    except TimeoutError:
        return "no answer in time"
    except httpx.HTTPStatusError as error:
        return f"answers {error.response.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL):
        return "not reachable"
    except ValueError:
        return "answers with no metrics"


async def _text(client: httpx.AsyncClient, url: str) -> str:
    """A page of metrics, up to a size.

    Raises:
        httpx.HTTPError: It cannot be had.
        ValueError: It is too large, or no text.
    """
    data = bytearray()
    async with client.stream("GET", url) as answer:
        if answer.status_code != OK:
            raise httpx.HTTPStatusError("refused", request=answer.request, response=answer)
        async for chunk in answer.aiter_bytes():
            data += chunk
            if len(data) > MAX_BYTES:
                raise ValueError("too large")
    return data.decode()


def _place(url: str) -> str:
    parts = httpx.URL(url)
    return f"{parts.host}:{parts.port}" if parts.port else parts.host


def _queues(samples: Iterable[Sample]) -> dict[str, Queue]:
    found: defaultdict[str, Queue] = defaultdict(Queue)
    for name, labels, value, *_ in samples:
        key = labels.get("name") or labels.get("controller") or ""
        match name:
            case _ if not key:
                continue
            case "invoker_workqueue_depth":
                found[key].depth += value
            case "invoker_workqueue_delayed":
                found[key].delayed += value
            case "invoker_controller_runtime_active_workers":
                found[key].active += value
            case "invoker_controller_runtime_max_concurrent_reconciles":
                found[key].workers += value
            case "invoker_controller_runtime_stuck_workers":
                found[key].stuck += value
            case "invoker_workqueue_longest_running_processor_seconds":
                found[key].longest = max(found[key].longest, value)
    return dict(sorted(found.items()))


def _providers(samples: Iterable[Sample]) -> dict[str, Provider]:
    found: defaultdict[str, Provider] = defaultdict(Provider)
    for name, labels, value, *_ in samples:
        key = labels.get("provider")
        match name:
            case _ if not key:
                continue
            case "invoker_provider_breaker_state" if value:
                found[key].breaker = _worse(found[key].breaker, labels.get("state", ""))
            case "invoker_provider_budget_left":
                # Each replica has a budget of its own; the scarcest is the one that is felt.
                left = found[key].left
                found[key].left = value if left is None else min(left, value)
            case "invoker_provider_throttled_total":
                found[key].throttled += value
            case "invoker_provider_calls_total":
                found[key].calls += value
            case "invoker_provider_errors_total":
                found[key].errors += value
    return dict(sorted(found.items()))


def _worse(one: str, other: str) -> str:
    order = {state: place for place, state in enumerate(BREAKER_STATES)}
    return min((one, other), key=lambda state: order.get(state, len(order)))
