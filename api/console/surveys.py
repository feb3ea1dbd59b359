"""The fleet at a glance: what there is, how far it has converged, and what it costs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg.rows import DictRow

from api.console.addresses import object_path
from api.console.controllers import Controllers
from api.console.masking import masked_text
from api.console.tables import UNCONVERGED
from crds.clock import Clock
from crds.errors import InvalidError, NotFoundError
from crds.fleet import Tally, tally
from crds.meta import Resource
from crds.platform import PLATFORM, Platform, PlatformSpec
from crds.registry import KINDS
from crds.store import EventRecord, Store

WARNINGS: Final = 8
OLDEST: Final = 6
WINDOW_MINUTES: Final = 60
TIMES_FRESH_SECONDS: Final = 15.0


class KindCount(NamedTuple):
    """How many objects of a kind there are.

    Attributes:
        phases: By phase, the most frequent first.
        unconverged: How many are not as they are wished.
    """

    kind: type[Resource]
    total: int
    phases: Sequence[tuple[str, int]]
    unconverged: int


class Waiting(NamedTuple):
    """An object that has not converged.

    Attributes:
        since: Since when, by its own word; since it was made if it says nothing.
        email: Its account's e-mail address, if there is one.
    """

    kind: str
    name: str
    email: str | None
    path: str
    phase: str
    reason: str
    since: datetime | str


class Convergence(NamedTuple):
    """How quickly wishes come true.

    Attributes:
        unconverged: How many objects are not as they are wished.
        oldest: Those that have waited longest.
        reached: How many became ready within the window.
        p50: Seconds that half of them took at most; None without any.
        p95: Seconds that 95 % of them took at most.
    """

    unconverged: int
    oldest: Sequence[Waiting]
    reached: int
    p50: float | None
    p95: float | None


class Warned(NamedTuple):
    """A warning, and the page of what it is about."""

    event: EventRecord
    path: str


class Surveys:
    """Surveys of the whole fleet, shared by everybody who looks at about the same time.

    Args:
        store: The rows.
        controllers: What the controllers tell.
    """

    def __init__(self, store: Store, controllers: Controllers) -> None:
        self._store = store
        self._controllers = controllers
        self._lock = asyncio.Lock()
        self._survey: dict[str, Any] = {}
        self._read_at = -math.inf
        self._times: DictRow = {}
        self._times_read_at = -math.inf

    async def newest(self, fresh: float = 0.0) -> dict[str, Any]:
        """Everything that the first page shows.

        Args:
            fresh: Seconds that it may be old.
        """
        asked = Clock.monotonic()
        async with self._lock:
            if self._read_at < asked - fresh:
                begun = Clock.monotonic()
                self._survey = await self._read()
                self._read_at = begun
            return self._survey

    async def _read(self) -> dict[str, Any]:
        store = self._store
        platform, counts = await platform_spec(store), await count(store)
        spend = await tally(store, platform)
        unconverged = sum(each.unconverged for each in counts)
        return {
            "counts": counts,
            "convergence": await convergence(store, unconverged, await self._newest_times()),
            "platform": platform,
            "spend": spend,
            "left": _left(platform, spend),
            "told": await self._controllers.tell(),
            "warnings": await warnings(store),
        }

    async def _newest_times(self) -> DictRow:
        """An hour of the log is much to read: not at every look."""
        now = Clock.monotonic()
        if now - self._times_read_at >= TIMES_FRESH_SECONDS:
            self._times, self._times_read_at = await times_to_ready(self._store), now
        return self._times


async def platform_spec(store: Store) -> PlatformSpec:
    """The platform's wishes; the defaults when its row is broken or not there."""
    try:
        return (await store.get(Platform, PLATFORM)).spec
    except (InvalidError, NotFoundError):
        return PlatformSpec()


async def count(store: Store) -> list[KindCount]:
    """Objects by kind and phase."""
    rows = await store.database.fetch(
        "SELECT o.kind, coalesce(o.status->>'phase', 'Pending') AS phase, count(*) AS number, "  # noqa: S608 - put together from constants
        f"count(*) FILTER (WHERE {UNCONVERGED}) AS unconverged "
        "FROM objects o GROUP BY 1, 2 ORDER BY 3 DESC, 2"
    )
    by_kind: dict[str, list[DictRow]] = {}
    for row in rows:
        by_kind.setdefault(row["kind"], []).append(row)
    return [_counted(kind, by_kind.get(kind.KIND, [])) for kind in KINDS.values()]


