"""The rehearsal: the real reconcilers, on virtual time, on a copy, until they come to rest."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from controller.assembly import Clouds, Pace, Replica
from controller.engine import Timing
from controller.machine.agent import AgentClient
from controller.machine.tools import Tools
from controller.providers import Gear
from controller.providers.cloudflare import WorkersKV
from controller.providers.fly import Fly
from controller.providers.netlify import Netlify
from crds.annotations import PAUSED
from crds.devenv import SERVICES, DevEnv
from crds.meta import Resource
from crds.registry import KINDS
from crds.secrets import Secrets
from crds.store import LocalDoorbell, Store
from crds.store.database import LOCK_TIMEOUT_MS, Database, Pool
from crds.store.rows import to_json
from crds.vps import Vps
from deploy.local import virtual_time
from deploy.local.simulators.effects import Effect
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.runtime import InlineRuntime
from deploy.local.simulators.gateways import gateways
from deploy.local.simulators.kv.store import KV
from deploy.local.simulators.netlify import NetlifyAPI, NetlifyTeam
from deploy.local.simulators.transport import SimulatorTransport
from deploy.local.simulators.wire import Handler
from deploy.plan import front_ends
from deploy.plan import rows as copied
from deploy.plan.documents import Wish
from deploy.plan.droplets import Droplets, unknown
from deploy.plan.guests import Guests
from deploy.plan.known import Known
from deploy.plan.outcomes import Outcome, is_blocked, is_unsettled, key_of, outcomes
from deploy.plan.outside import Outside, installation_of, readable, seeded
from deploy.plan.owners import EVERY_VERSION, Owners
from deploy.plan.scratch import Scratch, scratch
from deploy.plan.standing import Prints, StandIn
from deploy.plan.steps import Recorder, Step, step

R = TypeVar("R", bound=Resource)

# Virtual seconds that a plan may take; what is not done by then is told.
BOUND_SECONDS = 600.0
POLL_SECONDS = 2.0
# Nothing may happen for so long before it counts as rest: the observer looks every 10 s.
REST_SECONDS = 14.0
# What is blocked waits for somebody; nobody comes within a plan.
STUCK_SECONDS = 60.0
POOL_SIZE = 4
PACE = Pace(timing=Timing(duration=120.0, renew_every=40.0, margin=5.0), shards=1)
ROW_COLUMNS = (
    "uid, kind, namespace, name, resource_version, generation, creation_timestamp, "
    "deletion_timestamp, labels, annotations, finalizers, owner_references, managed_fields, "
    "spec, status"
)
EXEC = "machines.exec"


@dataclass(frozen=True)
class Rehearsal:
    """What the next reconciles would do.

    Attributes:
        steps: The calls that change something outside; in order for each object, while two
            objects may take turns otherwise than here.
        outcomes: What becomes of the objects.
        cost_before: USD a month at present, always on.
        cost_after: The same in the end.
        worked_before: USD a month at present, if what stops by itself ran in working hours only.
        worked_after: The same in the end.
        at_rest: Whether everything came to rest within the virtual time.
        seconds: Virtual seconds that it took.
        notes: What was assumed.
        scratch: Where the copy was.
    """

    steps: list[Step]
    outcomes: list[Outcome]
    cost_before: float
    cost_after: float
    worked_before: float
    worked_after: float
    at_rest: bool
    seconds: float
    notes: list[str] = field(default_factory=list)
    scratch: str = "database"

    @property
    def problems(self) -> list[Outcome]:
        """The objects whose wish would not come true."""
        return [outcome for outcome in self.outcomes if outcome.problem is not None]


def rehearse(url: str, wishes: Sequence[Wish], known: Known | None = None) -> Rehearsal:
    """Find out what the next reconciles would do, without touching the real rows or clouds.

    Args:
        url: The real database; only read, and a scratch database is made beside it.
        wishes: What is wished for on top of what the rows say.
        known: What is known of the controller's settings.

    Raises:
        DocumentError: A wish breaks its kind's rules.
        ScratchError: No scratch copy may be made.
    """
    found = copied.read(url, wishes)
    with scratch(url) as where:
        copied.write(where.url, found)
        return virtual_time.run(
            lambda: _rehearse(where, found, wishes, known or Known()),
            start=datetime.now(UTC),
            limit_seconds=2 * BOUND_SECONDS,
        )


async def _rehearse(
    where: Scratch, found: copied.Rows, wishes: Sequence[Wish], known: Known
) -> Rehearsal:
    async with _pool(where) as pool:
        stage = Stage(pool, found, known)
        stood_in = await stage.stand_in()
        await stage.seed_droplets()
        before = await stage.rows()
        cost, worked = await stage.costs()
        for wish in wishes:
            await wish.apply(stage.store)
        assumed = [*await stage.seed_front_ends(), *await stage.unknown_droplets()]
        at_rest = await stage.play()
        cost_after, worked_after = await stage.costs()
        return Rehearsal(
            steps=await stage.steps(),
            outcomes=outcomes(before, await stage.rows()),
            cost_before=cost,
            cost_after=cost_after,
            worked_before=worked,
            worked_after=worked_after,
            at_rest=at_rest,
            seconds=virtual_time.running_loop().time(),
            notes=[
                *stage.outside.notes,
                *stage.droplets.notes,
                *stood_in,
                *assumed,
                *await stage.paused(),
            ],
            scratch=where.form,
        )


class Stage:
    """The copy, the clouds in memory, and one replica of the controller between them.

    Args:
        pool: Connections to the copy.
        found: The rows as copied.
        known: What is known of the controller's settings.
    """

    def __init__(self, pool: Pool, found: copied.Rows, known: Known) -> None:
        loop = virtual_time.running_loop()
        start = loop.start.timestamp()

        def now() -> float:
            return start + loop.time()

        self._guests = Guests()
        runtime = InlineRuntime(now, guest=self._guests)
        self.fly = FlyCloud(now=now, rng=seeded(0), runtime=runtime)
        self.kv = KV(now=now, rng=seeded(1))
        self.team = NetlifyTeam(now=now, rng=seeded(4))
        self.store = Store(Database(pool), virtual_time.clock(), LocalDoorbell())
        self.droplets = Droplets(self.store, now)
        hosts: dict[str, Handler] = {
            front_ends.HOST: NetlifyAPI(self.team),
            **self.droplets.hosts,
        }
        simulators = SimulatorTransport(fly=self.fly, kv=self.kv, hosts=hosts)
        self.recorder = Recorder(
            simulators,
            fly=self.fly,
            kv=self.kv,
            team=self.team,
            droplets=self.droplets.cloud,
        )
        self._objects = list(readable((KINDS[row["kind"]], to_json(row)) for row in found.ours))
        self._others = [row["uid"] for row in found.others]
        self._known = known
        self._prints = Prints(known.fingerprints.of)
        self._installation = known.installation or installation_of(self._objects) or "plan"
        clouds = self._clouds()
        self.replica = Replica(
            self.store,
            clouds,
            name="plan",
            public_url=lambda subdomain: f"https://{subdomain}",
            rng=seeded(2),
            pace=PACE,
        )
        self.outside = Outside(self.fly, self.kv, self._tools(clouds), exact=known.complete)
        self.outside.seed(self._objects, found.carried_out)
        self.outside.take(found.taken)

    def _clouds(self) -> Clouds:
        return Clouds(
            fly=Fly(self.recorder, token=self.fly.token, org=self.fly.org, gear=_gear()),
            kv=WorkersKV(
                self.recorder,
                token=self.kv.token,
                account=self.kv.account,
                namespace=self.kv.default,
                gear=_gear(),
            ),
            agent=AgentClient(self.recorder),
            tokens=self._known.tokens,
            installation=self._installation,
            agent_env=self._known.agent_env,
            secrets=Secrets(self.store, self._known.cipher),
            fingerprint=self._prints.of,
            gateways=gateways(self.recorder),
            random=seeded(5).randbytes,
            netlify=self._netlify() if self._known.front_ends else None,
            digitalocean=self.droplets.application(self.recorder) if self._known.droplets else None,
        )

    def _netlify(self) -> Netlify:
        return Netlify(self.recorder, token=self.team.token, gear=_gear())

    def _tools(self, clouds: Clouds) -> Tools:
        return Tools(
            fly=clouds.fly,
            agent=clouds.agent,
            observer=self.replica.observer,
            tokens=clouds.tokens,
            installation=clouds.installation,
            agent_env=clouds.agent_env,
            secrets=clouds.secrets,
        )

    async def stand_in(self) -> list[str]:
        """Have keys where those on record cannot be read; says for whom."""
        clouds = self._clouds()
        where = StandIn(clouds.secrets, self._prints, clouds.fly.machine_url, seeded(6))
        return await where.put(self._objects)

    async def seed_droplets(self) -> None:
        """Have the droplets of those who are connected, and the gateways in them."""
        secrets = Secrets(self.store, self._known.cipher)
        found = await self.droplets.seed(self._objects, secrets, self._installation)
        self.outside.known |= found

    async def seed_front_ends(self) -> list[str]:
        """Have the front ends that are wished for; says what had to be assumed."""
        if not self._known.front_ends:
            return []
        return list(front_ends.seed(self.team, await self._devenvs()))

    async def unknown_droplets(self) -> list[str]:
        """What a plan cannot know of the droplets that are wished for."""
        return list(unknown(await self._wished(Vps)))

    async def _devenvs(self) -> list[DevEnv]:
        return await self._wished(DevEnv)

    async def _wished(self, kind: type[R]) -> list[R]:
        rows = [(kind, to_json(row)) for row in await self.rows() if row["kind"] == kind.KIND]
        return [each for each in readable(rows) if isinstance(each, kind)]

    async def costs(self) -> tuple[float, float]:
        """USD a month, always on, and with what stops by itself in working hours only."""
        resting = frozenset(
            each.spec.app_of(service)
            for each in await self._devenvs()
            if each.spec.auto_stop_minutes is not None
            for service in SERVICES
        )
        return self.outside.monthly_usd(), self.outside.monthly_usd(resting)

    async def play(self) -> bool:
        """Let the replica work until it rests; returns whether everything came to its end."""
        playing = asyncio.create_task(self.replica.run())
        try:
            return await self._rest(playing)
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
            await self.fly.aclose()
            await self.droplets.aclose()

    async def _rest(self, playing: asyncio.Task[None]) -> bool:
        loop = virtual_time.running_loop()
        seen: tuple[int, int] = (0, 0)
        since = loop.time()
        while loop.time() < BOUND_SECONDS and not playing.done():
            await asyncio.sleep(POLL_SECONDS)
            now = (await self.store.log.newest(), len(self.recorder.effects))
            if now != seen or self._busy():
                seen, since = now, loop.time()
                continue
            quiet = loop.time() - since
            unsettled = [row for row in await self.rows() if is_unsettled(row)]
            if quiet >= REST_SECONDS and not unsettled:
                return True
            if quiet >= STUCK_SECONDS and any(is_blocked(row) for row in unsettled):
                return True
        return False

    def _busy(self) -> bool:
        return len(self.replica.shards.held()) < PACE.shards or any(
            len(controller.queue) or controller.queue.taken
            for controller in self.replica.controllers
        )

    async def rows(self) -> Sequence[DictRow]:
        """The rows that are reconciled."""
        return await self.store.database.fetch(
            f"SELECT {ROW_COLUMNS} FROM objects "  # noqa: S608 - from constants
            "WHERE annotations->>%s IS DISTINCT FROM 'true' ORDER BY kind, namespace, name",
            PAUSED,
        )

    async def paused(self) -> list[str]:
        """Which of the accounts' objects somebody took out of the controllers' hands, in words."""
        rows = await self.store.database.fetch(
            "SELECT kind, namespace, name FROM objects "
            "WHERE annotations->>%s = 'true' AND uid <> ALL(%s::uuid[])",
            PAUSED,
            self._others,
        )
        return [f"{key_of(row)} stays paused: nothing is done about it" for row in rows]

    async def steps(self) -> list[Step]:
        """What was done outside."""
        rows = await self.store.database.fetch(EVERY_VERSION)
        owners = Owners(self._installation, rows)
        found = []
        for provider, effect in self.recorder.effects:
            does, known = None, self.outside.known
            if effect.operation == EXEC:
                # In the order in which each machine was asked; who only looked did nothing.
                does = self._guests.done[effect.id].popleft()
            if (effect.operation == EXEC and does is None) or _is_again(effect, known):
                continue
            found.append(step(provider, effect, known, owners.of(effect), does))
        return found


def _is_again(effect: Effect, known: set[str]) -> bool:
    """Whether something is made that is there already, which changes nothing."""
    return effect.operation == "apps.create" and effect.app in known


def _gear() -> Gear:
    return Gear(rng=seeded(3))


def _pool(where: Scratch) -> Pool:
    options = f"-c lock_timeout={LOCK_TIMEOUT_MS}"
    if where.form == "schema":
        options += f" -c search_path={where.name}"
    return Pool(
        where.url,
        connection_class=AsyncConnection[DictRow],
        min_size=POOL_SIZE,
        max_size=POOL_SIZE,
        kwargs={"autocommit": True, "row_factory": dict_row, "options": options},
        max_lifetime=float("inf"),
        open=False,
    )
