"""Simulated DigitalOcean, the gateways' hub and droplets, and the processes that act on them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID
from zlib import crc32

import httpx

from controller.assembly import Clouds
from controller.grants import Application
from controller.providers import Gear
from controller.providers.digitalocean import DigitalOcean, DigitalOceanOAuth
from controller.vps.names import uid_tag
from crds.secrets import Cipher, Secrets
from crds.store import Store
from crds.store.database import Database, Pool
from crds.store.observations import Observation
from deploy.local.simulators.digitalocean import (
    API_HOST,
    OAUTH_HOST,
    DigitalOceanAPI,
    DigitalOceanCloud,
    Droplet,
    DropletTimings,
    OAuthApp,
)
from deploy.local.simulators.gateways import (
    HUB_HOST,
    TOKENS,
    DropletGateways,
    Hub,
    authentication,
    into_store,
)
from deploy.local.simulators.transport import SimulatorTransport
from deploy.local.simulators.wire import Handler
from tests.simulation.devenv_world import NotingSecrets
from tests.simulation.faults import Fault, Life, MortalDatabase, Plan
from tests.simulation.processes import ENCRYPTION_KEY, PACE, USER, _random
from tests.simulation.vps_watchman import TAG, VpsWatchman
from tests.simulation.world import World
from tests.support.virtual_time import running_loop

EMAIL: Final = "ada@example.com"
REDIRECT: Final = OAuthApp().redirect_uris[0]
# As long as the real ones take, and the address later than the droplet runs.
TIMINGS: Final = replace(DropletTimings.real(), address_seconds=60)
# Every other shutdown is not heeded.
IGNORED: Final = 0.5
LOOK_SECONDS: Final = 20.0
# What a process writes beside the rows.
BESIDE: Final = (
    "INSERT INTO secrets",
    "UPDATE secrets",
    "DELETE FROM secrets",
    # By a row's own removal; what is left of others is swept up now and then.
    "DELETE FROM gateway_observations WHERE",
)


class SecretiveDatabase(MortalDatabase):
    """A process's database; what it writes of secrets and reports is a row write too."""

    async def execute(self, query: str, *parameters: object) -> int:
        """Run a statement; die after it when that is planned."""
        count = await super().execute(query, *parameters)
        wrote = count and query.startswith(BESIDE)
        if wrote and self._plan.write(query[:40]) is Fault.CRASH_RECORDED:
            await self._life.end()
        return count


class VpsProcesses(World):
    """DigitalOcean, the hub, the gateways in the droplets, and replicas that know of them.

    Attributes:
        cloud: DigitalOcean.
        hub: The gateways' hub.
        gateways: What runs in the droplets.
        noted: Every value that was ever put among the secrets.
        reports_lost: Whether the hub's reports find nobody.
    """

    def __init__(self, pool: Pool, plan: Plan, *, seed: int = 0, **options: Any) -> None:
        super().__init__(pool, plan, seed=seed, **options)
        self.cloud = DigitalOceanCloud(now=self.fly.now, rng=_random(seed), timings=TIMINGS)
        self.cloud.ignored_shutdowns = IGNORED
        self.noted: set[bytes] = set()
        self.secrets = self._noting(self.store)
        self.reports_lost = False
        self.hub = Hub(
            self._report,
            authentication(self.store, self.secrets, TOKENS),
            now=self.fly.now,
        )
        self.gateways = DropletGateways(self.hub)
        self.cloud.on_boot, self.cloud.on_halt = self.gateways.boot, self.gateways.halt
        api = DigitalOceanAPI(self.cloud)
        hosts: dict[str, Handler] = {API_HOST: api, OAUTH_HOST: api, HUB_HOST: self.hub}
        self.simulators = SimulatorTransport(fly=self.fly, kv=self.kv, hosts=hosts)
        shard = f"shard/{crc32(USER.encode()) % PACE.shards}"
        self.watch = VpsWatchman(
            self.fly,
            self.kv,
            self.store,
            shard,
            cloud=self.cloud,
            hub=self.hub,
            gateways=self.gateways,
            secrets=self.secrets,
        )
        self.watchman = self.watch
        self.neighbours: list[Droplet] = []
        self._looking: asyncio.Task[None] | None = None

    async def _report(self, gateway: UUID, seen: Sequence[Observation]) -> None:
        """What the API does with the hub's reports."""
        if self.reports_lost:
            raise ConnectionError
        await into_store(self.store)(gateway, seen)

    # Its processes

    def start(self) -> None:
        """Start the replicas, beside droplets that are not ours."""
        self.neighbours = [self.neighbour([]), self.neighbour(["invoker:other"])]
        super().start()
        self._looking = asyncio.get_running_loop().create_task(self._look())

    async def stop(self) -> None:
        """End everything."""
        await super().stop()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self.gateways.aclose()
        await self.hub.aclose()
        await self.cloud.aclose()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.watch.look()

    def _database(self, life: Life) -> Database:
        return SecretiveDatabase(self._pool, self.plan, life)

    def _noting(self, store: Store) -> Secrets:
        made = NotingSecrets(store, Cipher.from_keys(ENCRYPTION_KEY))
        made.noted = self.noted
        return made

    def _equipped(self, clouds: Clouds, store: Store) -> Clouds:
        # Another process draws other bytes.
        return replace(
            clouds, secrets=self._noting(store), random=_random(self.rng.random()).randbytes
        )

    def _clouds(self, transport: httpx.AsyncBaseTransport) -> Clouds:
        app = OAuthApp()
        oauth = DigitalOceanOAuth(
            transport,
            client_id=app.client_id,
            client_secret=app.client_secret,
            redirect_uri=REDIRECT,
            gear=Gear(rng=_random(0)),
        )
        api = DigitalOcean(transport, gear=Gear(rng=_random(0)))
        return replace(super()._clouds(transport), digitalocean=Application(oauth, api))

    async def _make_lists_stale(self) -> None:
        """DigitalOcean's lists too."""
        await super()._make_lists_stale()
        self.cloud.stale_lists = 2

        def refresh() -> None:
            self.cloud.stale_lists = 0

        running_loop().call_later(60.0, refresh)

    def neighbour(self, tags: list[str], *, user_data: str = "") -> Droplet:
        """A droplet that somebody else makes in the user's team."""
        body = {
            "name": "neighbour",
            "region": "ams3",
            "size": "s-1vcpu-1gb",
            "image": "ubuntu-24-04-x64",
            "tags": tags,
            "user_data": user_data,
        }
        made = self.cloud.create_droplet(self.cloud.team_of(EMAIL), body)
        return self.cloud.droplets[made["droplet"]["id"]]


def twin_tags(uid: UUID, installation: str = TAG) -> list[str]:
    """The tags of a droplet in a VPS' name."""
    return [installation, uid_tag(uid)]
