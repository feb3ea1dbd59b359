"""A world with one dev environment: what its people do, and what can be seen of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any, TypeVar
from zlib import crc32

import httpx

from controller.assembly import Clouds
from controller.devenv.keys import dashboard_password
from controller.devenv.services import INSPECT_EVERY
from controller.providers import Gear
from controller.providers.netlify import Netlify
from crds.account import Account, AccountSpec
from crds.connection import ConnectionInfo, Keys, keys_name, read_connection
from crds.devenv import DevEnv, DevEnvSpec, NetlifySpec, Service
from crds.errors import ConflictError
from crds.machine import Machine
from crds.meta import ObjectMeta
from crds.secrets import Cipher, Secrets
from crds.store.database import Pool
from deploy.local.simulators.clock import Now
from deploy.local.simulators.fly.state import Machine as FlyMachine
from deploy.local.simulators.netlify import NetlifyAPI, NetlifyTeam
from deploy.local.simulators.transport import SimulatorTransport
from tests.simulation.devenv_disks import Disk, ModelDisk
from tests.simulation.devenv_runtime import DevEnvRuntime
from tests.simulation.devenv_watchman import APPS, NAME, DevEnvWatchman
from tests.simulation.faults import Plan
from tests.simulation.processes import ENCRYPTION_KEY, PACE, USER, _random
from tests.simulation.world import SETTLED_SECONDS, World

SITE = "silo-acme-erp"
# For settling twice and for the resyncs after it.
QUIET = timedelta(seconds=2 * SETTLED_SECONDS + 60)
T = TypeVar("T")


class NotingSecrets(Secrets):
    """The table of secrets, which remembers everything that was ever put into it.

    Attributes:
        noted: Every value.
        replaced: How often a value took the place of another one.
    """

    noted: set[bytes]
    replaced = 0

    async def put(self, namespace: str, name: str, value: bytes, **options: Any) -> None:
        """Store a secret."""
        self.noted.add(value)
        await super().put(namespace, name, value, **options)

    async def ensure(self, namespace: str, name: str, value: bytes, **options: Any) -> bytes:
        """Store a secret unless there is one."""
        self.noted.add(value)
        return await super().ensure(namespace, name, value, **options)

    async def replace(
        self, namespace: str, name: str, old: bytes, new: bytes, **options: Any
    ) -> bytes:
        """Store another value."""
        self.noted.add(new)
        held = await super().replace(namespace, name, old, new, **options)
        self.replaced += held == new
        return held


class DevEnvWorld(World):
    """A world in which a client has one dev environment."""

    def __init__(self, pool: Pool, plan: Plan, **options: Any) -> None:
        super().__init__(pool, plan, **options)
        now = self.fly.now
        self.devenv_runtime = DevEnvRuntime(now, self.fly, lambda volume: self.make(now, volume))
        self.devenv_runtime.on_exit = self.fly.exited
        self.fly.runtime = self.devenv_runtime
        self.team = NetlifyTeam(now=now)
        self.team.add_site(SITE, SITE)
        hosts = {"api.netlify.com": NetlifyAPI(self.team)}
        self.simulators = SimulatorTransport(fly=self.fly, kv=self.kv, hosts=hosts)
        shard = f"shard/{crc32(USER.encode()) % PACE.shards}"
        self.watch = DevEnvWatchman(self.fly, self.kv, self.store, shard, self.devenv_runtime, USER)
        self.watchman = self.watch
        self.noting = NotingSecrets(self.store, Cipher.from_keys(ENCRYPTION_KEY))
        self.noting.noted = set()
        self.secrets = self.noting

    @staticmethod
    def make(now: Now, volume: str) -> Disk:
        """An empty disk of a database."""
        del volume
        return ModelDisk(now)

    def _clouds(self, transport: httpx.AsyncBaseTransport) -> Clouds:
        gear = Gear(rng=_random(0))
        return replace(
            super()._clouds(transport),
            netlify=Netlify(transport, token=self.team.token, gear=gear),
            # Another process draws other bytes.
            random=_random(self.rng.random()).randbytes,
        )

    async def stop(self) -> None:
        """End every replica, and what is left of the databases."""
        await super().stop()
        self.devenv_runtime.close()

    # What people do

    async def register(self, name: str = "acme") -> None:
        """A client signs up."""
        spec = AccountSpec(email=f"{name}@example.com", netlify_sites=[SITE])
        await self.store.create(Account(metadata=ObjectMeta(name=USER), spec=spec))

    async def wish(self, **changes: Any) -> None:
        """Write desired state of the environment, making it when it is not there."""
        while True:
            found = await self.store.find(DevEnv, NAME, USER)
            if found is None:
                usual = {
                    "auto_stop_minutes": None,
                    "netlify": NetlifySpec(site=SITE, team=self.team.slug),
                }
                spec = DevEnvSpec(client="acme", app="erp", **{**usual, **changes})
                meta = ObjectMeta(name=NAME, namespace=USER)
                await self.store.create(DevEnv(metadata=meta, spec=spec))
                return
            found.spec = DevEnvSpec(**{**found.spec.model_dump(), **changes})
            with contextlib.suppress(ConflictError):
                await self.store.update(found)
                return

    async def delete(self) -> None:
        """Delete the environment."""
        await self.store.delete(DevEnv, NAME, USER)

    async def kill(self, service: Service) -> None:
        """Let a service's process die."""
        self.watch.killed.add(service)
        machine = await self.service(service)
        assert machine.status.instance is not None
        self.devenv_runtime.crash(machine.status.instance.id, 137)

    async def write(self, table: str, number: int) -> None:
        """Add rows to the database, as its developers do."""
        self.watch.rows[table] = self.watch.rows.get(table, 0) + number
        (await self.database()).insert(table, number)

    # What can be seen

    async def devenv(self) -> DevEnv:
        """The environment."""
        return await self.store.get(DevEnv, NAME, USER)

    async def service(self, service: Service) -> Machine:
        """The Machine that is a service at present."""
        told = (await self.devenv()).status.service(service)
        assert told is not None
        return await self.store.get(Machine, told.machine, USER)

    async def fly_machine(self, service: Service) -> FlyMachine:
        """The Fly machine that is a service at present."""
        row = await self.service(service)
        assert row.status.instance is not None
        return self.fly.machines[row.status.instance.id]

    async def database(self) -> Disk:
        """The environment's own database."""
        disk = self.devenv_runtime.disk(await self.fly_machine("postgres"))
        assert disk is not None
        return disk

    async def keys(self) -> Keys:
        """The keys that hold."""
        held = await self.secrets.get(USER, keys_name(NAME))
        assert held is not None
        return Keys.from_bytes(held)

    async def connection(self) -> ConnectionInfo | None:
        """What its users are told."""
        return await read_connection(self.secrets, USER, NAME)

    async def phase(self) -> str | None:
        """Its phase, once it is current; None when there is none."""
        devenv = await self.store.find(DevEnv, NAME, USER)
        if devenv is None:
            return None
        page = await self.store.list(Machine, namespace=USER)
        current = devenv.status.observed_generation == devenv.metadata.generation and all(
            row.status.intent is None and row.status.observed_generation == row.metadata.generation
            for row in page.items
        )
        return devenv.status.phase if current else "Unsettled"

    async def until_phase(self, phase: str | None, *, within: float = 1800.0) -> None:
        """Let time pass until it is in a phase."""

        async def holds() -> bool:
            return await self.phase() == phase

        await self.until(holds, f"phase {phase}", within=within)

    async def until_devenv(
        self, holds: Callable[[DevEnv], bool], what: str, *, within: float = 1800.0
    ) -> None:
        """Let time pass until something is true of it."""

        async def look() -> bool:
            return holds(await self.devenv())

        await self.until(look, what, within=within)

    async def until(
        self,
        holds: Callable[[], Awaitable[bool]],
        what: str,
        *,
        within: float = 900.0,
        every: float = 1.0,
    ) -> None:
        """Let time pass; what users are told is looked at whenever somebody looks."""

        async def look() -> bool:
            await self.watch.check_record()
            return await holds()

        await super().until(look, what, within=within, every=every)

    async def quiesce(self) -> None:
        """Come to rest, with some time left before a running database is looked at again."""
        await super().quiesce()
        devenv = await self.store.find(DevEnv, NAME, USER)
        checked = devenv and devenv.status.rls and devenv.status.rls.checked_at
        if not checked or devenv is None or devenv.status.phase != "Running":
            return
        left = checked + INSPECT_EVERY - self.now()
        if left < QUIET:
            await asyncio.sleep(max(0.0, left.total_seconds()) + 30)
            await super().quiesce()

    async def stillness(self) -> Any:
        """What does not change while it rests: calls about single things, and writes."""
        return self.watch.calls, self.plan.writes

    async def until_collected(self, *, within: float) -> None:
        """Nothing is left outside, and nothing secret is left here."""
        await super().until_collected(within=within)
        rows = await self.store.database.fetch("SELECT name FROM secrets")
        assert [] == [row["name"] for row in rows]

    async def more_state(self) -> Any:
        """What the environment came to beyond rows, machines and volumes."""
        names = await self.store.database.fetch("SELECT name FROM secrets ORDER BY name")
        told = await self.connection()
        return {
            "kept": [{"of": str(row["name"])} for row in names],
            "told": None
            if told is None
            else [{"key": f.name} for f in fields(told) if getattr(told, f.name)],
            "rows": await self._rows(),
            "built": {"with": sorted(self.team.baked(SITE, "production"))},
            "apps": sorted(name for name in self.fly.apps if name in APPS),
        }

    async def _rows(self) -> Any:
        devenv = await self.store.find(DevEnv, NAME, USER)
        if devenv is None or devenv.status.service("postgres") is None:
            return None
        row = await self.store.find(Machine, f"{NAME}-pg", USER)
        if row is None and devenv.status.moves == 0:
            return None
        with contextlib.suppress(AssertionError):
            database = await self.database()
            if database.running:
                return {"number": database.rows(), "secured": database.secured()}
        return None

    def secret_values(self) -> list[str]:
        """Every key that ever held, and what follows from it."""
        values = []
        for noted in self.noting.noted:
            kept = json.loads(noted)
            if "made_at" in kept:
                keys = Keys.from_bytes(noted)
                values += [v for k, v in kept.items() if k != "made_at"]
                values.append(dashboard_password(keys))
        return values

    def more_texts(self) -> list[str]:
        """Where else nothing secret may stand: configurations, commands, our own effects."""
        texts = [json.dumps(machine.config) for machine in self.fly.machines.values()]
        texts += [json.dumps(command) for command in self.devenv_runtime.commands]
        return texts + [str(effect) for effect in self.fly.effects]
