"""A world with one connection to DigitalOcean: what goes wrong where, and what must hold."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from urllib.parse import parse_qs

import httpx
from psycopg import OperationalError
from psycopg.rows import DictRow

from controller.assembly import Replica
from controller.grants import Application
from controller.providers import Gear
from controller.providers.digitalocean import DigitalOcean, DigitalOceanOAuth
from crds.account import Account, AccountSpec
from crds.cloud_connection import DIGITALOCEAN, CloudConnection, CloudConnectionSpec
from crds.errors import ConflictError
from crds.grants import Consent, Grant, challenge_of, consent_name, read_grant
from crds.meta import Key, ObjectMeta
from crds.secrets import Cipher, Secrets
from crds.store import LocalDoorbell
from crds.store.database import Database, Pool, make_pool
from deploy.local.simulators.digitalocean import (
    API_HOST,
    OAUTH_HOST,
    DigitalOceanAPI,
    DigitalOceanCloud,
    OAuthApp,
)
from deploy.local.simulators.transport import SimulatorTransport
from tests.simulation.faults import Life, Plan
from tests.simulation.processes import (
    ENCRYPTION_KEY,
    PACE,
    RESTART_SECONDS,
    USER,
    Processes,
    _random,
)
from tests.support.virtual_time import running_loop

REDIRECT = OAuthApp().redirect_uris[0]
EMAIL = "ada@example.com"
VERIFIER = "a verifier of forty-three characters or more"
CONNECTION = Key(CloudConnection.KIND, USER, DIGITALOCEAN)
ROWS = ("create_object", "write_object", "write_statuses", "delete_object")
SECRETS = ("INSERT INTO secrets", "UPDATE secrets", "DELETE FROM secrets")
TOO_MANY = 429
ANSWER_SECONDS = 0.5


class Mishap(StrEnum):
    """What can go wrong at a step."""

    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    TIMEOUT_BEFORE = "timeout before"
    TIMEOUT_AFTER = "timeout after"
    TOO_MANY = "429"
    BROKEN = "500"
    LEASE_LOST = "lease lost"
    HANDED_OVER = "handed over"


AT_CALLS = [mishap for mishap in Mishap if mishap is not Mishap.HANDED_OVER]
# The database answers with an error, before or after it did what it was told.
AT_WRITES = [
    Mishap.CRASH_BEFORE,
    Mishap.CRASH_AFTER,
    Mishap.TIMEOUT_BEFORE,
    Mishap.TIMEOUT_AFTER,
]


REFUSALS: dict[Mishap | None, int] = {Mishap.TOO_MANY: TOO_MANY, Mishap.BROKEN: 500}


@dataclass
class Fate:
    """Counts the steps of the processes that matter to a grant, and says what goes wrong at which.

    Attributes:
        at: The step at which it goes wrong, counted from 0; None for a run without mishap.
        mishap: What goes wrong there.
        steps: What was done: a call's path, or the beginning of a statement.
        struck: Where it went wrong.
    """

    at: int | None = None
    mishap: Mishap | None = None
    steps: list[str] = field(default_factory=list)
    struck: str = ""

    def step(self, what: str) -> Mishap | None:
        """Count a step; returns what goes wrong at it."""
        self.steps.append(what)
        if len(self.steps) - 1 != self.at:
            return None
        self.struck = what
        return self.mishap


class FatefulDatabase(Database):
    """A process's database: what it writes of the connection is a step."""

    def __init__(self, pool: Pool, fate: Fate, life: Life) -> None:
        super().__init__(pool)
        self._fate, self._life = fate, life

    async def fetch(self, query: str, *parameters: object) -> Sequence[DictRow]:
        """Run a statement that answers with rows."""
        self._check()
        mishap = self._fate.step(query[:30]) if _concerns(query, parameters) else None
        await self._before(mishap)
        rows = await super().fetch(query, *parameters)
        await self._after(mishap)
        return rows

    async def execute(self, query: str, *parameters: object) -> int:
        """Run a statement."""
        self._check()
        mishap = self._fate.step(query[:30]) if _concerns(query, parameters) else None
        await self._before(mishap)
        count = await super().execute(query, *parameters)
        await self._after(mishap)
        return count

    async def _before(self, mishap: Mishap | None) -> None:
        if mishap is Mishap.CRASH_BEFORE:
            await self._life.end()
        if mishap is Mishap.TIMEOUT_BEFORE:
            raise OperationalError("canceling statement due to statement timeout")

    async def _after(self, mishap: Mishap | None) -> None:
        self._check()
        if mishap is Mishap.CRASH_AFTER:
            await self._life.end()
        if mishap is Mishap.TIMEOUT_AFTER:
            raise OperationalError("server closed the connection unexpectedly")

    def _check(self) -> None:
        if self._life.dead:
            raise OperationalError("this process is dead")


