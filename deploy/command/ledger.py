"""The ledger of leaks: what was begun and is not on record, what is outside and has no row."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from controller.edge import Edge
from controller.orphans import Evidence, Thing, look_inside, look_outside
from controller.providers import Call, NotFound, Priority, ProviderError, aiohttp_transport
from controller.providers.cloudflare import WorkersKV
from controller.providers.fly import GONE_VOLUME_STATES, TERMINAL_STATES, Fly, FlyMachine, Volume
from crds.compute import MONTHLY_VOLUME_USD_PER_GB, MachineSize, monthly_cost_usd
from crds.store import EventRecord, Store

# What the collector and the reconcilers tell of things that were lost, found and removed.
REASONS = (
    "Adopted",
    "AppLost",
    "Collected",
    "CollectForced",
    "CollectInvalid",
    "DropletLost",
    "Duplicate",
    "MachineLost",
    "NotCollecting",
    "Ownerless",
    "VolumeLost",
)
# With all of these a live listing is possible; they are the controller's own.
CREDENTIALS = (
    "INVOKER_INSTALLATION",
    "FLY_API_TOKEN",
    "FLY_ORG",
    "CLOUDFLARE_API_TOKEN",
    "CLOUDFLARE_ACCOUNT_ID",
    "CLOUDFLARE_KV_NAMESPACE_ID",
)
# Each orphan's price takes a read or two; nobody reads a longer table.
PRICED = 100
CALL = Call(Priority.COLLECTION)

OPEN_ENDS = """
SELECT kind, namespace, name, what, since FROM (
  SELECT kind, namespace, name, 'begun: ' || (status->'intent'->>'operation') AS what,
    (status->'intent'->>'since')::timestamptz AS since FROM objects WHERE status ? 'intent'
  UNION ALL
  SELECT kind, namespace, name, 'missing: ' || part,
    (status->part->>'missingSince')::timestamptz
    FROM objects, unnest(ARRAY['app', 'volume', 'instance', 'droplet']) AS part
    WHERE kind IN ('Machine', 'Vps') AND status->part ? 'missingSince'
  UNION ALL
  SELECT kind, namespace, name, 'not confirmed: entry', NULL
    FROM objects WHERE kind = 'Route' AND status->>'published' = 'false'
  UNION ALL
  SELECT kind, namespace, name, 'being deleted', deletion_timestamp
    FROM objects WHERE deletion_timestamp IS NOT NULL
  UNION ALL
  SELECT kind, namespace, name, 'row gone, ' || reason, at
    FROM tombstones WHERE gone_at IS NULL AND (forced OR kind IN ('Machine', 'Vps'))
) AS ends ORDER BY since NULLS LAST, kind, namespace, name
"""


class OpenEnd(NamedTuple):
    """Something that the rows say is not finished."""

    object: str
    what: str
    since: datetime | None


class Orphan(NamedTuple):
    """Something outside that carries our mark and that no row wants.

    Attributes:
        thing: What it is.
        app: Where it is; empty for an entry.
        verdict: What the collector makes of it.
        monthly_usd: What it costs; None when that could not be read.
    """

    thing: str
    app: str
    verdict: str
    monthly_usd: float | None


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is known of leaks.

    Attributes:
        now: The moment of this answer.
        open_ends: What the rows say is not finished.
        events: What was lost, adopted and removed lately.
        orphans: What is outside without a row; None when nobody could look.
        incomplete: Whether a provider left regions out of its lists.
        unseen: Why nobody could look.
        failed: Whether a provider did not let us, although there are credentials.
    """

    now: datetime
    open_ends: Sequence[OpenEnd]
    events: Sequence[EventRecord]
    orphans: Sequence[Orphan] | None
    incomplete: bool
    unseen: str | None
    failed: bool = False

    @property
    def monthly_usd(self) -> float:
        """What the orphans cost a month, always on."""
        return round(sum(each.monthly_usd or 0.0 for each in self.orphans or ()), 2)


