"""A world of gateways: rows, the reconcilers of what is in a Vps, and a hub in memory.

The droplets' life is not here: a Vps only does what it does beside it.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, ClassVar, Final, TypeVar
from uuid import UUID

import httpx
import structlog
from pydantic import SecretStr

from controller import mapping
from controller.engine import (
    Controller,
    EventRecorder,
    Manager,
    Priority,
    Reconciler,
    Request,
    Result,
    Router,
    Runnable,
    WatchSource,
    WorkQueue,
)
from controller.gateways.authorized_key import AuthorizedKeyReconciler
from controller.gateways.session import SessionReconciler
from controller.gateways.watch import Dependents, GatewayWatch
from controller.kind import KindReconciler
from controller.scope import Scope
from controller.vps.gateway import hear
from controller.vps.observer import DropletObserver
from controller.vps.tidy import tidy
from controller.vps.tools import Gateways, VpsScope, VpsTools
from crds.authorized_key import AuthorizedKey, AuthorizedKeySpec
from crds.errors import ConflictError
from crds.gateway_hub import GatewayHub
from crds.meta import Key, ObjectMeta, Resource
from crds.secrets import Cipher, Secrets
from crds.session import Session, SessionSpec
from crds.store import LocalDoorbell, Store
from crds.store.database import Database, make_pool
from crds.vps import Vps, VpsSpec
from deploy.local.simulators.gateways import (
    EDGE_TOKEN,
    HUB_HOST,
    RELEASE,
    TOKENS,
    Hub,
    SimulatedGateway,
    into_store,
)
from deploy.local.simulators.transport import SimulatorTransport
from tests.gateways.protocol_schemas import check
from tests.support.virtual_time import clock, run, running_loop

R = TypeVar("R", bound=Resource)

USER: Final = "5e1f8d3c-0000-4000-8000-00000000000a"
TOKEN: Final = "a gateway's token"
VPS: Final = "one"
PUBLIC_KEY: Final = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'A' * 43} a@example"
OTHER_KEY: Final = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'B' * 43} b@example"
RESTART_SECONDS: Final = 1.0
POLL_SECONDS: Final = 60.0


class NotingVps(KindReconciler[Vps]):
    """What a Vps does beside its droplet: hears its gateway, tidies, and has what is in it go."""

    kind: ClassVar[type[Resource]] = Vps

    def __init__(self, store: Store, recorder: EventRecorder, tools: VpsTools) -> None:
        super().__init__(store, recorder)
        self._tools = tools

    def scope(self, resource: Vps, request: Request) -> VpsScope:
        """As the steps want it."""
        return VpsScope(self.store, self.recorder, resource, request)

    async def converge(self, scope: VpsScope) -> Result:  # type: ignore[override]  # `scope` above makes it one
        """Hear and tidy."""
        await hear(scope)
        await tidy(scope, self._tools)
        return Result(requeue_after=scope.soonest)

    async def remove(self, scope: Scope[Vps]) -> Result | None:
        """Have its sessions and keys go, then forget it."""
        namespace, named = scope.object.metadata.namespace, {"vps": scope.object.metadata.name}
        rows = [
            row
            for kind in (Session, AuthorizedKey)
            for row in await self.store.rows(kind, namespace=namespace, spec=named)
        ]
        for row in rows:
            await scope.ask_deletion(row)
        if rows:
            return Result(requeue_after=1.0)
        await self.store.observations.forget(scope.uid)
        return None


class Roads(httpx.AsyncBaseTransport):
    """A process's way to the hub.

    Attributes:
        blocked: Whether nothing gets through.
        crash: The type of a command at which the process dies, and whether that was sent.
        crashes: How often it died so.
        delay: How many seconds the next command is on its way.
        asked: How many commands set out.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, die: Callable[[], None]) -> None:
        self.blocked = False
        self.crash: tuple[str, bool] | None = None
        self.crashes = 0
        self.delay = 0.0
        self.asked = 0
        self._inner = inner
        self._die = die

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a command on, or not."""
        if self.blocked:
            raise httpx.ConnectError("refused", request=request)
        self.asked += 1
        delay, self.delay = self.delay, 0.0
        await asyncio.sleep(delay)
        body = (await request.aread()).decode()
        struck = self.crash is not None and f'"{self.crash[0]}"' in body
        sent = self.crash is not None and self.crash[1]
        if struck:
            self.crash = None
            self.crashes += 1
        if not struck or sent:
            answer = await self._inner.handle_async_request(request)
        if struck:
            self._die()
            await asyncio.Event().wait()
        return answer


class World:
    """Everything there is.

    Attributes:
        store: The rows.
        hub: The hub.
        roads: How the controller's process reaches it.
        token: What that process shows.
        controllers: All that ever ran.
    """

    def __init__(self, database: Database) -> None:
        wall = clock()
        self.store = Store(database, wall, LocalDoorbell(), poll_seconds=POLL_SECONDS)
        self.hub = Hub(
            into_store(self.store),
            self._authenticate,
            now=lambda: wall.now().timestamp(),
            check=check,
        )
        self.roads = Roads(SimulatorTransport(hosts={HUB_HOST: self.hub}), self._die)
        self.token = EDGE_TOKEN
        self.gateways: dict[str, SimulatedGateway] = {}
        self._process: asyncio.Task[None] | None = None
        self._watch: WatchSource | None = None
        self.controllers: list[Controller] = []

    # The controller's process

    def start(self) -> None:
        """Start the process."""
        self._process = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End everything."""
        if self._process is not None:
            self._process.cancel()
            await asyncio.gather(self._process, return_exceptions=True)
        for gateway in self.gateways.values():
            await gateway.stop()
        await self.hub.aclose()

    def resync(self) -> None:
        """Have everything looked at."""
        assert self._watch is not None
        self._watch.relist(lambda _: True)

    def _die(self) -> None:
        """The process ends without ceremony, and another one starts."""
        assert self._process is not None
        self._process.cancel()
        running_loop().call_later(RESTART_SECONDS, self.start)

    def client(self) -> GatewayHub:
        """How the process commands gateways."""
        return GatewayHub(self.roads, base_url=f"https://{HUB_HOST}", token=SecretStr(self.token))

    async def _run(self) -> None:
        recorder = EventRecorder(self.store.events, self.store.clock)
        hub = self.client()
        controllers = [
            self._controller("Vps", NotingVps(self.store, recorder, self._tools(hub))),
            self._controller("Session", SessionReconciler(self.store, recorder, hub)),
            self._controller("AuthorizedKey", AuthorizedKeyReconciler(self.store, recorder, hub)),
        ]
        router = Router(controllers)

        def wake(key: Key) -> None:
            router.push(key.kind, key, priority=Priority.EVENT)

        self._watch = WatchSource(self.store, router, rng=_random())
        dependents = Dependents(self.store, wake)
        for controller in controllers:
            self._watch.feed(controller.name, controller.name)
        self._watch.map("Vps", dependents.note, predicate=mapping.gateway_changed)
        runnables: list[Runnable] = [recorder, GatewayWatch(self.store, wake), dependents]
        await Manager(controllers=controllers, watch=self._watch, runnables=runnables).run()

    def _tools(self, hub: GatewayHub) -> VpsTools:
        """What a Vps has without a provider."""
        secrets = Secrets(self.store, Cipher.from_keys(base64.b64encode(bytes(32)).decode()))
        return VpsTools(
            digitalocean=None,
            observer=DropletObserver(
                None,
                self.store,
                secrets,
                installation="sim",
                owns=lambda _: True,
                wake=lambda _: None,
            ),
            secrets=secrets,
            gateways=Gateways(hub=hub, tokens=TOKENS, release=RELEASE),
            installation="sim",
            random=_random().randbytes,
        )

    def _controller(self, name: str, reconciler: Reconciler) -> Controller:
        queue = WorkQueue(rng=_random())
        made = Controller(name, reconciler, queue=queue, clock=self.store.clock)
        self.controllers.append(made)
        return made

    async def _authenticate(self, gateway: UUID, token: str) -> int:
        if await self.store.project_one("Vps", gateway) is None:
            return 404
        return 204 if token == TOKEN else 401

    # What people do

    async def make_vps(self, name: str = VPS, *, connects: bool = True) -> Vps:
        """Make a Vps, whose gateway runs unless it shall not yet."""
        meta = ObjectMeta(name=name, namespace=USER)
        vps = await self.store.create(Vps(metadata=meta, spec=VpsSpec()))
        self.gateways[name] = SimulatedGateway(self.hub, vps.uid, TOKEN)
        if connects:
            self.gateways[name].start()
            await asyncio.sleep(2)
        return vps

    @property
    def gateway(self) -> SimulatedGateway:
        """The one Vps' gateway."""
        return self.gateways[VPS]

    async def make_session(self, name: str = "s", **spec: Any) -> UUID:
        """Wish for a session; returns its uid."""
        wish = SessionSpec(**{"vps": VPS, "title": "Work", **spec})
        return await self._make(Session(metadata=_meta(name), spec=wish))

    async def make_key(self, name: str = "k", *, ends_in: float | None = None, **spec: Any) -> UUID:
        """Wish for a key to be let in; returns its row's uid."""
        if ends_in is not None:
            spec["expires_at"] = self.store.clock.now() + timedelta(seconds=ends_in)
        wish = AuthorizedKeySpec(**{"vps": VPS, "public_key": PUBLIC_KEY, "label": name, **spec})
        return await self._make(AuthorizedKey(metadata=_meta(name), spec=wish))

    async def edit(self, kind: type[Resource], name: str, **spec: Any) -> None:
        """Change a wish."""
        while True:
            found = await self.store.get(kind, name, USER)
            found.spec = type(found.spec).model_validate({**found.spec.model_dump(), **spec})
            with suppress(ConflictError):
                await self.store.update(found)
                return

    async def delete(self, kind: type[Resource], name: str) -> None:
        """Ask for a row's end."""
        await self.store.delete(kind, name, USER)

    async def is_gone(self, kind: type[Resource], name: str) -> bool:
        """Whether a row is gone."""
        return await self.store.find_row(Key(kind.KIND, USER, name)) is None

    async def session(self, name: str = "s") -> Session:
        """A session's row."""
        return await self.store.get(Session, name, USER)

    async def key(self, name: str = "k") -> AuthorizedKey:
        """A key's row."""
        return await self.store.get(AuthorizedKey, name, USER)

    async def phase(self, kind: type[Resource], name: str) -> tuple[str, str]:
        """A row's phase, and the reason of its `Ready`."""
        status = (await self.store.get(kind, name, USER)).status
        ready = status.condition("Ready")
        return status.phase, "" if ready is None else ready.reason

    async def until(
        self, holds: Callable[[], Awaitable[bool]], what: str, within: float = 600.0
    ) -> None:
        """Let time pass until something holds."""
        deadline = running_loop().time() + within
        while not await holds():
            assert running_loop().time() < deadline, f"{what}: {await self.describe()}"
            await asyncio.sleep(0.5)

    async def until_phase(self, kind: type[Resource], name: str, phase: str) -> None:
        """Let time pass until a row says so of the present wish, and nothing is in its way."""

        async def holds() -> bool:
            found = await self.store.get(kind, name, USER)
            current = found.status.observed_generation == found.metadata.generation
            return current and found.status.phase == phase and found.status.retry is None

        await self.until(holds, f"{name} is {phase}")

    async def until_gone(self, kind: type[Resource], name: str) -> None:
        """Let time pass until a row is gone."""
        await self.until(lambda: self.is_gone(kind, name), f"{name} is gone")

    async def describe(self) -> Sequence[Mapping[str, Any]]:
        """All rows, for a failure."""
        return await self.store.database.fetch("SELECT kind, name, spec, status FROM objects")

    async def rests(self, seconds: float = 30.0) -> bool:
        """Whether looking at everything three times writes nothing and commands nothing."""
        version, asked = await self.store.log.newest(), self.roads.asked
        for _ in range(3):
            self.resync()
            await asyncio.sleep(seconds)
        return (version, asked) == (await self.store.log.newest(), self.roads.asked)

    async def _make(self, made: R) -> UUID:
        found = await self.store.find(Vps, made.spec.vps, USER)  # type: ignore[attr-defined]  # both kinds have one
        if found is not None:
            made.metadata.owner_references = [found.owner_reference()]
        return (await self.store.create(made)).uid


Scene = Callable[[World], Awaitable[None]]


def play(url: str, scene: Scene) -> None:
    """Run a scene on virtual time, and look that nobody said what is not of the protocol."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

    async def main() -> None:
        async with _world(url) as here:
            await scene(here)
            assert [] == here.hub.complaints
            assert 0 == sum(each.stats.panics for each in here.controllers)

    run(main, limit_seconds=1_000_000)


@asynccontextmanager
async def _world(url: str) -> AsyncIterator[World]:
    async with make_pool(url, 8) as pool:
        here = World(Database(pool))
        here.start()
        try:
            yield here
        finally:
            await here.stop()


def _meta(name: str) -> ObjectMeta:
    return ObjectMeta(name=name, namespace=USER)


def _random() -> random.Random:
    return random.Random(0)  # noqa: S311 - an order to repeat, not a secret
