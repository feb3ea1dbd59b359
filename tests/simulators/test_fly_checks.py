"""Health checks of machines, in memory and in virtual time."""

import asyncio

import anyio
import httpx
import pytest

from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.probes import probe
from deploy.local.simulators.fly.runtime import InlineRuntime
from deploy.local.simulators.fly.state import FlyTimings
from deploy.local.simulators.transport import SimulatorTransport
from tests.simulators.helpers import APP, Fly, config, fly_client
from tests.support import virtual_time

CHECKS = {
    "live": {
        "type": "http",
        "port": 8080,
        "path": "/health",
        "interval": "10s",
        "timeout": "2s",
        "grace_period": "5s",
    }
}


async def _statuses(healthy_after: float) -> list[str]:
    cloud = FlyCloud(timings=FlyTimings(boot_seconds=1))
    assert isinstance(cloud.runtime, InlineRuntime)
    async with fly_client(cloud, SimulatorTransport(fly=cloud)) as client:
        fly = Fly(client)
        await fly.app()
        made = (await fly.machine(config=config(checks=CHECKS))).json()
        await fly.wait(made["id"], "started")
        inline = cloud.runtime.machine(made["id"])
        inline.healthy = False
        seen = [(await fly.get(made["id"]))["checks"][0]["status"]]
        for second in range(25):
            await anyio.sleep(1)
            inline.healthy = second >= healthy_after
            seen.append((await fly.get(made["id"]))["checks"][0]["status"])
        listed = (await client.get(f"{APP}/machines")).json()[0]["checks"]
        await fly.do(made["id"], "stop")
        await fly.wait(made["id"], "stopped")
        stopped = (await fly.get(made["id"]))["checks"]
    await cloud.aclose()
    return [*seen, listed[0]["status"], stopped[0]["status"]]


def test_a_check_runs_after_its_grace_and_then_at_its_interval() -> None:
    """Warning before the first run, then what the last run found, for one interval."""
    statuses = virtual_time.run(lambda: _statuses(8), limit_seconds=60)

    assert ["warning"] * 5 + ["critical"] * 10 + ["passing"] * 11 == statuses[:26]
    assert ["passing", "warning"] == statuses[26:]


@pytest.mark.anyio
async def test_a_machine_without_checks_shows_none(fly: Fly) -> None:
    """There is nothing where nothing was asked for."""
    await fly.app()

    assert "checks" not in await fly.get(await fly.started())


@pytest.mark.anyio
async def test_a_restarted_machine_is_checked_anew(fly: Fly, cloud: FlyCloud) -> None:
    """What was found before a restart says nothing about the process after it."""
    await fly.app()
    checks = {"live": {"type": "tcp", "port": 8080, "grace_period": "0s"}}
    machine_id = await fly.started(config=config(checks=checks))
    before = (await fly.get(machine_id))["checks"][0]["status"]
    checks["live"]["grace_period"] = "1h"
    await fly.update(machine_id, config=config(checks=checks))
    await fly.wait(machine_id, "started")

    assert "passing" == before
    assert "warning" == (await fly.get(machine_id))["checks"][0]["status"]
    assert "started" == cloud.machines[machine_id].state


@pytest.mark.anyio
async def test_neither_silence_nor_a_closed_port_passes() -> None:
    """A server that takes connections and says nothing fails HTTP in time, and passes TCP."""
    over = asyncio.Event()

    async def mute(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with httpx.AsyncClient(trust_env=False) as client:
        silent = await probe(client, "127.0.0.1", port, {"type": "http", "timeout": "50ms"})
        taken = await probe(client, "127.0.0.1", port, {"type": "tcp"})
        over.set()
        server.close()
        await server.wait_closed()
        closed = await probe(client, "127.0.0.1", port, {"type": "tcp"})

    assert [(False, "no answer within 0.05s"), (True, "Success"), False] == [
        silent,
        taken,
        closed[0],
    ]
