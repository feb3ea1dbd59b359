"""What must hold in every run: checked after every effect, and once more at the end."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx

from controller.providers.fly import FAILED_STATES
from crds.machine import Machine
from crds.store import Store
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.state import Machine as FlyMachine
from deploy.local.simulators.kv import KV

GONE = frozenset({"destroyed", "destroying", "replaced", "migrated"})
OURS = "inv-sim-"
OK = 200
APP_PATH = re.compile(r"/v1/apps/(?P<app>[^/]+)$")
VOLUME_PATH = re.compile(r"/v1/apps/[^/]+/volumes/(?P<id>[^/]+)$")
MACHINE_PATH = re.compile(r"/v1/apps/(?P<app>[^/]+)/machines/(?P<id>[^/]+)(?P<verb>/\w+)?$")


class Watchman:
    """Looks at every effect before and after, and remembers what was wrong.

    Args:
        fly: The simulated provider of machines.
        kv: The simulated edge memory.
        store: The rows.
        shard: The lease of everything that the user has.

    Attributes:
        violations: What was wrong so far.
        excused: Machines that somebody else made or destroyed, which is not our doing.
    """

    def __init__(self, fly: FlyCloud, kv: KV, store: Store, shard: str) -> None:
        self._fly = fly
        self._kv = kv
        self._store = store
        self._shard = shard
        self._healthy: set[str] = set()
        self.excused: set[str] = set()
        self.violations: list[str] = []

    def entries(self) -> dict[str, dict[str, Any]]:
        """The routing entries that the edge would read."""
        space = self._kv.namespaces[self._kv.default]
        return {
            key.removeprefix("route:"): json.loads(entry.value)
            for key, entry in space.entries.items()
            if key.startswith("route:")
        }

    def apps(self) -> list[str]:
        """The names of our apps; a neighbour's app can have a name like ours."""
        return [
            app.name
            for app in self._fly.apps.values()
            if app.name.startswith(OURS) and app.org == self._fly.org
        ]

    def heard(self, request: httpx.Request, answer: httpx.Response) -> None:
        """Note which machines have ever answered to the health check."""
        if request.url.path == "/health" and answer.status_code == OK:
            self._healthy.add(request.headers["fly-force-instance-id"])

    async def before(self, request: httpx.Request) -> None:
        """Nothing is destroyed or stopped that its row does not want destroyed or stopped."""
        if match := MACHINE_PATH.search(request.url.path):
            await self._before_machine(request.method, match["id"], match["verb"])
        elif request.method == "DELETE" and (match := VOLUME_PATH.search(request.url.path)):
            await self._before_volume_deletion(match["id"])
        elif request.method == "DELETE" and (match := APP_PATH.search(request.url.path)):
            await self._before_app_deletion(match["app"])

    async def check_owner(self, sender: str) -> None:
        """While nothing goes wrong, only the holder of the shard changes a machine."""
        rows = await self._store.database.fetch(
            "SELECT holder FROM leases WHERE name = %s", self._shard
        )
        holders = [row["holder"] for row in rows]
        if holders != [sender]:
            self._complain(f"{sender} acts on what {holders} holds")

    async def _before_machine(self, method: str, instance: str, verb: str | None) -> None:
        destroys = method == "DELETE" and not verb
        stops = method == "POST" and verb == "/stop"
        fly_machine = self._fly.machines.get(instance)
        if fly_machine is None or not (destroys or stops):
            return
        uid = _uid(fly_machine)
        if uid is None:
            self._complain(f"{method} of a machine that is not ours: {instance}")
            return
        if destroys:
            self._check_routes(instance)
        row = await self._row(lambda row: str(row.uid) == uid)
        if row is None or row.deleting or row.status.condition("Stuck") is not None:
            return
        if fly_machine.state in FAILED_STATES or row.status.condition("CrashLoop") is not None:
            return
        recorded = row.status.instance is None or row.status.instance.id == instance
        if destroys and recorded and row.spec.recreate != "OnRegionChange":
            self._complain(f"destroy of {instance}, whose row does not ask for it")
        if stops and row.spec.power == "Running" and not _wants_restart(row):
            self._complain(f"stop of {instance}, whose row wants it running")

    async def _before_volume_deletion(self, volume: str) -> None:
        row = await self._row(
            lambda row: row.status.volume is not None and row.status.volume.id == volume
        )
        if row is None or row.deleting or row.spec.recreate == "OnRegionChange":
            return
        if row.status.volume is not None and row.status.volume.used:
            self._complain(f"deletion of volume {volume}, whose row does not ask for it")

    async def _before_app_deletion(self, app: str) -> None:
        found = self._fly.apps.get(app)
        # An app whose name is somebody's wish is ours by its network.
        if not app.startswith(OURS) and not (found and found.network.startswith(OURS)):
            self._complain(f"deletion of an app that is not ours: {app}")
        row = await self._row(lambda row: row.status.app is not None and row.status.app.name == app)
        if row is not None and not row.deleting:
            self._complain(f"deletion of app {app}, whose row does not ask for it")

    def after(self, _: httpx.Request) -> None:
        """What must hold after every effect."""
        live = Counter(
            uid
            for machine in self._fly.machines.values()
            if machine.state not in GONE
            and machine.id not in self.excused
            and (uid := _uid(machine)) is not None
        )
        for uid, number in live.items():
            if number > 1:
                self._complain(f"{number} live machines of {uid}")
        for subdomain, entry in self.entries().items():
            # A neighbour's entry need not look like ours.
            if entry.get("instance") is not None:
                self._check_entry(subdomain, entry)

    def check(self) -> None:
        """Fail if anything was wrong so far."""
        assert not self.violations, "\n".join(self.violations)

    def check_machines_gone(self) -> None:
        """A row goes only after everything outside is gone, without the collector's help."""
        left = self.apps()
        left += [m.id for m in self._fly.machines.values() if _uid(m) and m.state not in GONE]
        left += [v.id for v in self._fly.volumes.values() if v.app.startswith(OURS)]
        if left:
            self._complain(f"the rows are gone, left outside is {left}")
        self.check()

    def check_nothing_left(self) -> None:
        """Nothing of ours is outside."""
        self.check_machines_gone()
        if self.entries():
            self._complain(f"left at the edge: {sorted(self.entries())}")
        self.check()

    def _check_entry(self, subdomain: str, entry: dict[str, Any]) -> None:
        machine = self._fly.machines.get(entry["instance"])
        if machine is not None and machine.id in self.excused:
            return
        if machine is None or machine.state in GONE:
            self._complain(f"{subdomain} leads to a machine that is gone: {entry['instance']}")
            return
        owner = (machine.config.get("env") or {}).get("INVOKER_OWNER")
        if entry["instance"] not in self._healthy:
            self._complain(f"{subdomain} leads to {entry['instance']}, which was never healthy")
        if owner != entry["account"]:
            self._complain(f"{subdomain} of {entry['account']} leads to {owner}'s machine")

    def _check_routes(self, instance: str) -> None:
        for subdomain, entry in self.entries().items():
            if entry.get("instance") == instance:
                self._complain(f"{subdomain} still leads to {instance} when it is destroyed")

    async def _row(self, wanted: Callable[[Machine], bool]) -> Machine | None:
        page = await self._store.list(Machine)
        return next(filter(wanted, page.items), None)

    def _complain(self, text: str) -> None:
        self.violations.append(text)


def _wants_restart(row: Machine) -> bool:
    """Whether its process started before a restart was wished."""
    instance, wished = row.status.instance, row.spec.restart_at
    started = None if instance is None else instance.started_at
    return wished is not None and started is not None and started < wished


def _uid(machine: FlyMachine) -> str | None:
    """Whose a machine is, by its marks."""
    uid: str | None = (machine.config.get("metadata") or {}).get("invoker_uid")
    return uid
