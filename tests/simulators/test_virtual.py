"""The same simulators through hours in milliseconds."""

import random

import anyio

from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.state import FlyTimings
from deploy.local.simulators.transport import SimulatorTransport
from tests.simulators.helpers import APP, Fly, config, fly_client
from tests.support import virtual_time


async def _life(seed: int) -> list[str]:
    timings = FlyTimings(image_pull_seconds=20, boot_seconds=30, stop_seconds=10)
    cloud = FlyCloud(timings=timings, rng=random.Random(seed))  # noqa: S311 - a seed is the point
    transport = SimulatorTransport(fly=cloud)
    assert transport.proxy is not None
    cloud.spawn(transport.proxy.run_autostop())
    async with fly_client(cloud, transport) as client:
        fly = Fly(client)
        await fly.app()
        await fly.address()
        service = {"protocol": "tcp", "internal_port": 8080, "autostop": "stop", "autostart": True}
        machine = (await fly.machine(config=config(services=[service]))).json()["id"]
        too_early = await fly.wait(machine, "started", 40)
        started = await fly.wait(machine, "started", 60)
        await anyio.sleep(3600)
        asleep = (await fly.get(machine))["state"]
        woken = await client.get("https://alpha.fly.dev/")
        lease = await client.post(f"{APP}/machines/{machine}/lease", json={"ttl": 60})
        await anyio.sleep(61)
        expired = await fly.do(machine, "cordon")
    await cloud.aclose()
    statuses = [a.status_code for a in (too_early, started, woken, lease, expired)]
    return [machine, asleep, *map(str, statuses)]


def test_an_hour_passes_as_it_would() -> None:
    """Boot, autostop, autostart and an expired lease, in the loop's time."""
    first = virtual_time.run(lambda: _life(7), limit_seconds=7200)
    again = virtual_time.run(lambda: _life(7), limit_seconds=7200)

    assert first[1:] == ["stopped", "408", "200", "200", "201", "200"]
    assert first == again
