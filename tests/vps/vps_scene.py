"""A world with one user, their team at DigitalOcean, and the gateways in their droplets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import httpx

from controller.assembly import Clouds
from controller.grants import Application
from controller.providers import Gear
from controller.providers.digitalocean import DigitalOcean, DigitalOceanOAuth
from controller.vps.names import installation_tag, uid_tag
from crds.account import Account, AccountSpec, AccountState
from crds.cloud_connection import DIGITALOCEAN, CloudConnection, CloudConnectionSpec
from crds.errors import ConflictError
from crds.grants import Consent, challenge_of, consent_name
from crds.meta import Key, ObjectMeta
from crds.store import LocalDoorbell
from crds.store.database import Pool, make_pool
from crds.vps import Vps, VpsSpec
from deploy.local.simulators.digitalocean import (
    API_HOST,
    OAUTH_HOST,
    DigitalOceanAPI,
    DigitalOceanCloud,
    DropletTimings,
    OAuthApp,
)
from deploy.local.simulators.digitalocean.state import Droplet
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
from tests.simulation.faults import Plan
from tests.simulation.processes import INSTALLATION, USER, Processes, _random
from tests.simulation.sweep import quiet
from tests.support.virtual_time import run

EMAIL: Final = "ada@example.com"
VERIFIER: Final = "a verifier of forty-three characters or more"
NAME: Final = "box"
REDIRECT: Final = OAuthApp().redirect_uris[0]
LIMIT_SECONDS: Final = 40 * 86_400.0
# Of the same size as the real ones, so that all that is between two states is seen.
TIMINGS: Final = DropletTimings.real()

Mishap = Callable[[httpx.Request], str]
"""What becomes of a request: `lost` before it arrives, `unheard` when it was answered, or "" ."""


class VpsTransport(httpx.AsyncBaseTransport):
    """The controllers' way to the clouds: notes what DigitalOcean is asked, and loses answers."""

    def __init__(self, here: VpsScene) -> None:
        self._here = here

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on, and its answer back, unless something becomes of them."""
        if request.url.host != API_HOST:
            return await self._here.simulators.handle_async_request(request)
        self._here.calls.append(f"{request.method} {request.url.path}")
        fate = self._here.mishap(request)
        if fate == "lost":
            raise httpx.ReadTimeout("timed out", request=request)
        answer = await self._here.simulators.handle_async_request(request)
        await answer.aread()
        if fate == "unheard":
            raise httpx.ReadTimeout("timed out", request=request)
        return answer


class VpsScene(Processes):
    """A world in which a user has droplets.

    Attributes:
        cloud: DigitalOcean.
        hub: The gateways' hub.
        droplets: The gateways in the droplets.
        calls: What DigitalOcean was asked by the controllers.
        mishap: What becomes of a request to it.
    """

    def __init__(self, pool: Pool, *, replicas: int = 1, seed: int = 0) -> None:
        super().__init__(pool, Plan(), replicas=replicas, seed=seed, doorbell=LocalDoorbell())
        self.cloud = DigitalOceanCloud(now=self.fly.now, rng=_random(seed), timings=TIMINGS)
        self.hub = Hub(
            into_store(self.store),
            authentication(self.store, self.secrets, TOKENS),
            now=self.fly.now,
        )
        self.droplets = DropletGateways(self.hub)
        self.cloud.on_boot, self.cloud.on_halt = self.droplets.boot, self.droplets.halt
        api = DigitalOceanAPI(self.cloud)
        hosts: dict[str, Handler] = {API_HOST: api, OAUTH_HOST: api, HUB_HOST: self.hub}
        self.simulators = SimulatorTransport(fly=self.fly, kv=self.kv, hosts=hosts)
        self.calls: list[str] = []
        self.mishap: Mishap = lambda _: ""

    def _transport(self, *_: Any) -> Any:
        return VpsTransport(self)

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

    async def aclose(self) -> None:
        """End everything."""
        await self.stop()
        await self.droplets.aclose()
        await self.hub.aclose()
        await self.cloud.aclose()

    # What people do

    async def register(self) -> None:
        """Sign up."""
        spec = AccountSpec(email=EMAIL)
        await self.store.create(Account(metadata=ObjectMeta(name=USER), spec=spec))

    async def connect(self, email: str = EMAIL) -> None:
        """Grant on an account at DigitalOcean, and come back with a code."""
        now = self.store.clock.now()
        code = self.cloud.consent(email, "read write", REDIRECT, challenge_of(VERIFIER))
        secret = Consent(code, VERIFIER, now).to_bytes()
        await self.secrets.put(USER, consent_name(DIGITALOCEAN), secret)
        await self.wish_connection(state="Connected", connected_at=now)

    async def wish_connection(self, **changes: Any) -> None:
        """Write desired state of the connection, making it when it is not there."""
        while True:
            found = await self.store.find(CloudConnection, DIGITALOCEAN, USER)
            if found is None:
                meta = ObjectMeta(name=DIGITALOCEAN, namespace=USER)
                spec = CloudConnectionSpec(**changes)
                await self.store.create(CloudConnection(metadata=meta, spec=spec))
                return
            found.spec = CloudConnectionSpec(**{**found.spec.model_dump(), **changes})
            with contextlib.suppress(ConflictError):
                await self.store.update(found)
                return

    async def wish(self, name: str = NAME, **changes: Any) -> None:
        """Write desired state of a Vps, making it when it is not there."""
        while True:
            found = await self.store.find(Vps, name, USER)
            if found is None:
                meta = ObjectMeta(name=name, namespace=USER)
                await self.store.create(Vps(metadata=meta, spec=VpsSpec(**changes)))
                return
            found.spec = VpsSpec(**{**found.spec.model_dump(), **changes})
            with contextlib.suppress(ConflictError):
                await self.store.update(found)
                return

    async def be(self, state: AccountState) -> None:
        """Have the operator set the account's state."""
        while True:
            account = await self.store.get(Account, USER)
            account.spec.state = state
            with contextlib.suppress(ConflictError):
                await self.store.update(account)
                return

    async def annotate(self, name: str, value: str) -> None:
        """Annotate the Vps."""
        vps = await self.vps()
        vps.metadata.annotations[name] = value
        await self.store.update(vps)

    async def delete(self, name: str = NAME) -> None:
        """Delete a Vps."""
        await self.store.delete(Vps, name, USER)

    # What can be seen

    async def vps(self, name: str = NAME) -> Vps:
        """The row."""
        return await self.store.get(Vps, name, USER)

    async def connection(self) -> CloudConnection:
        """The connection's row."""
        return await self.store.get(CloudConnection, DIGITALOCEAN, USER)

    def ours(self) -> list[Droplet]:
        """The droplets that carry this installation's mark, oldest first."""
        tag = installation_tag(INSTALLATION)
        return [each for each in self.cloud.droplets.values() if tag in each.tags]

    def droplet(self) -> Droplet:
        """The one droplet."""
        (droplet,) = self.ours()
        return droplet

    def asked(self) -> Counter[str]:
        """How often DigitalOcean was asked what, by method and the sort of thing."""
        return Counter(_sort(call) for call in self.calls)

    async def events(self) -> set[str]:
        """The reasons of all events so far."""
        for each in self.replicas:
            await each.recorder.flush()
        rows = await self.store.database.fetch("SELECT DISTINCT reason FROM events")
        return {row["reason"] for row in rows}

    async def secret_names(self) -> list[str]:
        """The names of the user's secrets."""
        rows = await self.store.database.fetch(
            "SELECT name FROM secrets WHERE namespace = %s ORDER BY name", USER
        )
        return [row["name"] for row in rows]

    async def writes(self) -> int:
        """How many changes there were so far."""
        return await self.store.log.newest()

    # Until something holds

    async def until_phase(self, *phases: str, name: str = NAME, within: float = 900.0) -> Vps:
        """Let time pass until the row is in one of these phases, of its present wish."""

        async def holds() -> bool:
            row = await self.store.find(Vps, name, USER)
            return (
                row is not None
                and row.status.phase in phases
                and row.status.retry is None
                and row.status.observed_generation == row.metadata.generation
            )

        await self.until(holds, " or ".join(phases), within=within)
        return await self.vps(name)

    async def until_ready(self, name: str = NAME, *, within: float = 900.0) -> Vps:
        """Let time pass until the row's present wish has come true."""

        async def holds() -> bool:
            row = await self.store.find(Vps, name, USER)
            return (
                row is not None
                and row.status.is_true("Ready")
                and row.status.intent is None
                and row.status.observed_generation == row.metadata.generation
            )

        await self.until(holds, f"{name} is ready", within=within)
        return await self.vps(name)

    async def until_reason(self, reason: str, *, kind: str | None = None) -> Vps:
        """Let time pass until the row waits, or is tried again, for a reason."""

        async def holds() -> bool:
            row = await self.store.find(Vps, NAME, USER)
            retry = None if row is None else row.status.retry
            return retry is not None and retry.reason == reason and kind in (None, retry.kind)

        await self.until(holds, reason)
        return await self.vps()

    async def until_event(self, reason: str, *, within: float = 900.0) -> None:
        """Let time pass until an event with a reason was recorded."""

        async def holds() -> bool:
            return reason in await self.events()

        await self.until(holds, f"event {reason}", within=within)

    async def until_connection(self, *phases: str) -> None:
        """Let time pass until the connection is in one of these phases, of its present wish."""

        async def holds() -> bool:
            row = await self.store.find(CloudConnection, DIGITALOCEAN, USER)
            current = row and row.status.observed_generation == row.metadata.generation
            return row is not None and bool(current) and row.status.phase in phases

        await self.until(holds, f"connection {' or '.join(phases)}")

    async def until_gone(self, name: str = NAME, *, within: float = 900.0) -> None:
        """Let time pass until the row is gone."""
        key = Key(Vps.KIND, USER, name)

        async def holds() -> bool:
            return await self.store.find_row(key) is None

        await self.until(holds, "gone", within=within)

    async def pass_time(self, span: timedelta) -> None:
        """Let time pass."""
        await asyncio.sleep(span.total_seconds())