def _concerns(query: str, parameters: tuple[object, ...]) -> bool:
    """Whether a statement writes the connection's row or its secrets."""
    if query.startswith(SECRETS):
        return True
    told = " ".join(str(getattr(parameter, "obj", parameter)) for parameter in parameters)
    ours = any(word in told for word in (CloudConnection.KIND, "connectedAt", "scopes"))
    return ours and any(f"{name}(" in query for name in ROWS)


class FatefulTransport(httpx.AsyncBaseTransport):
    """A process's way to the clouds: every call to DigitalOcean is a step.

    Args:
        here: The world.
        life: The process.
        name: The process's.
    """

    def __init__(self, here: GrantWorld, life: Life, name: str) -> None:
        self._here, self._life, self._name = here, life, name

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on, or not."""
        if self._life.dead:
            await asyncio.Event().wait()
        if request.url.host not in (API_HOST, OAUTH_HOST):
            return await self._here.simulators.handle_async_request(request)
        mishap = self._here.fate.step(request.url.path)
        if mishap in REFUSALS:
            self._here.asked(request, REFUSALS[mishap])
            return httpx.Response(REFUSALS[mishap], json={"message": "no"}, request=request)
        await self._before(request, mishap)
        with self._here.under_way(request):
            answer = await self._here.simulators.handle_async_request(request)
            await answer.aread()
            # An answer takes its time, in which others could ask too.
            await asyncio.sleep(ANSWER_SECONDS)
        self._here.asked(request, answer.status_code)
        await self._after(request, mishap)
        return answer

    async def _before(self, request: httpx.Request, mishap: Mishap | None) -> None:
        match mishap:
            case Mishap.CRASH_BEFORE:
                await self._life.end()
            case Mishap.TIMEOUT_BEFORE:
                self._here.asked(request, 0)
                raise httpx.ReadTimeout("timed out", request=request)
            case Mishap.LEASE_LOST:
                await self._here.lose_leases()
            case Mishap.HANDED_OVER:
                await self._here.hand_over(self._name)
            case _:
                pass

    async def _after(self, request: httpx.Request, mishap: Mishap | None) -> None:
        if mishap is Mishap.CRASH_AFTER:
            await self._life.end()
        if mishap is Mishap.TIMEOUT_AFTER:
            raise httpx.ReadTimeout("timed out", request=request)


class GrantWorld(Processes):
    """A world in which a user grants on their account at DigitalOcean.

    Attributes:
        fate: What goes wrong.
        cloud: DigitalOcean.
        violations: What must not be and was.
    """

    def __init__(self, pool: Pool, fate: Fate, *, replicas: int, seed: int) -> None:
        super().__init__(pool, Plan(), replicas=replicas, seed=seed, doorbell=LocalDoorbell())
        self.fate = fate
        self.cloud = DigitalOceanCloud(now=self.fly.now, rng=_random(seed))
        api = DigitalOceanAPI(self.cloud)
        hosts = {API_HOST: api, OAUTH_HOST: api}
        self.simulators = SimulatorTransport(fly=self.fly, kv=self.kv, hosts=hosts)
        self.violations: list[str] = []
        self.tokens_seen: set[str] = set()
        self.client_id = OAuthApp().client_id
        self._under_way: list[str] = []
        self._history: list[tuple[str, str, int]] = []

    def _start_replica(self) -> None:
        life, name = Life(), f"r{next(self._names)}"
        store = self._open_store(FatefulDatabase(self._pool, self.fate, life))
        transport = FatefulTransport(self, life, name)
        clouds = replace(
            self._clouds(transport),
            secrets=Secrets(store, Cipher.from_keys(ENCRYPTION_KEY)),
            digitalocean=_application(transport, self.client_id),
        )
        replica = Replica(
            store,
            clouds,
            name=name,
            public_url=lambda subdomain: f"https://{subdomain}.example.com",
            rng=_random(self.rng.random()),
            pace=PACE,
            workers=8,
        )
        self.replicas.append(replica)
        task = asyncio.create_task(replica.run(), name=name)
        self._tasks[task] = life

        def die() -> None:
            self.replicas.remove(replica)
            task.cancel()
            running_loop().call_later(RESTART_SECONDS, self._start_replica)

        life.on_death = die

    async def away(self, span: timedelta) -> None:
        """Let time pass in which no process runs."""
        await self.stop()
        self.replicas.clear()
        self._tasks.clear()
        await self.free_leases()
        await asyncio.sleep(span.total_seconds())
        self.start()

    async def free_leases(self) -> None:
        """Have nobody hold a shard."""
        await self.store.database.execute("UPDATE leases SET holder = NULL, epoch = epoch + 1")

    async def lose_leases(self) -> None:
        """Take every shard from its holder, who does not know."""
        await self._lose_leases()

    async def hand_over(self, loser: str) -> None:
        """Give every shard to the other replica, which acts while the loser still believes."""
        await self._hand_over(loser)

    # What is seen on the way

    @contextlib.contextmanager
    def under_way(self, request: httpx.Request) -> Iterator[None]:
        """Note a call for as long as it is under way; two renewals at once must not be."""
        kind = _form(request).get("grant_type", "")
        if kind == "refresh_token" and kind in self._under_way:
            self.violations.append("two renewals at once")
        self._under_way.append(kind)
        try:
            yield
        finally:
            self._under_way.remove(kind)

    def asked(self, request: httpx.Request, status: int) -> None:
        """Note a call and its answer; 0 for one that never arrived and may have."""
        form = _form(request)
        if form.get("grant_type") == "refresh_token":
            self._check_refresh(form["refresh_token"])
            self._history.append(("refresh", form["refresh_token"], status))
        elif request.url.path == "/v2/account":
            self._history.append(("account", "", status))

    def _check_refresh(self, token: str) -> None:
        """A refresh token is used again only after its access token was tried (0045)."""
        used = [n for n, (what, with_, _) in enumerate(self._history) if with_ == token]
        if not used or self._history[used[-1]][2] == TOO_MANY:
            return
        if not any(what == "account" for what, _, _ in self._history[used[-1] :]):
            self.violations.append("a refresh token was used twice without a look")

    # What people do

    async def register(self) -> None:
        """A user signs up."""
        spec = AccountSpec(email=EMAIL)
        await self.store.create(Account(metadata=ObjectMeta(name=USER), spec=spec))

    async def connect(self) -> None:
        """The user grants, and comes back with a code."""
        now = self.store.clock.now()
        code = self.cloud.consent(EMAIL, "read write", REDIRECT, challenge_of(VERIFIER))
        self.tokens_seen.add(code)
        name = consent_name(DIGITALOCEAN)
        await self.secrets.put(USER, name, Consent(code, VERIFIER, now).to_bytes())
        await self.wish(state="Connected", connected_at=now)

    async def wish(self, **changes: object) -> None:
        """Write desired state of the connection, making it when it is not there."""
        while True:
            found = await self.store.find(CloudConnection, DIGITALOCEAN, USER)
            if found is None:
                spec = CloudConnectionSpec.model_validate(changes)
                meta = ObjectMeta(name=DIGITALOCEAN, namespace=USER)
                await self.store.create(CloudConnection(metadata=meta, spec=spec))
                return
            found.spec = CloudConnectionSpec(**{**found.spec.model_dump(), **changes})
            with contextlib.suppress(ConflictError):
                await self.store.update(found)
                return

    # What can be seen

    async def connection(self) -> CloudConnection:
        """The row."""
        return await self.store.get(CloudConnection, DIGITALOCEAN, USER)

    async def grant(self) -> Grant | None:
        """The tokens that are kept."""
        return await read_grant(self.secrets, USER, DIGITALOCEAN)

    async def until_phase(self, *phases: str) -> CloudConnection:
        """Let time pass until the row says so of the present wish, and nothing is awaited."""

        async def holds() -> bool:
            self.tokens_seen |= {
                t for g in self.cloud.grants.values() for t in (g.access, g.refresh)
            }
            row = await self.store.find(CloudConnection, DIGITALOCEAN, USER)
            return (
                row is not None
                and row.status.phase in phases
                and row.status.retry is None
                and row.status.intent is None
                and row.status.observed_generation == row.metadata.generation
            )

        await self.until(holds, " or ".join(phases))
        return await self.connection()

    async def until_not(self, grant: Grant | None) -> None:
        """Let time pass until other tokens are kept, or none."""

        async def holds() -> bool:
            return await self.grant() != grant

        await self.until(holds, "other tokens")

    async def until_blocked(self, reason: str) -> None:
        """Let time pass until the row waits for somebody."""

        async def holds() -> bool:
            retry = (await self.connection()).status.retry
            return retry is not None and (retry.kind, retry.reason) == ("Blocked", reason)

        await self.until(holds, reason)

    async def is_struck(self) -> bool:
        """Whether it has gone wrong."""
        return bool(self.fate.struck)

    async def pass_minutes(self, minutes: float) -> None:
        """Let time pass."""
        await asyncio.sleep(minutes * 60)

    async def delete(self) -> None:
        """Delete the row."""
        await self.store.delete(CloudConnection, DIGITALOCEAN, USER)

    async def until_gone(self) -> None:
        """Let time pass until the row is gone."""

        async def holds() -> bool:
            return await self.store.find_row(CONNECTION) is None

        await self.until(holds, "gone")

    def works(self, access: str) -> bool:
        """Whether DigitalOcean takes an access token."""
        return any(grant.access == access for grant in self.cloud.grants.values())

    async def kept_secrets(self) -> list[str]:
        """The names of the secrets of the user."""
        rows = await self.store.database.fetch(
            "SELECT name FROM secrets WHERE namespace = %s", USER
        )
        return [row["name"] for row in rows]


def _application(transport: httpx.AsyncBaseTransport, client_id: str) -> Application:
    app = OAuthApp()
    return Application(
        DigitalOceanOAuth(
            transport,
            client_id=client_id,
            client_secret=app.client_secret,
            redirect_uri=REDIRECT,
            gear=Gear(rng=_random(0)),
        ),
        DigitalOcean(transport, gear=Gear(rng=_random(0))),
    )


def _form(request: httpx.Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.content.decode()).items()}


@asynccontextmanager
async def grant_world(
    url: str, fate: Fate | None = None, *, replicas: int = 1, seed: int = 0
) -> AsyncIterator[GrantWorld]:
    """A world on an empty, migrated database; call it on a virtual loop."""
    async with make_pool(url, 4) as pool:
        made = GrantWorld(pool, fate or Fate(), replicas=replicas, seed=seed)
        made.start()
        try:
            yield made
        finally:
            await made.stop()
