"""The product with three controllers, whose parts can be killed and whose cloud can be cut off."""

import asyncio
import json
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
from prometheus_client.parser import text_string_to_metric_families
from psycopg.rows import DictRow, dict_row

from crds.store import migrate
from deploy.local.keys import Keys
from deploy.local.settings import PORTS, LocalSettings
from deploy.local.stack import Stack, answers
from deploy.local.supervisor import Service, Supervisor
from tests.chaos.tcp import FaultyLink
from tests.e2e.product import free_ports

REPLICAS: Final = ("controller-1", "controller-2", "controller-3")
# The operations that change nothing end in one of these.
READING: Final = ("get", "list", "org.machines")


@dataclass
class Fleet:
    """The running product.

    Attributes:
        stack: What it consists of.
        supervisor: Keeps it running.
        link: Between the controllers and the machines' provider.
        database: The address of the database.
        ports: The controllers' ports, by replica.
        lines: Everything that the parts have written.
    """

    stack: Stack
    supervisor: Supervisor
    link: FaultyLink
    database: str
    ports: dict[str, int]
    lines: list[str] = field(default_factory=list)

    def url(self, part: str) -> str:
        """The base address of a part."""
        return self.stack.settings.url(part)

    def kill(self, part: str) -> None:
        """Kill a part; the supervisor starts it again."""
        pid = self.supervisor.pid(part)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    async def rows(self, statement: str) -> list[DictRow]:
        """Read from the database."""
        connection = await psycopg.AsyncConnection.connect(self.database, row_factory=dict_row)
        async with connection:
            return await (await connection.execute(statement.encode())).fetchall()

    async def fly(self, method: str, path: str, **options: Any) -> Any:
        """Ask the machines' provider directly, past the faulty link."""
        headers = {"Authorization": f"Bearer {self.stack.keys.fly_token}"}
        async with _client() as client:
            answer = await client.request(
                method, self.url("fly") + path, headers=headers, **options
            )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    async def machines(self) -> list[dict[str, Any]]:
        """Every machine at the provider that is not destroyed, by its apps."""
        apps = (await self.fly("GET", "/v1/apps?org_slug=invoker"))["apps"]
        listed = [await self.fly("GET", f"/v1/apps/{app['name']}/machines") for app in apps]
        return [
            machine | {"app": app["name"]}
            for app, machines in zip(apps, listed, strict=True)
            for machine in machines
            if machine["state"] not in {"destroyed", "destroying"}
        ]

    async def entries(self) -> dict[str, Any]:
        """The key-value store's whole content, as the edge reads it."""
        async with _client() as client:
            keys = (await client.get(self.url("kv") + "/?prefix=")).json()["keys"]
            found = {}
            for key in keys:
                answer = await client.get(f"{self.url('kv')}/{key['name'].replace(':', '%3A')}")
                found[key["name"]] = json.loads(answer.content)
        return found

    async def mutating_calls(self) -> dict[str, float]:
        """How often each replica has changed something at a provider, by operation."""
        counted: dict[str, float] = {}
        async with _client() as client:
            for replica, port in self.ports.items():
                text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
                for family in text_string_to_metric_families(text):
                    for sample in family.samples:
                        operation = sample.labels.get("operation", "")
                        if sample.name != "invoker_provider_calls_total":
                            continue
                        if not operation.endswith(READING):
                            key = f"{replica} {sample.labels['provider']} {operation}"
                            counted[key] = counted.get(key, 0) + sample.value
        return counted


@asynccontextmanager
async def fleet(state: Path) -> AsyncIterator[Fleet]:
    """Run the product, every part of it a process."""
    ports = free_ports(len(PORTS) + len(REPLICAS))
    settings = LocalSettings(state, dict(zip(PORTS, ports, strict=False)))
    stack = Stack(settings, Keys(state / "secrets"), {})
    server = stack.server()
    async with FaultyLink(settings.ports["fly"]) as link:
        lines: list[str] = []
        supervisor = Supervisor(lambda name, text: lines.append(f"{name} | {text}"))
        running = Fleet(
            stack,
            supervisor,
            link,
            server.url(),
            dict(zip(REPLICAS, ports[len(PORTS) :], strict=True)),
            lines,
        )
        try:
            await _start(running, stack.database(server))
            yield running
        finally:
            await supervisor.stop()
            server.release()


async def _start(fleet: Fleet, database: Service) -> None:
    stack = fleet.stack
    await fleet.supervisor.start(database, *stack.simulators())
    await migrate(fleet.database)
    told = stack.environment(fleet.database) | {"FLY_API_HOSTNAME": fleet.link.url}
    controllers = [
        replace(
            stack.controller(
                told | {"INVOKER_CONTROLLER_PORT": str(port), "INVOKER_REPLICA": replica}
            ),
            name=replica,
            ready=answers(f"http://127.0.0.1:{port}/ready"),
        )
        for replica, port in fleet.ports.items()
    ]
    await fleet.supervisor.start(stack.api(told), stack.edge(told), *controllers)


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=30, trust_env=False)


async def pause(rng: random.Random, low: float, high: float) -> None:
    """Let some real time go by: the processes that are tormented live in it."""
    await asyncio.sleep(rng.uniform(low, high))
