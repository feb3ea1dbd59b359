"""The edge's memory: routing entries in Workers KV, written in bulk, one writer a key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import NamedTuple

import anyio
import structlog
from psycopg import Error as DatabaseError

from controller.providers import Call, Priority, ProviderError, RateLimited
from controller.providers.cloudflare import BULK_DEADLINE, KVEntry, WorkersKV
from crds.clock import Clock
from crds.meta import Key
from crds.route import RouteEntry
from crds.store import Store
from crds.store.coalesce import Coalescer

PREFIX = "route:"
PLATFORM_KEY = "platform:status"
# Writes of this span go out in one call: latency that nobody notices, calls by the thousand saved.
GATHER_SECONDS = 0.05
BULK_LIMIT = 10_000
# How long an entry that somebody else overwrote or removed can stay so.
LOOK_EVERY_SECONDS = 120.0

log = structlog.get_logger("invoker.edge")


@dataclass(frozen=True, slots=True)
class Change:
    """An entry to write, or to remove when `entry` is None.

    Attributes:
        guard: Raises once its writer may not write any more.
        remaining: For how many seconds its writer surely may.
    """

    subdomain: str
    uid: str
    stamp: int
    entry: RouteEntry | None
    guard: Callable[[], None] | None
    remaining: Callable[[], float] = lambda: inf


class Listed(NamedTuple):
    """What the last listing said about a key: its marks and when it was listed."""

    uid: str
    stamp: int
    at: datetime


class Stamp(NamedTuple):
    """Which entry a route should have, and whether it should have one at all."""

    uid: str
    stamp: int
    present: bool


async def stamps(store: Store) -> dict[str, Stamp]:
    """What the rows say about every route's entry, by subdomain."""
    rows = await store.project("Route", stamp="status.stamp", state="status.entry.state")
    return {
        row["name"]: Stamp(str(row["uid"]), int(row["stamp"] or 0), row["state"] is not None)
        for row in rows
    }


