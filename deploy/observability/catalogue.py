"""Every metric that the product has, read from the registries themselves, and what labels may say.

`docs/metrics.md` is made from this, and every expression in an alert or on a dashboard is checked
against it.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, get_args

import httpx
from cryptography.fernet import Fernet
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from pydantic import SecretStr
from starlette.routing import Route

from api.app import build
from api.metrics import METHODS, Metrics
from api.observe import UNMATCHED
from api.settings import Settings
from controller.assembly import Clouds, Replica
from controller.engine.metrics import RESULTS
from controller.machine.agent import AgentClient
from controller.metrics import leaks, vocabulary, wishes
from controller.providers import BreakerState, Gear, ProviderError, ProviderMetrics
from controller.providers.cloudflare import WorkersKV
from controller.providers.digitalocean import DigitalOcean, DigitalOceanOAuth
from controller.providers.fly import Fly
from controller.providers.fly.metrics import FlyMetrics
from controller.providers.netlify import Netlify
from crds.clock import Clock
from crds.credentials import MachineTokens
from crds.devenv import MoveStep
from crds.registry import KINDS
from crds.secrets import Cipher, Secrets
from crds.store import LocalDoorbell, Store
from crds.store.database import Database, make_pool
from deploy.local.simulators.gateways import gateways

EDGE: Final[Mapping[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "worker" / "src" / "outcomes.json").read_text(encoding="utf-8")
)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric.

    Attributes:
        name: As the registry has it; a counter's without `_total`.
        type: counter, gauge or histogram.
        labels: The labels' names.
        meaning: One sentence.
    """

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str

    @property
    def series(self) -> tuple[str, ...]:
        """The names that an expression can use."""
        if self.type == "counter":
            return (f"{self.name}_total",)
        if self.type == "histogram":
            return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")
        return (self.name,)


@dataclass(frozen=True, slots=True)
class Words:
    """What a label may say: some words, or, where they come from code, their form.

    Attributes:
        words: All there are.
        form: A regular expression that others match as a whole; None: there are no others.
        told: How the page says it, where a list would only repeat another page.
    """

    words: Sequence[str] = ()
    form: str | None = None
    told: str | None = None

    def allow(self, value: str) -> bool:
        """Whether a label may have a value."""
        return value in self.words or bool(self.form and re.fullmatch(self.form, value))


def _kinds(*more: str) -> Words:
    return Words([*KINDS, *more], told=" or ".join(["a kind", *map("`{}`".format, more)]))


def _errors(of: type[ProviderError] = ProviderError) -> list[str]:
    return [of.__name__, *(name for each in of.__subclasses__() for name in _errors(each))]


def _routes() -> Words:
    settings = Settings(
        database_url=SecretStr("postgresql:///"),
        domain="docs.invalid",
        supabase_url="http://docs.invalid",
        supabase_anon_key=SecretStr("-"),
        edge_token=SecretStr("-" * 16),
        encryption_keys=SecretStr(Fernet.generate_key().decode()),
    )
    paths = {route.path for route in build(settings).routes if isinstance(route, Route)}
    return Words(sorted({*paths, UNMATCHED}), told=f"a path template of the API or `{UNMATCHED}`")


