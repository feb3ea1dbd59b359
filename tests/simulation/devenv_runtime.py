"""What runs a dev environment's machines: a database that answers, and services that need it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from crds.devenv import SUFFIXES, Service
from deploy.local.simulators.clock import Now
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.probes import Finding
from deploy.local.simulators.fly.runtime import InlineRuntime
from deploy.local.simulators.fly.state import Machine
from tests.simulation.devenv_disks import Disk, Ran

OK, UNAUTHORIZED, UNAVAILABLE = 200, 401, 503
HOST = re.compile(r"(?P<id>\w+)\.vm\.(?P<app>[a-z0-9-]+)\.internal")
LOGIN = re.compile(r"postgres://(?P<role>\w+):(?P<password>[^@]+)@")
HEALTH = "/invoker/health/"
SERVICES = {suffix: service for service, suffix in SUFFIXES.items()}
# Where each service that logs in finds how.
DATABASE_URL: dict[Service, str] = {
    "postgrest": "PGRST_DB_URI",
    "gotrue": "GOTRUE_DB_DATABASE_URL",
    "storage": "DATABASE_URL",
}


def service_of(app: str) -> Service:
    """The service that an app's name tells."""
    return SERVICES[app.rpartition("-")[2]]


class DevEnvRuntime(InlineRuntime):
    """Runs the services: one that logs in is well while the one database lets it in.

    Args:
        now: The clock.
        fly: The cloud, which knows of secrets.
        make: Makes an empty disk, by its volume's ID.

    Attributes:
        disks: The databases by volume.
        files: What lies on the other volumes.
    """

    def __init__(self, now: Now, fly: FlyCloud, make: Callable[[str], Disk]) -> None:
        super().__init__(now, guest=self._guest, on_fork=self._forked)
        self._fly = fly
        self._make = make
        self._told: dict[str, Mapping[str, str]] = {}
        self.disks: dict[str, Disk] = {}
        self.files: dict[str, list[str]] = {}
        self.commands: list[list[str]] = []

    def disk(self, machine: Machine) -> Disk | None:
        """The database that a machine serves, if that is what it does."""
        if machine.volume is None or service_of(machine.app) != "postgres":
            return None
        return self.disks.setdefault(machine.volume, self._make(machine.volume))

    async def boot(self, machine: Machine) -> None:
        """Start it with its app's secrets as they are."""
        self._told[machine.id] = dict(self._fly.apps[machine.app].secrets)
        if (disk := self.disk(machine)) is not None:
            disk.boot()
        await super().boot(machine)

    async def stop(self, machine: Machine) -> None:
        """Stop it."""
        self._halt(machine, politely=True)
        await super().stop(machine)

    async def kill(self, machine: Machine) -> None:
        """Kill it."""
        self._halt(machine, politely=False)
        await super().kill(machine)

    def crash(self, machine_id: str, exit_code: int = 1) -> None:
        """Let it die."""
        self._halt(self._fly.machines[machine_id], politely=False)
        super().crash(machine_id, exit_code)

    def _halt(self, machine: Machine, *, politely: bool) -> None:
        if (disk := self.disk(machine)) is not None:
            disk.halt(politely=politely)

    async def discard(self, volume_id: str) -> None:
        """Delete what was on a volume."""
        if (disk := self.disks.pop(volume_id, None)) is not None:
            disk.remove()
        self.files.pop(volume_id, None)

    def close(self) -> None:
        """Take away everything."""
        for disk in self.disks.values():
            disk.remove()

    async def check(self, machine: Machine, check: dict[str, Any]) -> Finding:
        """Pass while it is well."""
        del check
        well = self.is_well(machine)
        return well, "Success" if well else "unhealthy"

    def is_well(self, machine: Machine) -> bool:
        """Whether a service does what it is there for."""
        inline = self.machine(machine.id)
        if not (inline.running and inline.healthy):
            return False
        variable = DATABASE_URL.get(service_of(machine.app))
        return variable is None or self._logs_in(machine, variable)

    def _logs_in(self, machine: Machine, variable: str) -> bool:
        """Whether the private network leads it to one database, and that lets it in."""
        login = LOGIN.match(self._told[machine.id].get(variable, ""))
        disks = self.databases_of(machine.app)
        if login is None or len(disks) != 1:
            return False
        return disks[0].lets_in(login["role"], login["password"])

    def databases_of(self, app: str) -> list[Disk]:
        """The databases that run beside an app's machines."""
        name = f"{app.rpartition('-')[0]}-{SUFFIXES['postgres']}"
        found = [self.disk(m) for m in self._fly.machines.values() if m.app == name]
        return [disk for disk in found if disk is not None and disk.running]

    async def request(self, machine: Machine, request: httpx.Request) -> httpx.Response:
        """Answer a probe as the gateway does."""
        path = request.url.path
        if not path.startswith(HEALTH) or not self.machine(machine.id).running:
            return await super().request(machine, request)
        return httpx.Response(self._probed(machine, path.removeprefix(HEALTH), request.headers))

    def _probed(self, gateway: Machine, service: str, headers: httpx.Headers) -> int:
        declared = json.loads(self._told[gateway.id]["KONG_DECLARATIVE_CONFIG_STRING"])
        keys = [
            credential["key"]
            for consumer in declared["consumers"]
            if consumer["username"] == "invoker-probe"
            for credential in consumer["keyauth_credentials"]
        ]
        if headers.get("apikey") not in keys:
            return UNAUTHORIZED
        prefix = gateway.app.rpartition("-")[0]
        asked = [
            m
            for m in self._fly.machines.values()
            if m.app.rpartition("-")[0] == prefix and service_of(m.app) == service
        ]
        return OK if any(self.is_well(m) for m in asked) else UNAVAILABLE

    async def _guest(self, machine: Machine, command: list[str], stdin: str, _: float) -> Ran:
        """Run a command beside a database."""
        self.commands.append(command)
        disk = self.disk(machine)
        if disk is None or not disk.running:
            return 2, "", "psql: error: could not connect to server"
        return disk.run(command, stdin, self._find)

    def _find(self, host: str) -> Disk | None:
        """The running database behind a name on the private network."""
        match = HOST.fullmatch(host)
        machine = None if match is None else self._fly.machines.get(match["id"])
        disk = None if machine is None else self.disk(machine)
        return disk if disk is not None and disk.running else None

    def _forked(self, source: str, new: str) -> None:
        self.files[new] = list(self.files.get(source, ()))
