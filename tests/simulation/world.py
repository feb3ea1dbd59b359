"""A world in memory: simulated clouds, a real database, replicas that can die; on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import httpx

from controller.assembly import Clouds, Pace, Replica
from controller.engine import Timing
from controller.machine.agent import AgentClient
from controller.providers import Gear
from controller.providers.cloudflare import WorkersKV
from controller.providers.fly import Fly
from crds.account import Account, AccountSpec
from crds.credentials import MachineTokens
from crds.errors import ConflictError
from crds.machine import Machine
from crds.meta import ObjectMeta
from crds.route import Route, RouteSpec
from crds.store import LocalDoorbell, Store
from crds.store.database import Database, Pool, make_pool
from crds.workspace import WORKSPACE, Workspace, WorkspaceSpec
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.runtime import InlineRuntime
from deploy.local.simulators.kv import KV
from deploy.local.simulators.transport import SimulatorTransport
from tests.simulation.faults import FaultTransport, Life, MortalDatabase, Plan
from tests.simulation.invariants import GONE, Watchman
from tests.support.virtual_time import clock, running_loop

INSTALLATION = "sim"
HUB_KEY = b"a hub key that nobody may ever read"
USER = "5e1f8d3c-0000-4000-8000-00000000000a"
RESTART_SECONDS = 1.0
STALE_SECONDS = 60.0
POLL_SECONDS = 1.0
OK = 200
SETTLED_SECONDS = 120.0
# Fewer renewals than in production: the sweep is about effects, not about renewing.
PACE = Pace(timing=Timing(duration=120.0, renew_every=40.0, margin=5.0), shards=4)


class World:
    """Everything there is.

    Args:
        pool: Connections to the database.
        plan: What goes wrong when.
        replicas: How many controllers run.
        seed: Of all that is random.
    """

    def __init__(self, pool: Pool, plan: Plan, *, replicas: int, seed: int) -> None:
        self.plan = plan
        self.rng = random.Random(seed)
        start = running_loop().start.timestamp()
        loop = running_loop()
        self.fly = FlyCloud(now=lambda: start + loop.time(), rng=random.Random(seed))
        self.kv = KV(now=lambda: start + loop.time(), rng=random.Random(seed))
        self.simulators = SimulatorTransport(fly=self.fly, kv=self.kv)
        self._pool = pool
        self._doorbell = LocalDoorbell()
        self.store = self.open_store(Database(pool))
        self.tokens = MachineTokens({"1": HUB_KEY})
        self.watchman = Watchman(self.fly, self.kv, self.store)
        self._wanted = replicas
        self._names = count(1)
        self._tasks: dict[asyncio.Task[None], Life] = {}
        self.replicas: list[Replica] = []
        self.seen_uids: set[UUID] = set()

    @property
    def runtime(self) -> InlineRuntime:
        """What runs the machines."""
        assert isinstance(self.fly.runtime, InlineRuntime)
        return self.fly.runtime

    def open_store(self, database: Database) -> Store:
        """A process's view of the database; all hear the same doorbell."""
        return Store(database, clock(), self._doorbell, poll_seconds=60.0)

    async def start(self) -> None:
        """Start the replicas."""
        for _ in range(self._wanted):
            self.start_replica()

    def start_replica(self) -> None:
        """Start one more replica."""
        life = Life()
        name = f"r{next(self._names)}"
        store = self.open_store(MortalDatabase(self._pool, self.plan, life))
        transport = FaultTransport(
            self.simulators,
            self.plan,
            life,
            before=self.watchman.before,
            after=self.watchman.after,
            stale=self.make_lists_stale,
            lose_lease=self.lose_leases,
        )
        replica = Replica(
            store,
            self._clouds(transport),
            name=name,
            public_url=lambda subdomain: f"https://{subdomain}.example.com",
            rng=random.Random(self.rng.random()),
            pace=PACE,
            workers=8,
        )
        self.replicas.append(replica)
        task = asyncio.create_task(replica.run(), name=name)
        self._tasks[task] = life

        def die() -> None:
            self.replicas.remove(replica)
            task.cancel()
            running_loop().call_later(RESTART_SECONDS, self.start_replica)

        life.on_death = die

    def _clouds(self, transport: httpx.AsyncBaseTransport) -> Clouds:
        return Clouds(
            fly=Fly(
                transport,
                token=self.fly.token,
                org=self.fly.org,
                gear=Gear(rng=random.Random(0)),
            ),
            kv=WorkersKV(
                transport,
                token=self.kv.token,
                account=self.kv.account,
                namespace=self.kv.default,
                gear=Gear(rng=random.Random(0)),
            ),
            agent=AgentClient(transport),
            tokens=self.tokens,
            installation=INSTALLATION,
            agent_env={"INVOKER_API_URL": "https://api.example.com"},
        )

    async def stop(self) -> None:
        """End every replica without ceremony."""
        for task, life in self._tasks.items():
            life.on_death = lambda: None
            life.dead = True
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def kill_one(self) -> None:
        """Kill the oldest replica, as kill -9 does."""
        task, life = next((t, each) for t, each in self._tasks.items() if not each.dead)
        del task
        life.dead = True
        life.on_death()

    def make_lists_stale(self) -> None:
        """Serve lists as they were two mutations ago, for a minute."""
        self.fly.stale_lists = self.kv.stale_lists = 2

        def refresh() -> None:
            self.fly.stale_lists = self.kv.stale_lists = 0

        running_loop().call_later(STALE_SECONDS, refresh)

    async def lose_leases(self) -> None:
        """Take every shard from its holder, who does not know."""
        await self.store.database.execute(
            "UPDATE leases SET holder = 'somebody', epoch = epoch + 1 WHERE holder IS NOT NULL"
        )

    async def until(
        self,
        holds: Callable[[], Awaitable[bool]],
        what: str,
        *,
        within: float = 900.0,
        every: float = POLL_SECONDS,
    ) -> None:
        """Let time pass until something holds.

        Raises:
            AssertionError: It does not in the time given, with what is known.
        """
        deadline = running_loop().time() + within
        while not await holds():
            if running_loop().time() > deadline:
                raise AssertionError(f"not within {within} s: {what}\n{await self.describe()}")
            await asyncio.sleep(every)
        self.watchman.check()

    async def describe(self) -> str:
        """What there is, for a failure."""
        rows = await self.store.database.fetch(
            "SELECT kind, name, generation, deletion_timestamp, spec, status FROM objects"
        )
        lines = [str(dict(row)) for row in rows]
        lines += [f"struck: {self.plan.struck}"]
        lines += [f"fly machine: {m.id} {m.state}" for m in self.fly.machines.values()]
        lines += [f"kv: {key}" for key in self.kv.namespaces[self.kv.default].entries]
        return "\n".join(lines)

    # What people do

    async def register(self, name: str = "alice") -> None:
        """Sign up: an account and a claim on a name."""
        await self.store.create(
            Account(
                metadata=ObjectMeta(name=USER), spec=AccountSpec(email=f"{name}@example.com")
            )
        )
        await self.store.create(
            Route(metadata=ObjectMeta(name=name), spec=RouteSpec(account=USER))
        )

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
        request = httpx.Request(
            "GET",
            f"{entry['target']}/api/identity",
            headers={"fly-force-instance-id": entry["instance"]},
        )
        answer = await self.simulators.handle_async_request(request)
        return answer.status_code

    async def pass_time(self, span: timedelta) -> None:
        """Let time pass."""
        await asyncio.sleep(span.total_seconds())

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
        )
        return workspace.status.phase if current and settled else "Unsettled"

    async def until_phase(self, phase: str | None, *, within: float = 900.0) -> None:
        """Let time pass until the workspace is in a phase and the edge knows it."""

        async def holds() -> bool:
            return await self.phase() == phase and await self._published()

        await self.until(holds, f"phase {phase}", within=within)

    async def _published(self) -> bool:
        routes = await self.store.list(Route)
        return all(
            route.status.published and not route.deleting
            for route in routes.items
        ) and await self._routes_agree()

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

    async def until_condition(self, type_: str) -> None:
        """Let time pass until the workspace shows a condition."""

        async def holds() -> bool:
            workspace = await self.store.find(Workspace, WORKSPACE, USER)
            return workspace is not None and workspace.status.is_true(type_)

        await self.until(holds, f"condition {type_}")

    async def until_restarts(self, number: int) -> None:
        """Let time pass until so many crashes are on record."""

        async def holds() -> bool:
            machine = await self.machine()
            return machine is not None and machine.status.restarts.count >= number

        await self.until(holds, f"{number} crashes counted")

    async def until_region(self, region: str) -> None:
        """Let time pass until the volume is in a region."""

        async def holds() -> bool:
            machine = await self.machine()
            volume = machine and machine.status.volume
            return volume is not None and volume.region == region

        await self.until(holds, f"volume in {region}")

    async def until_app(self) -> None:
        """Let time pass until something was made outside."""

        async def holds() -> bool:
            return any(app.startswith(f"inv-{INSTALLATION}-") for app in self.fly.apps)

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

    async def crash_machine(self) -> None:
        """End the machine's process as if by itself."""
        machine = await self.machine()
        assert machine is not None
        assert machine.status.instance is not None
        self.runtime.crash(machine.status.instance.id, 137)

    async def quiesce(self) -> None:
        """Let time pass until no key waits and no intent is pending."""

        async def holds() -> bool:
            rows = await self.store.project("Machine", intent="status.intent.operation")
            idle = all(
                len(controller.queue) == 0 and not controller.queue.taken
                for replica in self.replicas
                for controller in replica.controllers
            )
            return idle and all(row["intent"] is None for row in rows)

        await self.until(holds, "quiet")
        # What a late notification would still bring.
        await asyncio.sleep(SETTLED_SECONDS)
        await self.until(holds, "quiet")

    async def until_collected(self, *, within: float) -> None:
        """Let time pass until nothing of ours is left outside."""

        async def holds() -> bool:
            ours = [app for app in self.fly.apps if app.startswith(f"inv-{INSTALLATION}-")]
            await self._remember_uids()
            return not ours and not self.watchman.entries()

        await self._remember_uids()
        await self.store.delete(Account, USER)
        await self.until(holds, "collected", within=within)

    async def _remember_uids(self) -> None:
        rows = await self.store.database.fetch(
            "SELECT DISTINCT uid FROM object_log WHERE kind = 'Machine'"
        )
        self.seen_uids = {row["uid"] for row in rows}

    async def resync(self) -> None:
        """Have every replica reconcile everything it owns."""
        for replica in self.replicas:
            replica.resync()
        await asyncio.sleep(5.0)


@asynccontextmanager
async def world(
    url: str, plan: Plan | None = None, *, replicas: int = 1, seed: int = 0
) -> AsyncIterator[World]:
    """A world on an empty, migrated database; call it on a virtual loop."""
    async with make_pool(url, 4) as pool:
        made = World(pool, plan or Plan(), replicas=replicas, seed=seed)
        await made.start()
        try:
            yield made
        finally:
            await made.stop()
