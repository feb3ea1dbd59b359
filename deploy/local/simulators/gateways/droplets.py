"""The gateways in simulated droplets: they come and go with the droplets' power."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import yaml

from deploy.local.simulators.digitalocean import Droplet
from deploy.local.simulators.gateways.gateway import SimulatedGateway, Timings
from deploy.local.simulators.gateways.hub import Hub
from deploy.local.simulators.gateways.machine import Machine

ENVIRONMENT: Final = "/etc/invoker/gateway.env"


@dataclass(slots=True)
class BootTimings:
    """How long after its power a droplet's gateway runs, in seconds: cloud-init comes first once.

    Both are what a small droplet with one package to install takes.
    """

    first_seconds: float = 40.0
    again_seconds: float = 10.0


class DropletGateways:
    """Has a gateway run in every droplet whose cloud-init says so.

    Its `boot` and `halt` are `DigitalOceanCloud.on_boot` and `on_halt`.

    Args:
        hub: What the gateways connect to.
        timings: How long things take in a gateway.
        boots: How long a droplet takes to boot.

    Attributes:
        running: The gateway of each droplet that has its power, by the droplet's number.
        broken: Numbers of droplets whose software does not start.
        all_broken: Whether none does.
    """

    def __init__(
        self, hub: Hub, *, timings: Timings | None = None, boots: BootTimings | None = None
    ) -> None:
        self.running: dict[int, SimulatedGateway] = {}
        self.broken: set[int] = set()
        self.all_broken = False
        self._hub = hub
        self._timings = timings
        self._boots = boots or BootTimings()
        self._machines: dict[int, Machine] = {}
        self._booting: dict[int, asyncio.Task[None]] = {}

    def of(self, uid: UUID) -> SimulatedGateway | None:
        """The gateway of a Vps, if its droplet has its power; the newest droplet's of several."""
        found = [number for number, each in self.running.items() if each.uid == uid]
        return self.running[max(found)] if found else None

    def machine(self, droplet: int) -> Machine:
        """What is in a droplet, running or not."""
        return self._machines.setdefault(droplet, Machine(self._hub.now))

    async def boot(self, droplet: Droplet, user_data: str) -> None:
        """Have a droplet's gateway run a little later."""
        variables = gateway_environment(user_data)
        if "GATEWAY_ID" not in variables or "GATEWAY_AUTH_TOKEN" not in variables:
            return
        await self.halt(droplet)
        work = self._boot(droplet.id, variables)
        self._booting[droplet.id] = asyncio.get_running_loop().create_task(work)

    async def halt(self, droplet: Droplet) -> None:
        """End a droplet's gateway; what was in its memory is gone."""
        booting = self._booting.pop(droplet.id, None)
        if booting is not None:
            booting.cancel()
            await asyncio.gather(booting, return_exceptions=True)
        gateway = self.running.pop(droplet.id, None)
        if gateway is not None:
            await gateway.stop()
        self.machine(droplet.id).sessions.clear()

    async def aclose(self) -> None:
        """End all."""
        tasks = list(self._booting.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for gateway in self.running.values():
            await gateway.stop()

    async def _boot(self, droplet: int, variables: dict[str, str]) -> None:
        machine = self.machine(droplet)
        first = machine.boots == 0
        await asyncio.sleep(self._boots.first_seconds if first else self._boots.again_seconds)
        if self.all_broken or droplet in self.broken:
            return
        machine.boots += 1
        gateway = SimulatedGateway(
            self._hub,
            UUID(variables["GATEWAY_ID"]),
            variables["GATEWAY_AUTH_TOKEN"],
            machine=machine,
            version=variables.get("GATEWAY_VERSION", "1.0.0"),
            timings=self._timings,
        )
        self.running[droplet] = gateway
        gateway.start()


def gateway_environment(user_data: str) -> dict[str, str]:
    """The gateway's variables in a cloud-config; none in anything else.

    Whoever makes droplets beside us gives them what they like.
    """
    try:
        config = yaml.safe_load(user_data)
    except yaml.YAMLError:
        return {}
    files = config.get("write_files") if isinstance(config, dict) else None
    for file in files if isinstance(files, list) else ():
        if isinstance(file, dict) and file.get("path") == ENVIRONMENT:
            lines = str(file.get("content", "")).splitlines()
            pairs = (line.partition("=") for line in lines if "=" in line)
            return {name.strip(): value.strip() for name, _, value in pairs}
    return {}
