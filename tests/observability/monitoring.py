"""A real Prometheus and a real Alertmanager on loopback, with our rules at a test's pace."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.local.children import bound
from deploy.local.settings import HOST
from tests.e2e.patience import eventually
from tests.e2e.product import Product, free_ports, http
from tests.observability.tools import ALERTMANAGER, PROMETHEUS, RULES, loaded, tool

START_SECONDS: Final = 30
PACE: Final = "1s"


class Webhook:
    """Takes what Alertmanager sends, and keeps it."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                received.append(json.loads(self.rfile.read(length)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self._server.server_port}/"

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Listen for as long as the context lasts."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def firing(self, alert: str) -> dict[str, Any] | None:
        """The first notification that this alert fires."""
        for message in self.received:
            if message["status"] == "firing" and message["commonLabels"]["alertname"] == alert:
                return message
        return None


class Monitoring:
    """Prometheus and Alertmanager, watching a product.

    Args:
        product: What is scraped.
        folder: Where they keep what they have.
    """

    def __init__(self, product: Product, folder: Path) -> None:
        self._product = product
        self._folder = folder
        prometheus, alertmanager = free_ports(2)
        self._addresses = {
            "prometheus": f"{HOST}:{prometheus}",
            "alertmanager": f"{HOST}:{alertmanager}",
        }
        self.webhook = Webhook()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Both, for as long as the context lasts; skips the test where they are not installed."""
        with ExitStack() as stack:
            stack.enter_context(self.webhook.serving())
            stack.enter_context(self._process("alertmanager", self._alertmanager()))
            stack.enter_context(self._process("prometheus", self._prometheus()))
            for address in self._addresses.values():
                eventually(lambda at=address: _is_ready(at), within=START_SECONDS)  # type: ignore[misc]  # a default cannot be typed
            yield

    def query(self, expression: str) -> dict[Mapping[str, str] | str, float]:
        """The samples of an expression by their labels as text."""
        with http(base_url=f"http://{self._addresses['prometheus']}") as client:
            answer = client.get("/api/v1/query", params={"query": expression})
        return {
            ",".join(f"{label}={text}" for label, text in sorted(each["metric"].items())): float(
                each["value"][1]
            )
            for each in answer.json()["data"]["result"]
        }

    def value(self, expression: str) -> float | None:
        """The value of an expression that has one sample at most."""
        return next(iter(self.query(expression).values()), None)

    @contextmanager
    def _process(self, name: str, command: list[str]) -> Iterator[None]:
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - the tool that was found
                bound(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _prometheus(self) -> list[str]:
        config = loaded(PROMETHEUS / "prometheus.yaml")
        config["global"] = {"scrape_interval": PACE, "evaluation_interval": PACE}
        config["rule_files"] = [str(self._rules())]
        alertmanagers = [{"targets": [self._addresses["alertmanager"]]}]
        config["alerting"] = {"alertmanagers": [{"static_configs": alertmanagers}]}
        for job in config["scrape_configs"]:
            part = job["job_name"].removeprefix("invoker-")
            host = "localhost" if part == "edge" else HOST
            target = f"{host}:{self._product.ports[part]}"
            job["static_configs"] = [{"targets": [target]}]
            if part == "edge":
                secret = self._product.state / "secrets" / "edge_token"
                job["authorization"]["credentials_file"] = str(secret)
        return [
            tool("prometheus"),
            f"--config.file={self._write('prometheus.yaml', config)}",
            f"--storage.tsdb.path={self._folder / 'series'}",
            "--storage.tsdb.retention.time=1h",
            f"--web.listen-address={self._addresses['prometheus']}",
            "--log.level=warn",
        ]

    def _rules(self) -> Path:
        """All our rules; what has to last for minutes lasts for a moment here."""
        groups = [group for path in RULES for group in loaded(path)["groups"]]
        for group in groups:
            for rule in group["rules"]:
                if "for" in rule:
                    rule["for"] = PACE
        return self._write("rules.yaml", {"groups": groups})

    def _alertmanager(self) -> list[str]:
        """Our routes and inhibitions; whoever is told is told through the webhook."""
        config = loaded(ALERTMANAGER)
        config["global"] = {}
        for route in [config["route"], *config["route"]["routes"]]:
            route["group_wait"] = PACE
        config["route"]["group_interval"] = PACE
        config["receivers"] = [
            {
                "name": receiver["name"],
                "webhook_configs": [{"url": self.webhook.url + receiver["name"]}],
            }
            if len(receiver) > 1
            else receiver
            for receiver in config["receivers"]
        ]
        return [
            tool("prometheus-alertmanager", "alertmanager"),
            f"--config.file={self._write('alertmanager.yaml', config)}",
            f"--storage.path={self._folder / 'alerts'}",
            f"--web.listen-address={self._addresses['alertmanager']}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]

    def _write(self, name: str, content: object) -> Path:
        path = self._folder / name
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return path


def _is_ready(address: str) -> bool:
    with http(base_url=f"http://{address}") as client:
        return client.get("/-/ready").is_success