# By label, or by metric and label where a label means something else.
LABELS: Final[Mapping[str | tuple[str, str], Words]] = {
    "method": Words([*sorted(METHODS), "OTHER"]),
    "route": _routes(),
    "status": Words(form=r"[1-5]\d\d"),
    "controller": _kinds(),
    "name": _kinds(),
    ("invoker_leader_election_master_status", "name"): Words(
        ["collector", "compaction", "droplet-collector", "fleet", "usage"]
    ),
    "result": Words(RESULTS),
    "shard": Words([str(number) for number in range(16)]),
    "provider": Words(
        [
            client.provider
            for client in (Fly, FlyMetrics, Netlify, WorkersKV, DigitalOcean, DigitalOceanOAuth)
        ]
    ),
    # The clients' own words, `<noun>.<verb>`.
    "operation": Words(form=r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*"),
    "code": Words(["none"], form=r"[1-5]\d\d"),
    ("invoker_provider_errors", "kind"): Words(sorted(set(_errors()))),
    "state": Words([state.value for state in BreakerState]),
    "kind": _kinds(vocabulary.OTHER),
    "phase": Words([*sorted(vocabulary.PHASES), vocabulary.OTHER]),
    "retry": Words(["None", *sorted(vocabulary.RETRIES), vocabulary.OTHER]),
    "wish": Words(wishes.WISHES),
    ("invoker_wishes", "outcome"): Words(wishes.OUTCOMES),
    ("invoker_edge_requests", "outcome"): Words(list(EDGE["outcomes"])),
    "part": Words(["machines", "volumes"]),
    "service": Words([*vocabulary.SERVICES.values(), vocabulary.OTHER]),
    "connection": Words([*sorted(vocabulary.CONNECTIONS), vocabulary.OTHER]),
    "step": Words([*get_args(MoveStep), vocabulary.OTHER]),
    "mode": Words(["always_on", "auto_stop"]),
    "reason": Words([*sorted(vocabulary.REASONS), vocabulary.OTHER]),
    "thing": Words(leaks.THINGS),
}
"""All that a label of ours can say: no user, no object, no address, nothing of a client's."""

# What Prometheus adds to every series of a target, and makes by itself.
TARGET_LABELS: Final = frozenset({"job", "instance"})
BUILT_IN: Final = frozenset({"up", "ALERTS", "scrape_duration_seconds"})


def words_of(family: str, label: str) -> Words:
    """What a label of a metric may say.

    Raises:
        KeyError: Nobody has said what it may.
    """
    own = LABELS.get((family, label))
    return LABELS[label] if own is None else own


@cache
def catalogue() -> Mapping[str, Sequence[Family]]:
    """The metrics of each process, by name."""
    found = asyncio.run(_registries())
    families = {process: sorted(_families(of), key=_name) for process, of in found.items()}
    return {**families, "edge": sorted(_edge(), key=_name)}


def series() -> frozenset[str]:
    """The names of all series there are."""
    return frozenset(
        name for families in catalogue().values() for each in families for name in each.series
    )


def _name(family: Family) -> str:
    return family.name


def _edge() -> Iterator[Family]:
    requests, stale = EDGE["requests"], EDGE["stale"]
    yield Family(requests["name"].removesuffix("_total"), "counter", ("outcome",), requests["help"])
    yield Family(stale["name"].removesuffix("_total"), "counter", (), stale["help"])


async def _registries() -> dict[str, Iterable[tuple[Metric, tuple[str, ...]]]]:
    """The registries of processes that are put together as always, and not started."""
    return {"API": _collected(Metrics().registry), "controller": _collected(_replica())}


def _collected(registry: CollectorRegistry) -> list[tuple[Metric, tuple[str, ...]]]:
    """All families with the names of their labels, which the library keeps to itself."""
    found: list[tuple[Metric, tuple[str, ...]]] = []
    for collector in list(registry._collector_to_names):  # noqa: SLF001 - it offers no other way
        own = getattr(collector, "_labelnames", None)
        for family in collector.collect():
            labels = own if own is not None else getattr(family, "_labelnames", ())
            found.append((family, tuple(labels)))
    return found


def _families(collected: Iterable[tuple[Metric, tuple[str, ...]]]) -> list[Family]:
    return [
        Family(metric.name, metric.type, labels, metric.documentation)
        for metric, labels in collected
    ]


def _replica() -> CollectorRegistry:
    registry = CollectorRegistry()
    told = ProviderMetrics(registry)
    transport = httpx.MockTransport(lambda _: httpx.Response(503))
    url = "http://provider.invalid"
    database = Database(make_pool("postgresql:///", 1))
    store = Store(database, Clock.started(), LocalDoorbell())
    Replica(
        store,
        Clouds(
            fly=Fly(transport, token="-", org="-", base_url=url, gear=Gear(metrics=told)),  # noqa: S106 - nobody is asked
            kv=WorkersKV(
                transport,
                token="-",  # noqa: S106 - the same
                account="-",
                namespace="-",
                base_url=url,
                gear=Gear(metrics=told),
            ),
            agent=AgentClient(transport, gateway=""),
            tokens=MachineTokens({"1": b""}),
            installation="docs",
            agent_env={},
            secrets=Secrets(store, Cipher([Fernet(Fernet.generate_key())])),
            fingerprint=lambda value: value.hex(),
            gateways=gateways(transport),
        ),
        name="docs",
        public_url=str,
        rng=random.Random(0),  # noqa: S311 - jitter
        registry=registry,
    )
    return registry