def _sort(call: str) -> str:
    method, _, path = call.partition(" ")
    parts = ["{id}" if part.isdigit() else part for part in path.split("/") if part]
    return f"{method} /{'/'.join(parts)}"


async def settled(here: VpsScene) -> Vps:
    """A user with a connection and a Vps that runs."""
    await here.register()
    await here.connect()
    await here.wish()
    return await here.until_ready()


def foreign(here: VpsScene, *, uid: UUID, status: str = "active") -> Droplet:
    """A droplet with our marks that appears without our having been answered."""
    team = here.cloud.team_of(EMAIL)
    body = {
        "name": "late",
        "region": "ams3",
        "size": "s-1vcpu-1gb",
        "image": "ubuntu-24-04-x64",
        "tags": [installation_tag(INSTALLATION), uid_tag(uid)],
    }
    made = here.cloud.create_droplet(team, body)
    droplet = here.cloud.droplets[made["droplet"]["id"]]
    droplet.status = status
    return droplet


@asynccontextmanager
async def vps_scene(url: str, *, replicas: int = 1, seed: int = 0) -> AsyncIterator[VpsScene]:
    """A scene on an empty, migrated database; call it on a virtual loop."""
    async with make_pool(url, 4) as pool:
        made = VpsScene(pool, replicas=replicas, seed=seed)
        made.start()
        try:
            yield made
        finally:
            await made.aclose()


def play(
    url: str, scene: Callable[[VpsScene], Awaitable[None]], *, replicas: int = 1, seed: int = 0
) -> None:
    """Run a scene on virtual time."""
    quiet()

    async def main() -> None:
        async with vps_scene(url, replicas=replicas, seed=seed) as here:
            await scene(here)

    run(main, seed=seed, limit_seconds=LIMIT_SECONDS)


def token_in(user_data: str) -> str:
    """The gateway's token in a cloud-config."""
    lines = (line.strip() for line in user_data.splitlines())
    return next(line.partition("=")[2] for line in lines if line.startswith("GATEWAY_AUTH_TOKEN="))


def is_token(text: str) -> bool:
    """Whether a text is 32 bytes in URL-safe base64."""
    return len(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))) == 32
