"""Every request of the clients, checked against the providers' specifications."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.machine.service_config import service_config
from controller.providers import Call, Priority
from crds.machine import MachineSpec, Scrape, ServiceSpec
from deploy.local.simulators.transport import SimulatorTransport
from tests.providers import test_provider_simulators as lives
from tests.providers.fakes import Script, fly, reply
from tests.providers.test_fly_classify import SPEC

SPECS = SPEC.parent.parent if SPEC else Path()
pytestmark = [
    pytest.mark.spec,
    pytest.mark.skipif(SPEC is None, reason="the providers' specifications are not here"),
]


class Specification:
    """One OpenAPI document, asked what it knows."""

    def __init__(self, path: Path, base: str) -> None:
        self.document = json.loads(path.read_text())
        self.base = base

    def complaints(self, request: httpx.Request) -> list[str]:
        """Return what the specification does not know about a request."""
        path = request.url.raw_path.decode().partition("?")[0].removeprefix(self.base)
        operation = self._operation(request.method.lower(), path)
        if operation is None:
            return [f"no operation {request.method} {path}"]
        known = {p["name"] for p in map(self.resolve, operation.get("parameters", []))}
        known |= {name for name in request.url.params if name.startswith("metadata.")}
        unknown = [f"query {name} of {path}" for name in request.url.params if name not in known]
        if not request.headers.get("content-type", "").startswith("application/json"):
            return unknown
        content = operation["requestBody"]["content"]["application/json"]
        return unknown + self._unknown(json.loads(request.content), content.get("schema", {}), path)

    def resolve(self, node: dict[str, Any]) -> dict[str, Any]:
        """Follow a reference."""
        while "$ref" in node:
            target = self.document
            for name in node["$ref"].removeprefix("#/").split("/"):
                target = target[name]
            node = target
        return node

    def _operation(self, method: str, path: str) -> dict[str, Any] | None:
        for template, item in self.document["paths"].items():
            if method in item and re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path):
                found: dict[str, Any] = item[method]
                return found
        return None

    def _unknown(self, value: Any, schema: dict[str, Any], where: str) -> list[str]:
        schema = self.resolve(schema)
        if isinstance(value, list):
            return [e for v in value for e in self._unknown(v, schema.get("items", {}), where)]
        properties = self._properties(schema)
        if not isinstance(value, dict) or not properties:
            return []
        strange = [f"{where}: {name}" for name in value if name not in properties]
        inner = [
            error
            for name, v in value.items()
            if name in properties
            for error in self._unknown(v, properties[name], f"{where}.{name}")
        ]
        return strange + inner

    def _properties(self, schema: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = dict(schema.get("properties", {}))
        for part in schema.get("allOf", []):
            found |= self._properties(self.resolve(part))
        return found


def test_the_clients_ask_only_what_is_specified(monkeypatch: pytest.MonkeyPatch) -> None:
    """No path, query parameter or field of a body is unknown to the provider."""
    asked = list[httpx.Request]()
    answer = SimulatorTransport.handle_async_request

    async def record(self: SimulatorTransport, request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return await answer(self, request)

    monkeypatch.setattr(SimulatorTransport, "handle_async_request", record)
    lives.test_machines_are_made_and_found()
    lives.test_apps_and_their_addresses()
    lives.test_machines_are_changed_under_a_lease()
    lives.test_machines_stop_start_and_go()
    lives.test_the_life_of_a_route()

    specifications = {
        "api.machines.dev": Specification(SPECS / "fly/machines.openapi.json", ""),
        "api.cloudflare.com": Specification(
            SPECS / "cloudflare/workers-kv.openapi.json", "/client/v4"
        ),
    }
    complaints = [c for r in asked for c in specifications[r.url.host].complaints(r)]
    assert len(asked) > 60
    assert sorted(set(complaints)) == []


@pytest.mark.anyio
async def test_services_ask_only_what_is_specified() -> None:
    """So do the requests and the config of a service's machine."""
    service = ServiceSpec(
        app="app",
        network="net",
        check="http",
        command=["run"],
        files={"/etc/a": "1"},
        metrics=Scrape(port=1),
    )
    spec = MachineSpec(account="a", image="i", service=service)
    call = Call(Priority.USER)
    script = Script(reply(200, {"id": "x"}))
    client = fly(script)
    config = service_config(spec, service)
    await client.create_machine("app", name="m", region="yyz", config=config, call=call)
    await client.run("app", "m", ["true"], stdin="x", call=call)
    await client.set_secrets("app", {"A": "1", "B": None}, call=call)
    await client.list_secrets("app", call=call)
    await client.create_volume("app", name="v", region="yyz", size_gb=1, source="s", call=call)
    await client.assign_address("app", "private_v6", network="net", call=call)

    specification = Specification(SPECS / "fly/machines.openapi.json", "")
    complaints = [c for r in script.asked for c in specification.complaints(r)]
    assert [] == complaints
