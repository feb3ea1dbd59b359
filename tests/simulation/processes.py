"""Simulated clouds, a real database, and the controllers' processes on them."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Awaitable, Callable
from itertools import count
from zlib import crc32

import httpx
from prometheus_client import CollectorRegistry

from controller.assembly import Clouds, Pace, Replica
from controller.engine import Timing
from controller.engine.shards import SHARD
from controller.machine.agent import AgentClient
from controller.providers import Gear
from controller.providers.cloudflare import WorkersKV
from controller.providers.fly import Fly
from controller.providers.fly.metrics import FlyMetrics
from crds.credentials import Fingerprinter, MachineTokens
from crds.secrets import Cipher, Secrets
from crds.store import LocalDoorbell, Store
from crds.store.database import Database, Pool
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.runtime import InlineRuntime
from deploy.local.simulators.gateways import gateways
from deploy.local.simulators.kv import KV
from deploy.local.simulators.transport import SimulatorTransport
from tests.simulation.faults import FaultTransport, Life, MortalDatabase, Plan
from tests.simulation.invariants import Watchman
from tests.support.virtual_time import clock, running_loop

INSTALLATION = "sim"
USER = "5e1f8d3c-0000-4000-8000-00000000000a"
HUB_KEY = b"a hub key that nobody may ever read"
ENCRYPTION_KEY = base64.urlsafe_b64encode(b"a" * 32).decode()
RESTART_SECONDS = 1.0
STALE_SECONDS = 60.0
POLL_SECONDS = 1.0
POLL_GROWTH = 1.2
POLL_AT_MOST_SECONDS = 10.0
# How often a watcher looks although nobody rang.
STORE_POLL_SECONDS = 60.0
# A request that is still on its way when its sender has lost the shard.
IN_FLIGHT_SECONDS = 3.0
# Fewer renewals than in production: the sweep is about effects, not about renewing.
PACE = Pace(timing=Timing(duration=120.0, renew_every=40.0, margin=5.0), shards=4)


class Processes:
    """Simulated clouds, a real database, and replicas that can die.

    Args:
        pool: Connections to the database.
        plan: What goes wrong when.
        replicas: How many controllers run.
        seed: Of all that is random.
        doorbell: How news of changes spread; each replica hears it.
    """

    def __init__(
        self, pool: Pool, plan: Plan, *, replicas: int, seed: int, doorbell: LocalDoorbell
    ) -> None:
        self.plan = plan
        self.rng = _random(seed)
        start, loop = running_loop().start.timestamp(), running_loop()
        self.fly = FlyCloud(now=lambda: start + loop.time(), rng=_random(seed))
        self.kv = KV(now=lambda: start + loop.time(), rng=_random(seed))
        self.simulators = SimulatorTransport(fly=self.fly, kv=self.kv)
        self._pool = pool
        self._doorbell = doorbell
        self.store = self._open_store(Database(pool))
        self.tokens = MachineTokens({"1": HUB_KEY})
        self.secrets = Secrets(self.store, Cipher.from_keys(ENCRYPTION_KEY))
        shard = f"{SHARD}{crc32(USER.encode()) % PACE.shards}"
        self.watchman = Watchman(self.fly, self.kv, self.store, shard)
        self._wanted = replicas
        self._names = count(1)
        self._tasks: dict[asyncio.Task[None], Life] = {}
        self.replicas: list[Replica] = []

    @property
    def runtime(self) -> InlineRuntime:
        """What runs the machines."""
        assert isinstance(self.fly.runtime, InlineRuntime)
        return self.fly.runtime

    def _open_store(self, database: Database) -> Store:
        """A process's view of the database."""
        return Store(database, clock(), self._doorbell, poll_seconds=STORE_POLL_SECONDS)

    def start(self) -> None:
        """Start the replicas."""
        for _ in range(self._wanted):
            self._start_replica()

    def _start_replica(self) -> None:
        life = Life()
        name = f"r{next(self._names)}"
        replica = self._replica(life, name)
        self.replicas.append(replica)
        task = asyncio.create_task(replica.run(), name=name)
        self._tasks[task] = life

        def die() -> None:
            self.replicas.remove(replica)
            task.cancel()
            running_loop().call_later(RESTART_SECONDS, self._start_replica)

        life.on_death = die

    def _replica(self, life: Life, name: str) -> Replica:
        store = self._open_store(self._database(life))
        return Replica(
            store,
            self._equipped(self._clouds(self._transport(life, name)), store),
            name=name,
            public_url=lambda subdomain: f"https://{subdomain}.example.com",
            rng=_random(self.rng.random()),
            pace=PACE,
            workers=8,
            registry=self._registry(),
        )

    def _database(self, life: Life) -> Database:
        """A process's way to the rows."""
        return MortalDatabase(self._pool, self.plan, life)

    def _equipped(self, clouds: Clouds, store: Store) -> Clouds:
        """What of a process's outside world goes over its own way to the database."""
        del store
        return clouds

    def _registry(self) -> CollectorRegistry | None:
        """Where a process's metrics are; none by default, for they take time."""
        return None

    def _transport(self, life: Life, name: str) -> FaultTransport:
        return FaultTransport(
            self.simulators,
            self.plan,
            life,
            name=name,
            watchman=self.watchman,
            stale=self._make_lists_stale,
            lose_lease=self._lose_leases,
            hand_over=lambda: self._hand_over(name),
        )

    def _clouds(self, transport: httpx.AsyncBaseTransport) -> Clouds:
        return Clouds(
            fly=Fly(transport, token=self.fly.token, org=self.fly.org, gear=Gear(rng=_random(0))),
            kv=WorkersKV(
                transport,
                token=self.kv.token,
                account=self.kv.account,
                namespace=self.kv.default,
                gear=Gear(rng=_random(0)),
            ),
            agent=AgentClient(transport),
            tokens=self.tokens,
            installation=INSTALLATION,
            agent_env={"INVOKER_API_URL": "https://api.example.com"},
            secrets=self.secrets,
            metrics=FlyMetrics(
                transport, token=self.fly.token, org=self.fly.org, gear=Gear(rng=_random(0))
            ),
            fingerprint=Fingerprinter(HUB_KEY).of,
            gateways=gateways(transport),
            random=_random(0).randbytes,
        )

    async def stop(self) -> None:
        """End every replica without ceremony."""
        for task, life in self._tasks.items():
            life.on_death = lambda: None
            life.dead = True
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _make_lists_stale(self) -> None:
        """Serve lists as they were two mutations ago, for a minute, and have a quick successor."""
        await self.store.database.execute("UPDATE leases SET holder = NULL, epoch = epoch + 1")
        self.fly.stale_lists = self.kv.stale_lists = 2

        def refresh() -> None:
            self.fly.stale_lists = self.kv.stale_lists = 0

        running_loop().call_later(STALE_SECONDS, refresh)

    async def _lose_leases(self) -> None:
        """Take every shard from its holder, who does not know."""
        await self.store.database.execute(
            "UPDATE leases SET holder = 'somebody', epoch = epoch + 1 WHERE holder IS NOT NULL"
        )

    async def _hand_over(self, loser: str) -> None:
        """Give every shard to the other replica, which acts while the loser still believes."""
        await self.store.database.execute(
            "UPDATE leases SET holder = NULL, epoch = epoch + 1 WHERE name LIKE 'shard/%%'"
        )
        for other in self.replicas:
            keeper = other.shards._keeper
            if keeper.holder != loser:
                await keeper.look(SHARD)
                await other.shards._take(PACE.shards)
        await asyncio.sleep(IN_FLIGHT_SECONDS)

    def resync(self) -> None:
        """Have every replica reconcile everything it owns."""
        for replica in self.replicas:
            replica.resync()

    def busy(self) -> bool:
        """Whether a shard is nobody's, or a key waits or is in hand other than for its time."""
        held = [shard for replica in self.replicas for shard in replica.shards.held()]
        return len(held) < PACE.shards or any(
            len(controller.queue) or controller.queue.taken
            for replica in self.replicas
            for controller in replica.controllers
        )

    async def until(
        self,
        holds: Callable[[], Awaitable[bool]],
        what: str,
        *,
        within: float = 900.0,
        every: float = POLL_SECONDS,
    ) -> None:
        """Let time pass until something holds, looking less and less often.

        Raises:
            AssertionError: It does not in the time given, with what is known; or what must
                hold at every step did not.
        """
        deadline = running_loop().time() + within
        while not await holds():
            self.watchman.check()
            if running_loop().time() > deadline:
                raise AssertionError(f"not within {within} s: {what}\n{await self.describe()}")
            await asyncio.sleep(every)
            if every >= POLL_SECONDS:
                every = min(every * POLL_GROWTH, POLL_AT_MOST_SECONDS)
        self.watchman.check()

    async def describe(self) -> str:
        """What there is, for a failure."""
        rows = await self.store.database.fetch(
            "SELECT kind, name, generation, deletion_timestamp, spec, status FROM objects"
        )
        lines = [str(dict(row)) for row in rows]
        lines += [f"struck: {self.plan.struck}", *self.watchman.violations]
        lines += [f"fly machine: {m.id} {m.state}" for m in self.fly.machines.values()]
        lines += [f"kv: {key}" for key in self.kv.namespaces[self.kv.default].entries]
        return "\n".join(lines)


def _random(seed: float) -> random.Random:
    return random.Random(seed)  # noqa: S311 - an order to repeat, not a secret