def _counted(kind: type[Resource], rows: Sequence[DictRow]) -> KindCount:
    return KindCount(
        kind,
        sum(row["number"] for row in rows),
        [(row["phase"], row["number"]) for row in rows],
        sum(row["unconverged"] for row in rows),
    )


async def convergence(store: Store, unconverged: int, times: DictRow) -> Convergence:
    """What waits, and how long what became ready lately had waited."""
    waiting = await store.database.fetch(
        "SELECT o.kind, o.namespace, o.name, o.status, a.spec->>'email' AS email, "  # noqa: S608 - the same
        "coalesce(jsonb_path_query_first(o.status, "
        '\'$.conditions[*] ? (@.type == "Ready" && @.status != "True").lastTransitionTime\') '
        "#>> '{}', to_jsonb(o.creation_timestamp) #>> '{}') AS since "
        "FROM objects o LEFT JOIN objects a ON a.kind = 'Account' AND a.namespace = '' "
        "AND a.name = coalesce(nullif(o.namespace, ''), o.spec->>'account') "
        f"WHERE {UNCONVERGED} ORDER BY since, o.kind, o.namespace, o.name LIMIT %s",
        OLDEST,
    )
    return Convergence(
        unconverged,
        [_waiting(row) for row in waiting],
        times["reached"],
        None if times["took"] is None else times["took"][0],
        None if times["took"] is None else times["took"][1],
    )


async def times_to_ready(store: Store) -> DictRow:
    """Of every turn to Ready in the log's last hour: how long before that it had not been.

    Both ends are the controllers' word, so no two clocks are compared.
    """
    rows = await store.database.fetch(
        "WITH turns AS (SELECT object, jsonb_path_query_first(object->'status', %s) AS after, "
        "jsonb_path_query_first(previous->'status', %s) AS before FROM object_log "
        "WHERE type = 'MODIFIED' AND logged_at > now() - make_interval(mins => %s) "
        "AND kind IN ('Workspace', 'Machine') AND NOT spec_changed), "
        "took AS (SELECT extract(epoch FROM (after #>> '{}')::timestamptz - "
        "coalesce((before #>> '{}')::timestamptz, (object->>'creation_timestamp')::timestamptz)) "
        "AS seconds FROM turns WHERE after IS NOT NULL AND after IS DISTINCT FROM before "
        "AND NOT (object->'status'->'conditions' IS NULL)) "
        "SELECT count(*) AS reached, percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP "
        "(ORDER BY seconds) AS took FROM took WHERE seconds >= 0",
        '$.conditions[*] ? (@.type == "Ready" && @.status == "True").lastTransitionTime',
        '$.conditions[*] ? (@.type == "Ready").lastTransitionTime',
        WINDOW_MINUTES,
    )
    return rows[0]


def _waiting(row: DictRow) -> Waiting:
    status = row["status"]
    retry = status.get("retry") if isinstance(status.get("retry"), Mapping) else {}
    kind = KINDS.get(row["kind"])
    return Waiting(
        row["kind"],
        row["name"],
        row["email"],
        "" if kind is None else object_path(kind.PLURAL, row["namespace"], row["name"]),
        str(status.get("phase") or "Pending"),
        masked_text(str((retry or {}).get("reason") or "")),
        row["since"],
    )


def _left(platform: PlatformSpec, spent: Tally) -> dict[str, float]:
    """Which share of each cap is used, from 0 to 1; a cap of nothing is used up."""

    def share(used: float, cap: float) -> float:
        return min(1.0, used / cap) if cap else 1.0

    return {
        "machines": share(spent.machines, platform.caps.machines),
        "spend": share(spent.monthly_usd, platform.caps.monthly_spend_usd),
    }


async def warnings(store: Store) -> list[Warned]:
    """The newest warnings."""
    rows = await store.database.fetch(
        "SELECT namespace, kind, name, uid, type, reason, message, count, first_at, last_at "
        "FROM events WHERE type = 'Warning' ORDER BY last_at DESC, id DESC LIMIT %s",
        WARNINGS,
    )
    found = []
    for row in rows:
        event = EventRecord(**{**row, "message": masked_text(row["message"])})
        kind = KINDS.get(event.kind)
        namespace = event.namespace if kind is not None and kind.SCOPE == "Namespaced" else ""
        path = "" if kind is None else object_path(kind.PLURAL, namespace, event.name)
        found.append(Warned(event, path))
    return found
