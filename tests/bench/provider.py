"""What one call of a provider costs us in CPU, beside aiohttp alone."""

from __future__ import annotations

import json

import aiohttp

from controller.providers import Budget, Call, Gear, Priority, Rate, aiohttp_transport
from controller.providers.fly import Fly
from tests.bench.harness import Measurement, Reference, in_turn, pooled, ratio_at_most
from tests.bench.stage import Stage, child, run, said

AT_ONCE = 128
CALLS = 6000
CALL = Call(Priority.USER)
AMPLE = Rate(1e9, 1e9)
"""Waiting is not what is measured."""
MACHINE = json.dumps(
    {
        "id": "3d8d9930b46189",
        "name": "main",
        "state": "started",
        "region": "iad",
        "instance_id": "01JZ6V9GQ0R5T8D3M4K7N2P1XY",
        "private_ip": "fdaa:0:1:a7b:1::2",
        "host_status": "ok",
        "created_at": "2030-01-01T00:00:00Z",
        "updated_at": "2030-01-01T00:00:05Z",
        "config": {
            "image": "registry.example.com/app:latest",
            "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
            "env": {f"NAME_{number}": "value" * 8 for number in range(10)},
            "metadata": {f"mark_{number}": "x" * 36 for number in range(4)},
        },
        "events": [{"id": "01J", "type": "start", "status": "started", "timestamp": 1893456005000}],
    }
)


def measure(stage: Stage) -> list[Measurement]:
    """Run the bench."""
    return run(_measure(stage))


async def _measure(stage: Stage) -> list[Measurement]:
    count = stage.size(CALLS, 300)
    async with child("loopback", MACHINE) as server:
        url = f"http://127.0.0.1:{await said(server)}"
        gear = Gear(budget=Budget(default=AMPLE, wide=AMPLE))
        transport = aiohttp_transport()
        connector = aiohttp.TCPConnector(limit=AT_ONCE)
        async with (
            Fly(transport, token="fo1_bench", org="acme", base_url=url, gear=gear) as fly,
            aiohttp.ClientSession(connector=connector) as session,
        ):

            async def ours(number: int) -> None:
                await fly.get_machine(f"app-{number % 500}", "3d8d9930b46189", call=CALL)

            async def bare(number: int) -> None:
                path = f"/v1/apps/app-{number % 500}/machines/3d8d9930b46189"
                async with session.get(url + path) as answer:
                    await answer.read()

            own, floor = await in_turn(
                stage.runs,
                lambda: pooled(ours, at_once=AT_ONCE, count=count),
                lambda: pooled(bare, at_once=AT_ONCE, count=count),
            )
    return [
        Measurement(
            f"a provider call's CPU, {AT_ONCE} at once",
            own.cpu / count * 1e6,
            "µs",
            Reference("bare aiohttp, body read", floor.cpu / count * 1e6),
            ratio_at_most(3.5),
        ),
        Measurement(
            "  calls", count / own.wall, "calls/s", Reference("bare aiohttp", count / floor.wall)
        ),
    ]