async def gather(store: Store, environ: Mapping[str, str]) -> Ledger:
    """Read the rows, and look outside if the environment has the means."""
    rows = await store.database.fetch(OPEN_ENDS)
    ends = [
        OpenEnd(
            "/".join(filter(None, (row["kind"], row["namespace"], row["name"]))),
            row["what"],
            row["since"],
        )
        for row in rows
    ]
    events = [event for event in await store.events.list() if event.reason in REASONS]
    known = partial(Ledger, store.clock.now(), ends, events)
    if lacking := [name for name in CREDENTIALS if not environ.get(name)]:
        return known(None, incomplete=False, unseen=f"not set: {', '.join(lacking)}")
    try:
        orphans, complete = await _outside(store, environ)
    except ProviderError as error:
        return known(None, incomplete=False, unseen=str(error), failed=True)
    return known(orphans, incomplete=not complete, unseen=None)


async def _outside(store: Store, environ: Mapping[str, str]) -> tuple[list[Orphan], bool]:
    installation = environ["INVOKER_INSTALLATION"]
    async with connected(environ) as (fly, kv):
        edge = Edge(kv, store.clock, installation)
        outside = await look_outside(fly, edge, installation, CALL)
        evidence = await look_inside(store, outside.things)
        orphans = [
            Orphan(
                str(thing),
                thing.app,
                _verdict(thing, evidence),
                await _price(fly, thing) if number < PRICED else None,
            )
            for number, thing in enumerate(evidence.orphans(outside.things))
        ]
        return orphans, outside.complete


@asynccontextmanager
async def connected(environ: Mapping[str, str]) -> AsyncIterator[tuple[Fly, WorkersKV]]:
    """Clients of the clouds that the environment names; they are only asked, never told."""
    async with AsyncExitStack() as stack:
        fly = Fly(
            aiohttp_transport(),
            token=environ["FLY_API_TOKEN"],
            org=environ["FLY_ORG"],
            base_url=environ.get("FLY_API_HOSTNAME") or "https://api.machines.dev",
        )
        kv = WorkersKV(
            aiohttp_transport(),
            token=environ["CLOUDFLARE_API_TOKEN"],
            account=environ["CLOUDFLARE_ACCOUNT_ID"],
            namespace=environ["CLOUDFLARE_KV_NAMESPACE_ID"],
            base_url=environ.get("CLOUDFLARE_API_URL") or "https://api.cloudflare.com/client/v4",
        )
        yield await stack.enter_async_context(fly), await stack.enter_async_context(kv)


def _verdict(thing: Thing, evidence: Evidence) -> str:
    if evidence.forced(thing):
        return "its row was let go by force: collected after the grace"
    if evidence.known(thing):
        return "collected after the grace"
    return "never in this database: left alone until somebody lets it go"


async def _price(fly: Fly, thing: Thing) -> float | None:
    """What a thing costs a month; an app with everything in it."""
    try:
        match thing.kind:
            case "app":
                machines = await fly.list_machines(thing.app, call=CALL)
                volumes = await fly.list_volumes(thing.app, call=CALL)
                return _sum(machines, volumes)
            case "machine":
                return _sum([await fly.get_machine(thing.app, thing.id, call=CALL)], [])
            case "volume":
                return _sum([], [await fly.get_volume(thing.app, thing.id, call=CALL)])
            case "entry":
                return 0.0
    except NotFound:
        # It went while we looked.
        return None


def _sum(machines: Sequence[FlyMachine], volumes: Sequence[Volume]) -> float:
    guests = [_guest(m.config) for m in machines if m.state not in TERMINAL_STATES]
    disks = sum(v.size_gb for v in volumes if v.state not in GONE_VOLUME_STATES)
    return round(
        sum(monthly_cost_usd(guest, 0) for guest in guests) + MONTHLY_VOLUME_USD_PER_GB * disks, 2
    )


def _guest(config: Mapping[str, Any]) -> MachineSize:
    """A machine's size; one that is nothing we make counts as the smallest."""
    try:
        return MachineSize.model_validate(config.get("guest"))
    except ValueError:
        return MachineSize()
