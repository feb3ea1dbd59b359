"""What must hold in every run: checked after every effect, and once more at the end."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import httpx

from crds.machine import Machine
from crds.store import Store
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.kv import KV

GONE = frozenset({"destroyed", "destroying", "replaced", "migrated"})
MACHINE_PATH = re.compile(r"/v1/apps/(?P<app>[^/]+)/machines/(?P<id>[^/]+)(?P<verb>/\w+)?$")


class Watchman:
    """Looks at every effect before and after, and remembers what was wrong.

    Args:
        fly: The simulated provider of machines.
        kv: The simulated edge memory.
        store: The rows.
    """

    def __init__(self, fly: FlyCloud, kv: KV, store: Store) -> None:
        self._fly = fly
        self._kv = kv
        self._store = store
        self.violations: list[str] = []

    def entries(self) -> dict[str, dict[str, Any]]:
        """The routing entries that the edge would read."""
        space = self._kv.namespaces[self._kv.default]
        return {
            key.removeprefix("route:"): json.loads(entry.value)
            for key, entry in space.entries.items()
            if key.startswith("route:")
        }

    async def before(self, request: httpx.Request) -> None:
        """Nothing is destroyed or stopped that its row does not want destroyed or stopped."""
        match = MACHINE_PATH.search(request.url.path)
        if match is None:
            return
        destroys = request.method == "DELETE" and not match["verb"]
        stops = request.method == "POST" and match["verb"] == "/stop"
        if not destroys and not stops:
            return
        fly_machine = self._fly.machines.get(match["id"])
        if fly_machine is None:
            return
        uid = (fly_machine.config.get("metadata") or {}).get("invoker_uid")
        if uid is None:
            self._complain(f"{request.method} of a machine that is not ours: {match['id']}")
            return
        row = await self._row(uid)
        if destroys:
            self._check_routes(match["id"])
        if row is None or row.deleting or row.status.condition("Stuck") is not None:
            return
        recorded = row.status.instance is None or row.status.instance.id == match["id"]
        if destroys and recorded and row.spec.recreate != "OnRegionChange":
            self._complain(f"destroy of {match['id']}, whose row does not ask for it")
        if stops and row.spec.power == "Running":
            self._complain(f"stop of {match['id']}, whose row wants it running")

    async def after(self, _: httpx.Request) -> None:
        """What must hold after every effect."""
        live: Counter[str] = Counter()
        for machine in self._fly.machines.values():
            uid = (machine.config.get("metadata") or {}).get("invoker_uid")
            if uid is not None and machine.state not in GONE:
                live[uid] += 1
        for uid, number in live.items():
            if number > 1:
                self._complain(f"{number} live machines of {uid}")
        for subdomain, entry in self.entries().items():
            if entry["instance"] is not None:
                self._check_entry(subdomain, entry)

    def check(self) -> None:
        """Fail if anything was wrong so far."""
        assert not self.violations, "\n".join(self.violations)

    def check_no_orphans(self, uids: set[str]) -> None:
        """Everything of ours outside belongs to one of these machines, once."""
        for app in self._fly.apps.values():
            if app.name.startswith("inv-sim-"):
                machines = [
                    machine
                    for machine in self._fly.machines.values()
                    if machine.app == app.name and machine.state not in GONE
                ]
                volumes = [v for v in self._fly.volumes.values() if v.app == app.name]
                marked = {(m.config.get("metadata") or {}).get("invoker_uid") for m in machines}
                if not marked <= uids or len(machines) > 1 or len(volumes) > 1:
                    self._complain(f"orphans in {app.name}: {machines} {volumes}")
                if not uids:
                    self._complain(f"orphan app {app.name}")
        if not uids and self.entries():
            self._complain(f"orphan entries {sorted(self.entries())}")
        self.check()

    def _check_entry(self, subdomain: str, entry: dict[str, Any]) -> None:
        machine = self._fly.machines.get(entry["instance"])
        if machine is None or machine.state in GONE:
            self._complain(f"{subdomain} leads to a machine that is gone: {entry['instance']}")
            return
        owner = (machine.config.get("env") or {}).get("INVOKER_OWNER")
        if owner != entry["account"]:
            self._complain(f"{subdomain} of {entry['account']} leads to {owner}'s machine")

    def _check_routes(self, instance: str) -> None:
        for subdomain, entry in self.entries().items():
            if entry["instance"] == instance:
                self._complain(f"{subdomain} still leads to {instance} when it is destroyed")

    async def _row(self, uid: str) -> Machine | None:
        page = await self._store.list(Machine)
        return next((row for row in page.items if str(row.uid) == uid), None)

    def _complain(self, text: str) -> None:
        self.violations.append(text)
