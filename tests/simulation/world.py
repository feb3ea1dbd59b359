"""A world in memory on virtual time: what people do in it, and what can be seen."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import httpx

from crds.account import Account, AccountSpec
from crds.errors import ConflictError
from crds.machine import Machine
from crds.meta import ObjectMeta
from crds.route import Route, RouteSpec
from crds.store import LocalDoorbell
from crds.store.database import make_pool
from crds.workspace import WORKSPACE, Workspace, WorkspaceSpec
from tests.simulation.faults import Plan
from tests.simulation.invariants import GONE
from tests.simulation.processes import USER, Processes

OK = 200
SETTLED_SECONDS = 120.0


class World(Processes):
    """Everything there is, with the one user who lives in it."""

    seen_uids: frozenset[UUID] = frozenset()

    # What people do

    async def register(self, name: str = "alice") -> None:
        """Sign up: an account and a claim on a name."""
        await self.store.create(
            Account(metadata=ObjectMeta(name=USER), spec=AccountSpec(email=f"{name}@example.com"))
        )
        await self.store.create(Route(metadata=ObjectMeta(name=name), spec=RouteSpec(account=USER)))

    async def wish(self, **changes: Any) -> None:
        """Write desired state of the workspace, making it when it is not there."""
        while True:
            found = await self.store.find(Workspace, WORKSPACE, USER)
            if found is None:
                spec = WorkspaceSpec(**{"subdomain": "alice", **changes})
                meta = ObjectMeta(name=WORKSPACE, namespace=USER)
                await self.store.create(Workspace(metadata=meta, spec=spec))
                return
            found.spec = WorkspaceSpec(**{**found.spec.model_dump(), **changes})
            with contextlib.suppress(ConflictError):
                await self.store.update(found)
                return

    async def delete(self) -> None:
        """Delete the workspace."""
        await self.store.delete(Workspace, WORKSPACE, USER)

    async def request(self, subdomain: str = "alice") -> int:
        """A user's request as the edge would send it; returns the status, 0 without a route."""
        entry = self.entry(subdomain)
        if entry is None or not entry.get("target"):
            return 0
        return await self.ask_machine(entry["target"], entry["instance"])

    async def ask_machine(self, target: str, instance: str) -> int:
        """A request to a machine past the edge; returns the status."""
        request = httpx.Request(
            "GET", f"{target}/api/identity", headers={"fly-force-instance-id": instance}
        )
        answer = await self.simulators.handle_async_request(request)
        return answer.status_code

    async def pass_time(self, span: timedelta) -> None:
        """Let time pass."""
        await asyncio.sleep(span.total_seconds())

    async def pass_time_seconds(self, seconds: float) -> None:
        """The same, for short whiles."""
        await asyncio.sleep(seconds)

    # What sweeps ask

    async def stillness(self) -> Any:
        """What does not change while everything rests, beyond the effects outside."""
        return None

    async def more_state(self) -> Any:
        """What this world came to beyond rows, machines, volumes and entries."""
        return {}

    def secret_values(self) -> list[str]:
        """What is secret beyond tokens and keys of processes."""
        return []

    def more_texts(self) -> list[str]:
        """Where else nothing secret may stand, beyond logs and rows."""
        return []

    # What can be seen

    def entry(self, subdomain: str) -> dict[str, Any] | None:
        """The edge's entry of a subdomain."""
        return self.watchman.entries().get(subdomain)

    async def machine(self) -> Machine | None:
        """The user's machine."""
        return await self.store.find(Machine, WORKSPACE, USER)

    async def phase(self) -> str | None:
        """The workspace's phase, once it is current; None when there is no workspace."""
        workspace = await self.store.find(Workspace, WORKSPACE, USER)
        if workspace is None:
            return None
        machine = await self.machine()
        current = workspace.status.observed_generation == workspace.metadata.generation
        settled = machine is not None and (
            machine.status.observed_generation == machine.metadata.generation
            and machine.status.intent is None
            and machine.status.phase == workspace.status.phase
        )
        return workspace.status.phase if current and settled else "Unsettled"

    async def until_phase(self, phase: str | None, *, within: float = 900.0) -> None:
        """Let time pass until the workspace is in a phase and the edge knows it."""

        async def holds() -> bool:
            return await self.phase() == phase and await self._published()

        await self.until(holds, f"phase {phase}", within=within)

    async def _published(self) -> bool:
        routes = await self.store.list(Route)
        return (
            all(route.status.published and not route.deleting for route in routes.items)
            and await self._routes_agree()
        )

    async def _routes_agree(self) -> bool:
        phase = await self.phase()
        expected = {"Running": "running", "Asleep": "asleep", "Stopped": "stopped"}.get(phase or "")
        workspace = await self.store.find(Workspace, WORKSPACE, USER)
        if workspace is None or expected is None:
            return True
        entry = self.entry(workspace.spec.subdomain)
        return entry is not None and entry["state"] == expected

    async def until_answered(self, subdomain: str = "alice") -> None:
        """Let time pass until the user's own machine answers."""

        async def holds() -> bool:
            return await self.request(subdomain) == OK

        await self.until(holds, f"{subdomain} answers")

    async def until_entry(self, subdomain: str, state: str) -> None:
        """Let time pass until the edge holds an entry of a state."""

        async def holds() -> bool:
            entry = self.entry(subdomain)
            return entry is not None and entry["state"] == state

        await self.until(holds, f"{subdomain} is {state}")

    async def until_condition(self, type_: str, *, within: float = 900.0) -> None:
        """Let time pass until the workspace shows a condition."""

        async def holds() -> bool:
            workspace = await self.store.find(Workspace, WORKSPACE, USER)
            return workspace is not None and workspace.status.is_true(type_)

        await self.until(holds, f"condition {type_}", within=within)

    async def events(self) -> set[str]:
        """The reasons of all events so far."""
        rows = await self.store.database.fetch("SELECT DISTINCT reason FROM events")
        return {row["reason"] for row in rows}

    async def until_no_condition(self, type_: str) -> None:
        """Let time pass until the workspace shows a condition no more."""

        async def holds() -> bool:
            workspace = await self.store.find(Workspace, WORKSPACE, USER)
            return workspace is not None and not workspace.status.is_true(type_)

        await self.until(holds, f"no condition {type_}")

    async def has_shown(self, type_: str) -> bool:
        """Whether the workspace ever showed a condition."""
        rows = await self.store.database.fetch(
            "SELECT FROM object_log WHERE kind = 'Workspace' AND object @@ %s::jsonpath LIMIT 1",
            f'exists($.status.conditions[*] ? (@.type == "{type_}" && @.status == "True"))',
        )
        return bool(rows)

    async def until_event(self, reason: str, *, within: float = 900.0) -> None:
        """Let time pass until an event with a reason was recorded."""

        async def holds() -> bool:
            return reason in await self.events()

        await self.until(holds, f"event {reason}", within=within)

    async def until_restarts(self, number: int) -> None:
        """Let time pass until so many crashes are on record."""

        async def holds() -> bool:
            machine = await self.machine()
            return machine is not None and machine.status.restarts.count >= number

        await self.until(holds, f"{number} crashes counted")

    async def until_starts(self, number: int) -> None:
        """Let time pass until the process has started so often."""

        async def holds() -> bool:
            return await self.starts() >= number

        await self.until(holds, f"{number} starts")

    async def until_region(self, region: str) -> None:
        """Let time pass until the volume is in a region."""

        async def holds() -> bool:
            machine = await self.machine()
            volume = None if machine is None else machine.status.volume
            return volume is not None and volume.region == region

        await self.until(holds, f"volume in {region}")

    async def until_app(self) -> None:
        """Let time pass until something was made outside."""

        async def holds() -> bool:
            return bool(self.watchman.apps())

        await self.until(holds, "an app", every=0.01)

    async def volume_id(self) -> str:
        """The volume that is on record."""
        machine = await self.machine()
        assert machine is not None
        assert machine.status.volume is not None
        return machine.status.volume.id

    def fly_config(self) -> dict[str, Any]:
        """The config of the one live Fly machine."""
        (machine,) = (m for m in self.fly.machines.values() if m.state not in GONE)
        return machine.config

    async def instance_id(self) -> str:
        """The Fly machine that is on record."""
        machine = await self.machine()
        assert machine is not None
        assert machine.status.instance is not None
        return machine.status.instance.id

    async def starts(self) -> int:
        """How often the recorded machine's process has started."""
        events = self.fly.machines[await self.instance_id()].events
        return sum((event.type, event.status) == ("start", "started") for event in events)

    def now(self) -> datetime:
        """The wall time."""
        return self.store.clock.now()

    async def app_name(self) -> str:
        """The app that is on record."""
        machine = await self.machine()
        assert machine is not None
        assert machine.status.app is not None
        return machine.status.app.name

    async def crash_machine(self) -> None:
        """End the machine's process as if by itself."""
        self.runtime.crash(await self.instance_id(), 137)

    async def call_fly(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Use the provider's API as somebody else with our token would."""
        answer = await self.simulators.handle_async_request(
            httpx.Request(
                method,
                f"https://api.machines.dev/v1{path}",
                headers={"authorization": f"Bearer {self.fly.token}"},
                json=body or {},
            )
        )
        content = await answer.aread()
        assert answer.is_success, content
        return json.loads(content) if content else None

    async def quiesce(self) -> None:
        """Let time pass until no key waits and no intent is pending."""

        async def holds() -> bool:
            if self.busy():
                return False
            rows = await self.store.project("Machine", intent="status.intent.operation")
            return all(row["intent"] is None for row in rows) and await self._edge_agrees()

        await self.until(holds, "quiet")
        # What a late notification would still bring.
        await asyncio.sleep(SETTLED_SECONDS)
        await self.until(holds, "quiet")

    async def _edge_agrees(self) -> bool:
        """Whether every entry is the one on record; a late write is found at the next look."""
        rows = await self.store.project(
            "Route", stamp="status.entry.stamp", state="status.entry.state"
        )
        recorded = {row["name"]: int(row["stamp"]) for row in rows if row["state"]}
        return recorded == {name: entry["stamp"] for name, entry in self.watchman.entries().items()}

    async def until_collected(self, *, within: float) -> None:
        """Let time pass until nothing of ours is left outside."""

        async def holds() -> bool:
            await self._remember_uids()
            return not self.watchman.apps() and not self.watchman.entries()

        await self._remember_uids()
        await self.store.delete(Account, USER)
        await self.until(holds, "collected", within=within)

    async def _remember_uids(self) -> None:
        rows = await self.store.database.fetch(
            "SELECT DISTINCT uid FROM object_log WHERE kind = 'Machine'"
        )
        self.seen_uids = frozenset(row["uid"] for row in rows)


_KINDS: dict[object, type[World]] = {}
L = TypeVar("L")


def lived_in(kind: type[World]) -> Callable[[L], L]:
    """Say in what kind of world a life is lived."""

    def note(life: L) -> L:
        _KINDS[life] = kind
        return life

    return note


def kind_of(life: object) -> type[World]:
    """The kind of world in which a life is lived."""
    return _KINDS.get(life, World)


@asynccontextmanager
async def world(
    url: str,
    plan: Plan | None = None,
    *,
    replicas: int = 1,
    seed: int = 0,
    doorbell: LocalDoorbell | None = None,
    kind: type[World] = World,
) -> AsyncIterator[World]:
    """A world on an empty, migrated database; call it on a virtual loop."""
    async with make_pool(url, 4) as pool:
        made = kind(
            pool,
            plan or Plan(),
            replicas=replicas,
            seed=seed,
            doorbell=doorbell or LocalDoorbell(),
        )
        made.start()
        try:
            yield made
        finally:
            await made.stop()
