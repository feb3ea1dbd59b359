"""The rehearsal: the real reconcilers, on virtual time, on a copy, until they come to rest."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from controller.assembly import Clouds, Pace, Replica
from controller.engine import Timing
from controller.machine import names
from controller.machine.agent import AgentClient
from controller.machine.tools import Tools
from controller.providers import Gear
from controller.providers.cloudflare import WorkersKV
from controller.providers.fly import Fly
from crds.annotations import PAUSED
from crds.machine import Machine
from crds.meta import Key
from crds.registry import KINDS
from crds.secrets import Secrets
from crds.store import LocalDoorbell, Store
from crds.store.database import LOCK_TIMEOUT_MS, Database, Pool
from crds.store.rows import to_json
from deploy.local import virtual_time
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.kv.store import KV
from deploy.local.simulators.transport import SimulatorTransport
from deploy.plan import rows as copied
from deploy.plan.documents import Wish
from deploy.plan.known import Known
from deploy.plan.outside import Outside, installation_of, readable, seeded
from deploy.plan.scratch import Scratch, scratch
from deploy.plan.steps import Recorder, Step, step

# Virtual seconds that a plan may take; what is not done by then is told.
BOUND_SECONDS = 600.0
POLL_SECONDS = 2.0
# Nothing may happen for so long before it counts as rest: the observer looks every 10 s.
REST_SECONDS = 14.0
# What is blocked waits for somebody; nobody comes within a plan.
STUCK_SECONDS = 60.0
POOL_SIZE = 4
PACE = Pace(timing=Timing(duration=120.0, renew_every=40.0, margin=5.0), shards=1)
REFUSALS = ("RegionRefused", "ShrinkRefused")
ROW_COLUMNS = (
    "uid, kind, namespace, name, resource_version, generation, creation_timestamp, "
    "deletion_timestamp, labels, annotations, finalizers, owner_references, managed_fields, "
    "spec, status"
)


class Outcome(NamedTuple):
    """What becomes of one object.

    Attributes:
        key: Which.
        before: Its phase at present; None when it is not there yet.
        after: Its phase in the end; None when it is gone.
        problem: Why the wish has not come true; None when it has.
    """

    key: Key
    before: str | None
    after: str | None
    problem: str | None


@dataclass(frozen=True)
class Rehearsal:
    """What the next reconciles would do.

    Attributes:
        steps: The calls that change something outside; in order for each object, while two
            objects may take turns otherwise than here.
        outcomes: What becomes of the objects.
        cost_before: USD a month at present, always on.
        cost_after: The same in the end.
        at_rest: Whether everything came to rest within the virtual time.
        seconds: Virtual seconds that it took.
        notes: What was assumed.
        scratch: Where the copy was.
    """

    steps: list[Step]
    outcomes: list[Outcome]
    cost_before: float
    cost_after: float
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
        before = await stage.rows()
        cost = stage.outside.monthly_usd()
        for wish in wishes:
            await wish.apply(stage.store)
        at_rest = await stage.play()
        return Rehearsal(
            steps=await stage.steps(),
            outcomes=_outcomes(before, await stage.rows()),
            cost_before=cost,
            cost_after=stage.outside.monthly_usd(),
            at_rest=at_rest,
            seconds=virtual_time.running_loop().time(),
            notes=[*stage.outside.notes, *await stage.paused()],
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
        self.fly = FlyCloud(now=lambda: start + loop.time(), rng=seeded(0))
        self.kv = KV(now=lambda: start + loop.time(), rng=seeded(1))
        self.recorder = Recorder(SimulatorTransport(fly=self.fly, kv=self.kv), self.fly, self.kv)
        self.store = Store(Database(pool), virtual_time.clock(), LocalDoorbell())
        objects = list(readable((KINDS[row["kind"]], to_json(row)) for row in found.ours))
        machines = [each for each in objects if isinstance(each, Machine)]
        self._others = [row["uid"] for row in found.others]
        self._known = known
        self._installation = known.installation or installation_of(machines) or "plan"
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
        self.outside.seed(objects, found.carried_out)

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
            fingerprint=self._known.fingerprints.of,
        )

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

    async def play(self) -> bool:
        """Let the replica work until it rests; returns whether everything came to its end."""
        playing = asyncio.create_task(self.replica.run())
        try:
            return await self._rest(playing)
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
            await self.fly.aclose()

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
            unsettled = [row for row in await self.rows() if _is_unsettled(row)]
            if quiet >= REST_SECONDS and not unsettled:
                return True
            if quiet >= STUCK_SECONDS and any(_is_blocked(row) for row in unsettled):
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
        return [f"{_key(row)} stays paused: nothing is done about it" for row in rows]

    async def steps(self) -> list[Step]:
        """What was done outside."""
        rows = await self.store.database.fetch(
            "SELECT uid, namespace, name FROM objects WHERE kind = 'Machine' UNION "
            "SELECT uid, namespace, name FROM object_log WHERE kind = 'Machine'"
        )
        keys = {row["uid"]: Key("Machine", row["namespace"], row["name"]) for row in rows}

        def owner(app: str) -> str | None:
            uid = names.uid_of_app(self._installation, app)
            return str(keys[uid]) if uid in keys else None

        return [
            step(provider, effect, self.outside.known, owner)
            for provider, effect in self.recorder.effects
        ]


def _outcomes(before: Sequence[DictRow], after: Sequence[DictRow]) -> list[Outcome]:
    then = {_key(row): row for row in before}
    now = {_key(row): row for row in after}
    return [
        Outcome(
            key,
            _phase(then.get(key)),
            _phase(now.get(key)),
            _problem(now[key]) if key in now else None,
        )
        for key in sorted(then.keys() | now.keys())
    ]


def _key(row: Mapping[str, Any]) -> Key:
    return Key(row["kind"], row["namespace"], row["name"])


def _phase(row: Mapping[str, Any] | None) -> str | None:
    return None if row is None else row["status"].get("phase", "Pending")


def _problem(row: Mapping[str, Any]) -> str | None:
    """Why an object is not as wished, in its own words."""
    status = row["status"]
    if (retry := status.get("retry")) is not None:
        return f"{retry['kind']}, {retry['reason']}: {retry.get('message', '')}"
    for condition in status.get("conditions") or []:
        if condition["type"] in REFUSALS and condition["status"] == "True":
            return f"{condition['type']}: {condition.get('message', '')}"
    if row["deletion_timestamp"] is not None:
        return "its deletion is not through"
    if _is_unsettled(row):
        ready = _ready(row)
        return f"{ready['reason']}: {ready.get('message', '')}" if ready else "not looked at yet"
    return None


def _is_unsettled(row: Mapping[str, Any]) -> bool:
    """Whether something about it is still to be done."""
    status, ready = row["status"], _ready(row)
    return (
        row["deletion_timestamp"] is not None
        or status.get("observedGeneration") != row["generation"]
        or status.get("retry") is not None
        or status.get("intent") is not None
        or ready is None
        or ready["status"] != "True"
    )


def _is_blocked(row: Mapping[str, Any]) -> bool:
    return (row["status"].get("retry") or {}).get("kind") in {"Blocked", "Terminal"}


def _ready(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    conditions = row["status"].get("conditions") or []
    return next((c for c in conditions if c["type"] == "Ready"), None)


def _gear() -> Gear:
    return Gear(rng=seeded(3))


def _pool(where: Scratch) -> Pool:
    options = f"-c lock_timeout={LOCK_TIMEOUT_MS}"
    if where.form == "schema":
        options += f" -c search_path={where.name}"
    return AsyncConnectionPool(
        where.url,
        connection_class=AsyncConnection[DictRow],
        min_size=POOL_SIZE,
        max_size=POOL_SIZE,
        kwargs={"autocommit": True, "row_factory": dict_row, "options": options},
        max_lifetime=float("inf"),
        open=False,
    )
