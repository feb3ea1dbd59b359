"""An operator framework works against us as against a cluster, unmodified."""

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from crds.meta import ObjectMeta
from crds.route import Route, RouteSpec
from crds.store import Store
from deploy.local.children import bound
from tests.e2e.patience import eventually
from tests.kubectl.door import Door

# An interpreter with the framework and its login takes seconds to start.
pytestmark = pytest.mark.slow

OPERATOR: Final = Path(__file__).with_name("operator_of_workspaces.py")
ACT_SECONDS: Final = 20
HANDLED: Final = "kopf.zalando.org/last-handled-configuration"
_GROUP: Final = "/apis/invoker.dev/v1"


class Operator:
    """`kopf run`, on one namespace of an API of its own.

    Args:
        door: The API.
        folder: Where its log goes.
    """

    def __init__(self, door: Door, folder: Path) -> None:
        self.door = door
        self.namespace = f"kopf-{uuid.uuid4().hex[:6]}"
        self.log = folder / "kopf.log"
        self.workspaces = f"{_GROUP}/namespaces/{self.namespace}/workspaces"
        self.call("POST", f"{_GROUP}/accounts", _account(self.namespace))

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the API; a refusal is an error."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        with self.door.access.client() as client:
            answer = client.request(method, path, json=body, headers={"Content-Type": kind})
        answer.raise_for_status()
        read: dict[str, Any] = answer.json()
        return read

    def make(self, name: str) -> None:
        """Create a workspace."""
        body = {
            "apiVersion": "invoker.dev/v1",
            "kind": "Workspace",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"subdomain": f"{name}-{self.namespace[-6:]}", "power": "Stopped"},
        }
        self.call("POST", self.workspaces, body)

    def resize(self, name: str, volume: int) -> None:
        """Change a workspace's wish."""
        self.call("PATCH", f"{self.workspaces}/{name}", {"spec": {"volumeGb": volume}})

    def annotation(self, name: str, key: str) -> str | None:
        """An annotation of a workspace."""
        metadata = self.call("GET", f"{self.workspaces}/{name}")["metadata"]
        value: str | None = metadata.get("annotations", {}).get(key)
        return value

    def until_annotated(self, name: str, key: str, value: str) -> None:
        """Wait until the operator has written an annotation."""
        eventually(lambda: self.annotation(name, key) == value, within=ACT_SECONDS)

    def until_done(self, name: str) -> None:
        """Wait until the operator has noted that it has handled everything."""
        eventually(lambda: self.annotation(name, HANDLED), within=ACT_SECONDS)

    def reasons(self) -> set[str]:
        """The reasons of the namespace's events."""
        events = self.call("GET", f"/api/v1/namespaces/{self.namespace}/events")["items"]
        return {event["reason"] for event in events}

    def is_gone(self, name: str) -> bool:
        """Whether a workspace is gone."""
        with self.door.access.client() as client:
            answer = client.get(f"{self.workspaces}/{name}")
        return answer.status_code == httpx.codes.NOT_FOUND

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run it until the context ends; then it is asked to go and must do so without an error."""
        words = ["-m", "kopf", "run", str(OPERATOR), "--standalone", "--verbose"]
        environment = {**os.environ, "KUBECONFIG": str(self.door.kubeconfig)}
        with self.log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - a program of ours
                bound([sys.executable, *words, f"--namespace={self.namespace}"]),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert 0 == process.wait(ACT_SECONDS), self.log.read_text()
        finally:
            process.kill()
            process.wait()


def _account(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "invoker.dev/v1",
        "kind": "Account",
        "metadata": {"name": name},
        "spec": {"email": f"{name}@example.com"},
    }


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Iterator[Operator]:
    """An operator that does not run yet, at an API of its own."""
    with Door(database_url, tmp_path) as door:
        yield Operator(door, tmp_path)


def test_an_operator_sees_the_whole_life_of_an_object(operator: Operator) -> None:
    """Creation, update and deletion reach its handlers; what they write and post is there."""
    with operator.running():
        operator.make("main")
        operator.until_annotated("main", "example.com/greeted", "yes")
        greeted = operator.call("GET", f"{operator.workspaces}/main")
        operator.resize("main", 7)
        operator.until_annotated("main", "example.com/volume", "7")
        operator.call("DELETE", f"{operator.workspaces}/main")
        eventually(lambda: operator.is_gone("main"), within=ACT_SECONDS)

    assert "Greeted" == greeted["status"]["phase"]
    assert [] != greeted["metadata"]["finalizers"]
    assert {"Greeted", "Farewell"} <= operator.reasons()


def test_an_operator_catches_up_with_what_happened_while_it_was_down(operator: Operator) -> None:
    """What changed meanwhile reaches its handlers once; what did not, does not."""
    operator.make("quiet")
    with operator.running():
        operator.make("main")
        operator.until_annotated("main", "example.com/greeted", "yes")
        operator.until_done("main")
        operator.until_done("quiet")
    before = operator.call("GET", f"{operator.workspaces}/quiet")
    operator.resize("main", 9)
    with operator.running():
        operator.until_annotated("main", "example.com/volume", "9")

    after = operator.call("GET", f"{operator.workspaces}/quiet")
    assert before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]


def test_an_operator_survives_a_compaction_and_the_end_of_the_api(operator: Operator) -> None:
    """It is told inside the stream that its version is gone, lists again, and goes on."""
    with operator.running() as process:
        operator.make("main")
        operator.until_annotated("main", "example.com/greeted", "yes")
        operator.door.stop(signal.SIGKILL)
        asyncio.run(_write_elsewhere_and_compact(operator.door.database_url))
        operator.door.start()
        eventually(
            lambda: "Restarting the watch-stream for workspaces" in operator.log.read_text(),
            within=ACT_SECONDS,
        )
        operator.resize("main", 11)
        operator.until_annotated("main", "example.com/volume", "11")

        assert None is process.poll()


async def _write_elsewhere_and_compact(url: str) -> None:
    async with Store.opened(url) as store:
        for number in range(3):
            spec = RouteSpec(account="somebody")
            await store.create(Route(metadata=ObjectMeta(name=f"route{number}"), spec=spec))
        await store.compact(timedelta(0))
