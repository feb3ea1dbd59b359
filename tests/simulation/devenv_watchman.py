"""What must hold for a dev environment at every effect, beyond what holds for every machine."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import httpx

from controller.devenv.machines import PATIENCE, has_come_true
from crds.account import Account
from crds.connection import connection_name
from crds.devenv import SERVICES, SUFFIXES, DevEnv, Service
from crds.errors import InvalidError
from crds.machine import Machine
from crds.meta import Key
from crds.store import Store
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.state import RUNNING
from deploy.local.simulators.kv import KV
from tests.simulation.devenv_runtime import DevEnvRuntime, service_of
from tests.simulation.invariants import MACHINE_PATH, OURS, VOLUME_PATH, Watchman

NAME = "acme-erp"
APPS = frozenset(f"devenv-acme-erp-{suffix}" for suffix in SUFFIXES.values())
MACHINES_PATH = re.compile(r"/v1/apps/(?P<app>[^/]+)/machines$")
ONE_THING = re.compile(r"/v1/apps/[^/]+/(machines|volumes)/")


class DevEnvWatchman(Watchman):
    """Looks at every effect of the life of one dev environment.

    Args:
        fly: The simulated provider of machines.
        kv: The simulated edge memory.
        store: The rows.
        shard: The lease of everything that the user has.
        runtime: What runs the machines.
        namespace: Where the environment is.

    Attributes:
        killed: The services that a life has killed, which nobody has to wait for.
        rows: How many rows the developers have written to every table.
        lost: Whether the row has lost what it said, which is nobody's doing.
        calls: How many calls about a single machine or volume there were, reads included.
    """

    def __init__(
        self,
        fly: FlyCloud,
        kv: KV,
        store: Store,
        shard: str,
        runtime: DevEnvRuntime,
        namespace: str,
    ) -> None:
        super().__init__(fly, kv, store, shard)
        self._runtime = runtime
        self._namespace = namespace
        self.killed: set[Service] = set()
        self.rows: dict[str, int] = {}
        self.calls = 0
        self.lost = False

    def apps(self) -> list[str]:
        """The names of our apps, by their networks."""
        return [
            app.name
            for app in self._fly.apps.values()
            if app.org == self._fly.org and app.network.startswith(OURS)
        ]

    def check_machines_gone(self) -> None:
        """No volume is left either in an app of the environment."""
        left = [v.id for v in self._fly.volumes.values() if v.app in APPS]
        if left:
            self._complain(f"the rows are gone, left outside is {left}")
        super().check_machines_gone()

    def heard(self, request: httpx.Request, answer: httpx.Response) -> None:
        """Count reads of single things."""
        self.calls += ONE_THING.search(request.url.path) is not None
        super().heard(request, answer)

    async def before(self, request: httpx.Request) -> None:
        """Look at what is about to be done."""
        self.calls += ONE_THING.search(request.url.path) is not None
        await super().before(request)
        path, devenv = request.url.path, await self._devenv()
        await self.check_record()
        if request.method == "POST" and path == "/v1/apps":
            self._check_app(json.loads(request.content))
        if devenv is None or devenv.deleting:
            return
        if request.method == "DELETE" and (match := VOLUME_PATH.search(path)):
            self._check_data(match["id"], devenv, await self._machines())
        elif request.method == "POST" and (match := MACHINES_PATH.search(path)):
            await self._check_order(service_of(match["app"]), devenv)
        elif request.method == "POST" and (match := MACHINE_PATH.search(path)):
            if match["verb"] in (None, "/start"):
                await self._check_order(service_of(match["app"]), devenv)
            elif match["verb"] == "/stop":
                await self._check_stop(match["app"], match["id"], devenv)

    async def check_record(self) -> None:
        """There is nothing to connect with where the row says that there is none."""
        if self.lost:
            return
        row = await self._store.find_row(Key("DevEnv", self._namespace, NAME))
        told = "None" if row is None else row["status"].get("connection", "None")
        if told == "None" and await self._is_told():
            phase = "no environment" if row is None else row["status"].get("phase")
            self._complain(f"a connection record where the row says none ({phase})")

    def after(self, request: httpx.Request) -> None:
        """While there are two databases nobody may write to either."""
        super().after(request)
        running = [m for m in self._fly.machines.values() if m.state in RUNNING]
        databases = [m for m in running if service_of(m.app) == "postgres"]
        others = [m for m in running if service_of(m.app) != "postgres"]
        if len(databases) > 1 and others:
            names = sorted(m.app for m in others)
            self._complain(f"{names} run while there are {len(databases)} databases")

    def _check_app(self, body: dict[str, Any]) -> None:
        name = body.get("name") or body.get("app_name")
        if name not in APPS or not str(body.get("network", "")).startswith(OURS):
            self._complain(f"an app that is none of the six: {body}")

    def _check_data(self, volume: str, devenv: DevEnv, rows: dict[str, Machine]) -> None:
        """A database's volume goes only while the environment's own has every row."""
        found = self._fly.volumes.get(volume)
        if found is None or service_of(found.app) != "postgres":
            return
        told = devenv.status.service("postgres")
        row = None if told is None else rows.get(told.machine)
        held = None if row is None or row.status.volume is None else row.status.volume.id
        if held is None or held == volume:
            if self.rows:
                self._complain(f"deletion of the only database {volume}")
            return
        disk = self._runtime.disks.get(held)
        if self.rows != ({} if disk is None else disk.rows()):
            self._complain(f"deletion of {volume} while {held} lacks rows")
        moving = devenv.status.move
        if moving is not None and moving.step == "Remove":
            self._check_well(f"the removal of {volume}", devenv, rows, devenv.spec.services)

    async def _check_order(self, service: Service, devenv: DevEnv) -> None:
        """A service comes up, or up again, when those before it are well as wished."""
        before = SERVICES[: SERVICES.index(service)]
        self._check_well(service, devenv, await self._machines(), before)

    def _check_well(
        self, what: str, devenv: DevEnv, rows: dict[str, Machine], services: tuple[Service, ...]
    ) -> None:
        """Services are well as they are wished, before something is done."""
        for service in services:
            if service in self.killed or service not in devenv.spec.services:
                continue
            told = devenv.status.service(service)
            row = rows.get(told.machine if told else f"{NAME}-{SUFFIXES[service]}")
            if row is None or not has_come_true(row, "Running") or not self._is_well(row):
                self._complain(f"{what} comes before {service} is well")

    def _is_well(self, row: Machine) -> bool:
        instance = row.status.instance
        machine = None if instance is None else self._fly.machines.get(instance.id)
        return machine is not None and self._runtime.is_well(machine)

    async def _check_stop(self, app: str, instance: str, devenv: DevEnv) -> None:
        """When a service stops for good, users are told nothing, and those after it are down."""
        rows = await self._machines()
        wished = [row for row in rows.values() if row.spec.power == "Stopped"]
        if instance not in [row.status.instance and row.status.instance.id for row in wished]:
            return
        if await self._is_told():
            self._complain(f"{app} stops while there is a connection record")
        if await self._hurries(devenv):
            return
        later = SERVICES[SERVICES.index(service_of(app)) + 1 :]
        left = [m for m in self._fly.machines.values() if m.state in RUNNING]
        if names := sorted(m.app for m in left if service_of(m.app) in later):
            self._complain(f"{app} stops before {names}")

    async def _hurries(self, devenv: DevEnv) -> bool:
        """Whether the order in which services stop does not count any more, or never did."""
        account = await self._store.find(Account, self._namespace)
        if account is None or account.spec.state != "Active":
            return True
        since = devenv.status.last_stopped_at
        moving = devenv.status.move is not None
        return not moving and since is not None and self._store.clock.now() >= since + PATIENCE

    async def _is_told(self) -> bool:
        rows = await self._store.database.fetch(
            "SELECT FROM secrets WHERE (namespace, name) = (%s, %s)",
            self._namespace,
            connection_name(NAME),
        )
        return bool(rows)

    async def _devenv(self) -> DevEnv | None:
        """The environment, if it is there and somebody can read it."""
        with suppress(InvalidError):
            return await self._store.find(DevEnv, NAME, self._namespace)
        return None

    async def _machines(self) -> dict[str, Machine]:
        page = await self._store.list(Machine, namespace=self._namespace)
        return {row.metadata.name: row for row in page.items}
