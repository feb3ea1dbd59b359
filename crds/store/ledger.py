"""How many objects there are of each sort, without counting them again and again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.rows import DictRow

from crds.store.coalesce import Coalescer
from crds.store.database import Database

Sort = tuple[Any, ...]

# The newest version, and up to where the log is forgotten; both of the statement's own snapshot.
_HORIZON = (
    "SELECT coalesce((SELECT max(resource_version) FROM object_log), 0) AS at, "
    "(SELECT compacted FROM log_horizon) AS compacted"
)
_COLUMNS = (
    "o->>'kind' AS kind, o->'spec' AS spec, o->'status' AS status, "
    "(o->>'deletion_timestamp')::timestamptz AS deletion_timestamp"
)


class Ledger:
    """Counts objects by sort; after the first time only what the log has to tell since.

    A reading costs as much as there were changes since the last one, however many objects there
    are: the log knows each object before and after.

    Args:
        database: Where objects and their log are.
        by: What makes a sort: SQL expressions over `kind`, `spec`, `status` and
            `deletion_timestamp`, by name. They must not fail, whatever a row holds.
        only: Which objects count: an SQL condition over `kind`.
        changes: Which changes can move an object from one sort to another: an SQL condition over
            the columns of the log.
    """

    def __init__(
        self,
        database: Database,
        by: Mapping[str, str],
        *,
        only: str = "true",
        changes: str = "true",
    ) -> None:
        self._database = database
        self._names = tuple(by)
        self._count = _counted(by, only)
        self._update = _updated(by, f"({only}) AND ({changes})")
        self._counts: Counter[Sort] = Counter()
        self._since: int | None = None
        self._readers = Coalescer[None, Mapping[Sort, int]](self._read_all)

    async def read(self) -> Mapping[Sort, int]:
        """The number of objects of each sort, as of a moment after this call began.

        Callers at the same time share a statement; nobody may change what they get.
        """
        return await self._readers.submit(None)

    async def _read_all(self, readers: Sequence[None]) -> Sequence[Mapping[Sort, int]]:
        if self._since is None or not await self._catch_up(self._since):
            await self._begin()
        return [self._counts] * len(readers)

    async def _catch_up(self, since: int) -> bool:
        """Take in what the log tells; False when it has forgotten a part, or has gone back."""
        rows = await self._database.fetch(self._update, since, since)
        if rows[0]["compacted"] > since or rows[0]["at"] < since:
            return False
        counts = self._counts.copy()
        counts.update(self._sorts(rows))
        self._counts = Counter({sort: number for sort, number in counts.items() if number})
        self._since = rows[0]["at"]
        return True

    async def _begin(self) -> None:
        rows = await self._database.fetch(self._count)
        self._counts = Counter(self._sorts(rows))
        self._since = rows[0]["at"]

    def _sorts(self, rows: Sequence[DictRow]) -> dict[Sort, int]:
        return {
            tuple(row[name] for name in self._names): int(row["number"])
            for row in rows
            if row["number"] is not None
        }


def _counted(by: Mapping[str, str], only: str) -> str:
    return (
        f"SELECT * FROM ({_HORIZON}) AS horizon LEFT JOIN ("
        f"SELECT {_listed(by)}, count(*) AS number FROM objects WHERE {only} "
        f"GROUP BY {_places(by)}) AS counted ON true"
    )


def _updated(by: Mapping[str, str], which: str) -> str:
    """What came less what went, by sort.

    The log keeps an object as it was before a change and as it is after; of a deletion, as it was.
    """
    came = (
        "SELECT 1 AS sign, object AS o FROM object_log "
        f"WHERE resource_version > %s AND type <> 'DELETED' AND {which}"
    )
    went = (
        "SELECT -1, CASE type WHEN 'DELETED' THEN object ELSE previous END FROM object_log "
        f"WHERE resource_version > %s AND type <> 'ADDED' AND {which}"
    )
    return (
        f"SELECT * FROM ({_HORIZON}) AS horizon LEFT JOIN ("
        f"SELECT {_listed(by)}, sum(sign) AS number FROM "
        f"(SELECT sign, {_COLUMNS} FROM ({came} UNION ALL {went}) AS changed) AS each "
        f"GROUP BY {_places(by)}) AS counted ON true"
    )


def _listed(by: Mapping[str, str]) -> str:
    return ", ".join(f"{expression} AS {name}" for name, expression in by.items())


def _places(by: Mapping[str, str]) -> str:
    return ", ".join(str(place) for place, _ in enumerate(by, 1))
