"""The whole of it for real: the product, Prometheus, Alertmanager, and somebody who is told."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.observability.catalogue import catalogue, words_of
from tests.e2e.patience import eventually
from tests.e2e.person import Person
from tests.e2e.product import Product, http
from tests.observability.monitoring import Monitoring

# Slow: processes start, machines boot, and restarts wait for their backoff, all in real time.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.xdist_group("e2e"),
    pytest.mark.timeout(300),
]

# A look at the fleet every 15 s, a scrape and an evaluation each second.
SEEN_SECONDS = 45
RESTART_SECONDS = 60
CRASHES = 3


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    """A product of this module's own."""
    with tempfile.TemporaryDirectory(prefix="invoker-metrics-") as directory:
        product = Product(Path(directory) / "state", Path(directory) / "log")
        with product:
            yield product
            product.stop(signal.SIGINT)


@pytest.fixture(scope="module")
def resident(product: Product) -> Person:
    """Somebody whose machine runs."""
    resident = Person(product, "Dora")
    resident.move_in()
    return resident


@pytest.fixture
def monitoring(product: Product, tmp_path: Path) -> Iterator[Monitoring]:
    """Prometheus and Alertmanager, watching the product."""
    monitoring = Monitoring(product, tmp_path)
    with monitoring.running():
        yield monitoring


def scraped(product: Product) -> dict[str, str]:
    """What each process shows."""
    edge = {"authorization": f"Bearer {product.secret('edge_token')}"}
    with http() as client:
        return {
            "API": client.get(product.url("api") + "/metrics").text,
            "controller": client.get(product.url("controller") + "/metrics").text,
            "edge": client.get(
                product.url("edge") + "/.invoker/metrics", headers={**edge, "host": "localhost"}
            ).text,
        }


def test_what_is_shown_is_in_the_catalogue(product: Product, resident: Person) -> None:
    """A running product shows no metric and no label's word that is not in docs/metrics.md."""
    resident.until_answered()
    known = {(process, each.name): each for process, all_ in catalogue().items() for each in all_}
    strange: list[str] = []
    for process, text in scraped(product).items():
        assert resident.id not in text
        assert resident.subdomain not in text
        for metric in text_string_to_metric_families(text):
            family = known.get((process, metric.name))
            if family is None:
                # The older text format tells when a counter began beside it.
                if not metric.name.endswith("_created"):
                    strange.append(f"{process}: {metric.name}")
                continue
            strange += [
                f"{sample.name} {label}={word}"
                for sample in metric.samples
                for label, word in sample.labels.items()
                if label != "le" and not words_of(family.name, label).allow(word)
            ]

    assert [] == strange


def test_the_series_are_few(product: Product, resident: Person) -> None:
    """What the docs promise to fit into a free tier fits: a third of it for one of each process."""
    resident.until_answered()
    series = {
        process: sum(not line.startswith("#") for line in text.splitlines())
        for process, text in scraped(product).items()
    }

    assert sum(series.values()) < 3000, series


def test_a_machine_is_killed_and_somebody_is_told(
    product: Product, resident: Person, monitoring: Monitoring
) -> None:
    """Everything is scraped; a crash loop fires its alert, which reaches the channel's receiver."""
    targets = eventually(
        lambda: up if len(up := monitoring.query("up == 1")) == len(scraped(product)) else None,
        within=SEEN_SECONDS,
    )
    healthy = eventually(
        lambda: monitoring.value("max(invoker_machines_healthy)"), within=SEEN_SECONDS
    )
    machine = str(resident.row("machines")["uid"])
    for crash in range(CRASHES):
        agent = eventually(lambda: product.agent(machine), within=RESTART_SECONDS)
        agent.kill()
        eventually(lambda: _crashes(resident) > crash, within=RESTART_SECONDS)  # noqa: B023 - asked at once
    told = eventually(
        lambda: monitoring.webhook.firing("MachinesCrashLooping"), within=SEEN_SECONDS
    )

    assert 3 == len(targets)
    assert 1 == healthy
    assert "slack" == told["receiver"]
    assert "warning" == told["commonLabels"]["severity"]
    assert told["commonAnnotations"]["runbook_url"].endswith("#crash-loops")
    assert {0.0} == set(monitoring.query("invoker_orphans").values())
    assert 1 == monitoring.value('sum(invoker_wishes_total{kind="Workspace",wish="create"})')
    crashes = monitoring.value("sum(increase(invoker_machine_crashes_total[5m]))")
    assert crashes is not None
    assert crashes > 0


def _crashes(resident: Person) -> int:
    """How many crashes in a row the row shows."""
    count: int = resident.row("machines")["status"]["restarts"]["count"]
    return count