class Edge:
    """Writes entries and knows what the last listing showed.

    Args:
        kv: The provider.
        clock: The wall time.
        installation: Whose marks we put and heed.
    """

    def __init__(self, kv: WorkersKV, clock: Clock, installation: str) -> None:
        self._kv = kv
        self._clock = clock
        self._installation = installation
        self._changes = Coalescer[Change, Exception | None](
            self._flush, limit=BULK_LIMIT, gather_seconds=GATHER_SECONDS
        )
        self._listed: dict[str, Listed] = {}
        self._listed_at: datetime | None = None

    async def apply(self, change: Change) -> None:
        """Write or remove one entry, together with whatever else is due.

        Raises:
            ProviderError: It was not written, or nobody knows.
            FencedError: The shard was lost before it was sent.
        """
        failure = await self._changes.submit(change)
        if failure is not None:
            raise failure

    async def show_incident(self, text: str | None, call: Call) -> None:
        """Raise the incident page with a JSON document, or take it down with None."""
        if text is None:
            failed = await self._kv.delete_bulk([PLATFORM_KEY], call=call)
        else:
            metadata = {"installation": self._installation}
            failed = await self._kv.put_bulk([KVEntry(PLATFORM_KEY, text, metadata)], call=call)
        if failed:
            raise _refused()

    async def incident(self, call: Call) -> str | None:
        """The incident page's document as the edge has it, perhaps a minute ago."""
        return await self._kv.get(PLATFORM_KEY, call=call)

    def listed(self, subdomain: str) -> Listed | None:
        """What the last listing showed under a subdomain."""
        return self._listed.get(subdomain)

    @property
    def listed_at(self) -> datetime | None:
        """When the last complete listing began."""
        return self._listed_at

    async def look(self) -> dict[str, Listed]:
        """Read all our keys with their marks; the answer may be a minute old (PROVIDERS.md).

        Raises:
            ProviderError: The list was not read to its end.
        """
        began = self._clock.now()
        found: dict[str, Listed] = {}
        async for page in self._kv.list_keys(PREFIX, call=Call(Priority.RESYNC)):
            for key in page:
                marks = key.metadata or {}
                if marks.get("installation") == self._installation:
                    found[key.name.removeprefix(PREFIX)] = Listed(
                        str(marks.get("uid", "")), _stamp(marks.get("stamp")), began
                    )
        self._listed, self._listed_at = found, began
        return found

    async def remove_orphans(self, subdomains: Sequence[str], call: Call) -> set[str]:
        """Remove entries that no route stands behind; returns those that are still there."""
        keys = [PREFIX + subdomain for subdomain in subdomains]
        return {key.removeprefix(PREFIX) for key in await self._kv.delete_bulk(keys, call=call)}

    def suspects(self, routes: Mapping[str, Stamp]) -> list[Key]:
        """Routes whose entry is not as it should be, by the last listing.

        Args:
            routes: What should be, by subdomain.
        """
        return [
            Key("Route", "", subdomain)
            for subdomain, route in routes.items()
            if route != self._found(subdomain, route)
        ]

    def _found(self, subdomain: str, route: Stamp) -> Stamp:
        """The last listing's word on a route, in the same terms."""
        found = self._listed.get(subdomain)
        if found is None:
            return route._replace(present=False)
        return Stamp(found.uid, found.stamp, present=True)

    async def _flush(self, changes: Sequence[Change]) -> Sequence[Exception | None]:
        outcomes: dict[int, Exception | None] = {}
        for number, change in enumerate(changes):
            try:
                if change.guard is not None:
                    change.guard()
            except Exception as lost:  # noqa: BLE001 - it belongs to the one who asked
                outcomes[number] = lost
        due = [(n, change) for n, change in enumerate(changes) if n not in outcomes]
        # The last one wins within a batch: the engine never has two of one key at once.
        await self._send([(n, c) for n, c in due if c.entry], outcomes, put=True)
        await self._send([(n, c) for n, c in due if not c.entry], outcomes, put=False)
        return [outcomes[number] for number in range(len(changes))]

    async def _send(
        self,
        due: Sequence[tuple[int, Change]],
        outcomes: dict[int, Exception | None],
        *,
        put: bool,
    ) -> None:
        if not due:
            return
        call = Call(Priority.USER)
        # An answer that comes when somebody else may write already is not waited for.
        within = min([BULK_DEADLINE, *(change.remaining() for _, change in due)])
        try:
            if put:
                entries = [self._entry(change) for _, change in due]
                failed = await self._kv.put_bulk(entries, within=within, call=call)
            else:
                keys = [PREFIX + change.subdomain for _, change in due]
                failed = await self._kv.delete_bulk(keys, within=within, call=call)
        except ProviderError as error:
            outcomes.update(dict.fromkeys((n for n, _ in due), error))
            return
        for number, change in due:
            outcomes[number] = _refused() if PREFIX + change.subdomain in failed else None

    def _entry(self, change: Change) -> KVEntry:
        metadata = {
            "installation": self._installation,
            "uid": change.uid,
            "stamp": change.stamp,
        }
        return KVEntry(PREFIX + change.subdomain, _document(change.entry), metadata)


class EdgeWatch:
    """Looks at the entries now and then, and wakes routes whose entry is not theirs any more.

    Every replica looks for itself, because each can wake only its own keys.

    Args:
        edge: The entries.
        store: The rows.
        wake: Called with a route's key.
    """

    def __init__(self, edge: Edge, store: Store, wake: Callable[[Key], None]) -> None:
        self._edge = edge
        self._store = store
        self._wake = wake

    async def run(self) -> None:
        """Look every few minutes, for ever."""
        while True:
            try:
                await self._edge.look()
                for key in self._edge.suspects(await stamps(self._store)):
                    self._wake(key)
            except (ProviderError, DatabaseError) as error:
                log.warning("cannot look at the edge", error=str(error))
            except Exception:
                log.exception("cannot look at the edge")
            await anyio.sleep(LOOK_EVERY_SECONDS)


def _stamp(mark: object) -> int:
    """A mark as a number; what is none is older than every stamp, and so overwritten."""
    return mark if isinstance(mark, int) else -1


def _document(entry: RouteEntry | None) -> str:
    return "" if entry is None else entry.model_dump_json()


def _refused() -> RateLimited:
    """Cloudflare's 200 that names unsuccessful keys says nothing else: try them again soon."""
    return RateLimited(
        provider="cloudflare",
        operation="kv.bulk",
        message="the key was not written",
        retry_after=1.0,
    )
