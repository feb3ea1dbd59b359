"""One replica, put together: stores, clouds, reconcilers, and the engine that runs them."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

import anyio
from opentelemetry.trace import Tracer
from prometheus_client import CollectorRegistry
from psycopg import Error as DatabaseError
from psycopg_pool import PoolClosed, PoolTimeout

from controller import mapping
from controller.account import AccountReconciler
from controller.cloud_connection import CloudConnectionReconciler
from controller.clouds import Clouds, Pace
from controller.collector import Collector
from controller.devenv.reconciler import DevEnvReconciler
from controller.devenv.tools import Tools as DevEnvTools
from controller.devenv.watch import GatewayProber, UsageWatch
from controller.edge import Edge, EdgeWatch
from controller.engine import (
    Controller,
    EngineMetrics,
    EventRecorder,
    Grip,
    Leader,
    LeaseKeeper,
    Manager,
    Priority,
    Reconciler,
    Router,
    Runnable,
    Shards,
    TimerSource,
    WatchSource,
    WorkQueue,
    wish_changed,
)
from controller.gateways.authorized_key import AuthorizedKeyReconciler
from controller.gateways.session import SessionReconciler
from controller.gateways.watch import Dependents, GatewayWatch
from controller.grants import GrantTools
from controller.machine.reconciler import MachineReconciler
from controller.machine.tools import Tools
from controller.observer import Observer
from controller.platform import PlatformReconciler
from controller.probes import Prober
from controller.route import RouteReconciler
from controller.told import Told
from controller.vps.collector import DropletCollector
from controller.vps.observer import DropletObserver
from controller.vps.reconciler import VpsReconciler
from controller.vps.tools import VpsTools
from controller.workspace import WorkspaceReconciler
from crds.access import AccessTokens
from crds.meta import Key
from crds.platform import PLATFORM
from crds.store import Store, WatchEvent
from crds.store.tombstones import Tombstones

# The log is kept for as long as a watcher may have been away; events as the field keeps them.
LOG_AGE = timedelta(hours=24)
EVENT_AGE = timedelta(hours=24)
# Who did what is asked for long afterwards; a token that ended is only of interest for a while.
AUDIT_AGE = timedelta(days=400)
TOKEN_AGE = timedelta(days=30)
# What is late by more than this is not chased any more.
TOMBSTONE_AGE = timedelta(days=30)
COMPACT_SECONDS = 3600.0
# Routes wait for a bulk write together, so there may be many in hand.
ROUTE_WORKERS = 256
FIRST_LOOK_SECONDS = 30.0

__all__ = ["Clouds", "Pace", "Replica"]


class Replica:
    """One replica of the controller.

    Args:
        store: The rows.
        clouds: The outside world.
        name: Unique among the replicas that ever run.
        public_url: The address of a subdomain.
        rng: Draws jitter.
        pace: How often things are looked at.
        workers: How many keys of a kind are in hand at once.
        tracer: Opens the spans of reconciles.
        registry: Where metrics are registered.
    """

    def __init__(
        self,
        store: Store,
        clouds: Clouds,
        *,
        name: str,
        public_url: Callable[[str], str],
        rng: random.Random,
        pace: Pace | None = None,
        workers: int = 32,
        tracer: Tracer | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        pace = pace or Pace()
        self._store, self._clouds, self._rng = store, clouds, rng
        self._workers, self._tracer = workers, tracer
        now = store.clock.monotonic
        self.shards = Shards(
            LeaseKeeper(store.leases, name, pace.timing, now), rng=rng, count=pace.shards
        )
        self.recorder = EventRecorder(store.events, store.clock)
        self.edge = Edge(clouds.kv, store.clock, clouds.installation)
        self.observer = Observer(clouds.fly, store.clock, clouds.installation, self._wake)
        self.prober = Prober(
            store, clouds.agent, clouds.tokens, self.observer, self.shards.owns, self._wake
        )
        self.gateways = GatewayProber(
            store,
            clouds.secrets,
            clouds.agent,
            clouds.fly.machine_url,
            self.shards.owns,
            self._wake,
        )
        self.droplets = DropletObserver(
            None if clouds.digitalocean is None else clouds.digitalocean.api,
            store,
            clouds.secrets,
            installation=clouds.installation,
            owns=self.shards.owns,
            wake=self._wake,
        )
        self.dependents = Dependents(store, self._wake)
        self.controllers = self._controllers(public_url)
        self.router = Router(self.controllers)
        self.watch = self._watch()
        self._keep_incident_current()
        # Nobody looks at the fleet where nobody asks what was seen.
        usage = None if clouds.metrics is None else UsageWatch(store, clouds.metrics)
        told = None
        if registry is not None:
            told = Told(store, self.recorder, self._ping, usage, registry)
        self._leaks = None if told is None else told.leaks
        duties = [("collector", self._collect), ("compaction", self._compact)]
        duties += [] if told is None else [("fleet", told.fleet.run)]
        if clouds.digitalocean is not None:
            duties.append(("droplet-collector", self._collect_droplets))
        duties += [] if usage is None else [("usage", usage.run)]
        leaders = [
            Leader(duty, run, LeaseKeeper(store.leases, name, pace.timing, now), rng=rng)
            for duty, run in duties
        ]
        self.manager = Manager(
            controllers=self.controllers,
            watch=self.watch,
            shards=self.shards,
            runnables=[
                self.recorder,
                self.observer,
                self.prober,
                self.gateways,
                self.droplets,
                EdgeWatch(self.edge, store, self._wake),
                GatewayWatch(store, self._wake),
                self.dependents,
                *self._resyncs(pace.resync),
                *([] if told is None else [told.database]),
            ],
            leaders=leaders,
            ping=self._ping,
        )
        if registry is not None:
            EngineMetrics(
                registry,
                controllers=self.controllers,
                shards=self.shards,
                leaders=leaders,
                recorder=self.recorder,
            )

    async def run(self) -> None:
        """Run until `manager.stop` is called.

        The first look over the organisation comes first, so that a cold start asks for pages and
        not for every machine by itself; in an outage the start does not wait for it.
        """
        with anyio.move_on_after(FIRST_LOOK_SECONDS):
            await self.observer.try_to_look()
        await self.manager.run()

    def resync(self) -> None:
        """Queue every key that is ours."""
        self.watch.relist(self.shards.owns)

    def _controllers(self, public_url: Callable[[str], str]) -> list[Controller]:
        store, recorder, clouds = self._store, self.recorder, self._clouds
        tools = Tools(
            fly=clouds.fly,
            agent=clouds.agent,
            observer=self.observer,
            tokens=clouds.tokens,
            installation=clouds.installation,
            agent_env=clouds.agent_env,
            secrets=clouds.secrets,
        )
        return [
            self._controller(
                "Platform",
                PlatformReconciler(store, recorder, self.edge, clouds.fly.breaker),
                workers=1,
            ),
            self._controller("Account", AccountReconciler(store, recorder, self._wake)),
            self._controller("Workspace", WorkspaceReconciler(store, recorder, public_url)),
            self._controller("DevEnv", DevEnvReconciler(store, recorder, self._devenv_tools())),
            self._controller(
                "CloudConnection",
                CloudConnectionReconciler(
                    store, recorder, GrantTools(clouds.digitalocean, clouds.secrets)
                ),
            ),
            self._controller("Vps", VpsReconciler(store, recorder, self._vps_tools())),
            self._controller("Session", SessionReconciler(store, recorder, clouds.gateways.hub)),
            self._controller(
                "AuthorizedKey", AuthorizedKeyReconciler(store, recorder, clouds.gateways.hub)
            ),
            self._controller("Machine", MachineReconciler(store, recorder, tools)),
            self._controller(
                "Route", RouteReconciler(store, recorder, self.edge), workers=ROUTE_WORKERS
            ),
        ]

    def _devenv_tools(self) -> DevEnvTools:
        clouds = self._clouds
        return DevEnvTools(
            fly=clouds.fly,
            secrets=clouds.secrets,
            netlify=clouds.netlify,
            installation=clouds.installation,
            public_url=clouds.fly.machine_url,
            random=clouds.random,
            fingerprint=clouds.fingerprint,
        )

    def _vps_tools(self) -> VpsTools:
        clouds = self._clouds
        return VpsTools(
            digitalocean=None if clouds.digitalocean is None else clouds.digitalocean.api,
            observer=self.droplets,
            secrets=clouds.secrets,
            gateways=clouds.gateways,
            installation=clouds.installation,
            random=clouds.random,
        )

    def _controller(
        self, name: str, reconciler: Reconciler, *, workers: int | None = None
    ) -> Controller:
        return Controller(
            name,
            reconciler,
            queue=WorkQueue(rng=self._rng),
            clock=self._store.clock,
            ownership=self.shards,
            workers=workers or self._workers,
            transient=(DatabaseError, PoolTimeout, PoolClosed, OSError),
            tracer=self._tracer,
        )

    def _watch(self) -> WatchSource:
        watch = WatchSource(self._store, self.router, rng=self._rng)
        for controller in self.controllers:
            watch.feed(controller.name, controller.name)
        watch.map("Machine", mapping.owners)
        watch.map("Machine", mapping.machine_dependents)
        watch.map("Workspace", mapping.workspace_dependents)
        watch.map("DevEnv", mapping.devenv_dependents)
        watch.map("Vps", mapping.vps_dependents)
        watch.map("CloudConnection", self._wake_vpses, predicate=mapping.connection_changed)
        watch.map("Vps", self.dependents.note, predicate=mapping.gateway_changed)
        watch.map("Route", mapping.route_dependents)
        watch.map("Account", mapping.account_dependents)
        watch.map("Account", self._wake_devenvs, predicate=wish_changed)
        watch.map("Platform", self._wake_workspaces, predicate=wish_changed)
        return watch

    def _resyncs(self, period: float) -> list[Runnable]:
        return [
            TimerSource(
                self._store,
                self.router,
                kind=controller.name,
                controller=controller.name,
                period=period,
                rng=self._rng,
            )
            for controller in self.controllers
        ]

    def _wake(self, key: Key) -> None:
        """An observer saw something: the key's own controller looks."""
        self.router.push(key.kind, key, priority=Priority.EVENT)

    def _wake_workspaces(self, _: WatchEvent) -> list[tuple[str, Key]]:
        """The platform's defaults and caps decide over every workspace; nobody waits for these."""
        self.watch.relist(lambda key: key.kind == "Workspace" and self.shards.owns(key))
        return []

    def _wake_devenvs(self, event: WatchEvent) -> list[tuple[str, Key]]:
        """An account's state and quota decide over all its dev environments."""
        self.watch.relist(
            lambda key: (
                (key.kind, key.namespace) == ("DevEnv", event.key.name) and self.shards.owns(key)
            )
        )
        return []

    def _wake_vpses(self, event: WatchEvent) -> list[tuple[str, Key]]:
        """A connection decides over all droplets on its account."""
        self.watch.relist(
            lambda key: (
                (key.kind, key.namespace) == ("Vps", event.key.namespace) and self.shards.owns(key)
            )
        )
        return []

    def _keep_incident_current(self) -> None:
        """The incident page follows the breaker at once."""
        self._clouds.fly.breaker.listeners.append(
            lambda *_: self._wake(Key("Platform", "", PLATFORM))
        )

    async def _collect(self, grip: Grip) -> None:
        try:
            await Collector(
                self._clouds.fly,
                self.edge,
                self._store,
                self.recorder,
                self._clouds.installation,
                grip,
                self._leaks,
            ).run()
        finally:
            if self._leaks is not None:
                self._leaks.forget()

    async def _collect_droplets(self, grip: Grip) -> None:
        if self._clouds.digitalocean is not None:
            await DropletCollector(
                self._clouds.digitalocean.api,
                self._store,
                self._clouds.secrets,
                self.recorder,
                installation=self._clouds.installation,
                grip=grip,
            ).run()

    async def _compact(self, _: Grip) -> None:
        while True:
            await self._store.compact(LOG_AGE)
            now = self._store.clock.now()
            await self._store.events.expire(now, EVENT_AGE)
            await self._store.audit.expire(now, AUDIT_AGE)
            await AccessTokens(self._store).forget(TOKEN_AGE)
            await Tombstones(self._store.database).expire(now, TOMBSTONE_AGE)
            await anyio.sleep(COMPACT_SECONDS)

    async def _ping(self) -> None:
        await self._store.database.fetch("SELECT 1")
