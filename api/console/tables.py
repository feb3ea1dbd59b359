"""Tables of a kind: searched, filtered, sorted and paged by the database; the address says how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from psycopg.rows import DictRow

from api.console.rendering import query as query_of
from api.kubernetes.jsonpath import look_up, steps_of
from api.kubernetes.objects import of_row
from crds.annotations import PAUSED
from crds.meta import Column, Resource
from crds.store import Store

SIZES: Final = (25, 50, 100)
MAX_TEXT: Final = 200
NEWEST_FIRST: Final = "-age"
# More words than this in one search are not a search.
MAX_WORDS: Final = 6
MAX_PAGE: Final = 1_000_000
READY: Final = ("True", "False", "Unknown")

_IS_PAUSED: Final = f"coalesce(o.annotations->>'{PAUSED}' = 'true', false)"
UNCONVERGED: Final = (
    """(NOT coalesce(o.status->'conditions' @> '[{"type": "Ready", "status": "True"}]', false) """
    "OR coalesce(o.status->'observedGeneration', '0') <> to_jsonb(o.generation) "
    f"OR o.deletion_timestamp IS NOT NULL) AND NOT {_IS_PAUSED}"
)
"""What is not yet as it is wished, leaving out what somebody paused."""
ONLY: Final[Mapping[str, tuple[str, str]]] = {
    "attention": ("Not converged", UNCONVERGED),
    "retrying": ("With an error", "o.status->'retry' IS NOT NULL"),
    "paused": ("Paused", _IS_PAUSED),
    "deleting": ("Being deleted", "o.deletion_timestamp IS NOT NULL"),
}

ROWS: Final = (
    "o.uid, o.kind, o.namespace, o.name, o.resource_version, o.generation, o.creation_timestamp, "
    "o.deletion_timestamp, o.labels, o.annotations, o.finalizers, o.owner_references, o.spec, "
    "o.status"
)
# An object's account is its namespace, or what its spec says.
FROM: Final = (
    "FROM objects o LEFT JOIN objects a ON a.kind = 'Account' AND a.namespace = '' "
    "AND a.name = coalesce(nullif(o.namespace, ''), o.spec->>'account') WHERE o.kind = %s"
)
MATCHES: Final = (
    "(o.name ILIKE %s OR o.namespace ILIKE %s OR o.spec->>'subdomain' ILIKE %s "
    "OR o.spec->>'siloId' ILIKE %s OR o.spec->'service'->>'app' ILIKE %s "
    "OR o.spec->>'vps' ILIKE %s OR o.status->'droplet'->>'ipv4' ILIKE %s "
    "OR o.status->'droplet'->>'id' ILIKE %s OR o.status->>'fingerprint' ILIKE %s "
    "OR o.labels->>'invoker.dev/subdomain' ILIKE %s OR o.spec->>'email' ILIKE %s "
    "OR a.spec->>'email' ILIKE %s OR o.status->>'phase' ILIKE %s "
    "OR o.status->'retry'->>'reason' ILIKE %s OR (o.kind = 'Account' AND o.name IN "
    "(SELECT r.spec->>'account' FROM objects r WHERE r.kind = 'Route' AND r.name ILIKE %s)))"
)


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of a table.

    Attributes:
        q: Words that all have to be found.
        phase: Only this phase.
        ready: Only with this status of the condition Ready.
        only: A key of `ONLY`.
        account: Only this account's.
        sort: A column's name, `name`, `account` or `age`; with a minus before it, downwards.
        page: From 1.
        size: Rows a page.
        wide: Whether columns of priority 1 are shown.
    """

    q: str = ""
    phase: str = ""
    ready: str = ""
    only: str = ""
    account: str = ""
    sort: str = NEWEST_FIRST
    page: int = 1
    size: int = SIZES[0]
    wide: bool = False

    @classmethod
    def of(cls, kind: type[Resource], given: Mapping[str, str]) -> Query:
        """Read the address; what makes no sense counts as not said."""
        sort = given.get("sort", "")
        size = _number(given.get("size", ""))
        return cls(
            q=_clean(given.get("q", "")),
            phase=_clean(given.get("phase", "")),
            ready=given.get("ready", "") if given.get("ready") in READY else "",
            only=given.get("only", "") if given.get("only") in ONLY else "",
            account=_clean(given.get("account", "")),
            sort=sort if sort.removeprefix("-") in sortable(kind) else NEWEST_FIRST,
            page=max(1, min(_number(given.get("page", "")), MAX_PAGE)),
            size=size if size in SIZES else SIZES[0],
            wide=given.get("wide") == "1",
        )

    def parameters(self) -> dict[str, object]:
        """The address's parameters, without those that say nothing."""
        plain = type(self)()
        named = {name: getattr(self, name) for name in self.__slots__}
        return {
            name: int(value) if isinstance(value, bool) else value
            for name, value in named.items()
            if value != getattr(plain, name)
        }

    def link(self, **changes: Any) -> str:
        """The query of the same table asked a little differently, from its first page."""
        return query_of(replace(self, **{"page": 1, **changes}).parameters())

    @property
    def narrowed(self) -> bool:
        """Whether anything is left out."""
        return bool(self.q or self.phase or self.ready or self.only or self.account)


@dataclass(frozen=True, slots=True)
class Row:
    """One object of a table.

    Attributes:
        object: Its JSON.
        email: Its account's e-mail address, if the account is there.
        account: Its account's name; empty for what belongs to none.
    """

    object: Mapping[str, Any]
    email: str | None
    account: str

    def cell(self, column: Column) -> Any:
        """What a column shows of it."""
        return look_up(column.path, self.object)

    @property
    def id(self) -> str:
        """The id of its element."""
        return f"row-{self.object['metadata']['uid']}"


@dataclass(frozen=True, slots=True)
class Table:
    """A page of a table.

    Attributes:
        total: How many objects there are, on all pages.
        page: Which page this is; not beyond the last one.
        phases: How many objects of each phase the search finds.
    """

    rows: Sequence[Row]
    total: int
    page: int
    pages: int
    phases: Mapping[str, int]


def columns(kind: type[Resource], *, wide: bool) -> list[Column]:
    """What a table shows of a kind beside name, account and age."""
    return [column for column in kind.COLUMNS if wide or column.priority == 0]


def sortable(kind: type[Resource]) -> set[str]:
    """By what a table can be sorted."""
    return {"name", "account", "age"} | {column.name.lower() for column in kind.COLUMNS}


async def read(store: Store, kind: type[Resource], query: Query) -> Table:
    """Read a page.

    Args:
        store: The rows.
        kind: Of which kind.
        query: What is asked.
    """
    searched, words = _search(query)
    phases = await store.database.fetch(
        f"SELECT coalesce(o.status->>'phase', '') AS phase, count(*) AS number {FROM}{searched} "
        "GROUP BY 1 ORDER BY 1",
        kind.KIND,
        *words,
    )
    filtered, values = _filter(query)
    total = await _count(store, kind, searched + filtered, [*words, *values])
    pages = max(1, -(-total // query.size))
    page = min(query.page, pages)
    order, path = _order(kind, query)
    rows = await store.database.fetch(
        f"SELECT {ROWS}, a.spec->>'email' AS email {FROM}{searched}{filtered} "
        f"ORDER BY {order}, o.namespace, o.name LIMIT %s OFFSET %s",
        kind.KIND,
        *words,
        *values,
        *path,
        query.size,
        (page - 1) * query.size,
    )
    counts = {row["phase"]: row["number"] for row in phases if row["phase"]}
    return Table([_row(kind, row) for row in rows], total, page, pages, counts)


async def _count(store: Store, kind: type[Resource], where: str, values: Sequence[object]) -> int:
    rows = await store.database.fetch(
        f"SELECT count(*) AS number {FROM}{where}",
        kind.KIND,
        *values,
    )
    return int(rows[0]["number"])


def _row(kind: type[Resource], row: DictRow) -> Row:
    data = of_row(kind.KIND, row)
    account = row["namespace"] or row["spec"].get("account") or ""
    return Row(data, row["email"], account if isinstance(account, str) else "")


def _search(query: Query) -> tuple[str, list[str]]:
    words = query.q.split()[:MAX_WORDS]
    patterns = [f"%{_literally(word)}%" for word in words]
    places = MATCHES.count("%s")
    return "".join(f" AND {MATCHES}" for _ in words), [p for p in patterns for _ in range(places)]


def _filter(query: Query) -> tuple[str, list[str]]:
    where, values = "", []
    if query.phase:
        where += " AND o.status->>'phase' = %s"
        values.append(query.phase)
    if query.ready:
        where += (
            " AND jsonb_path_query_first(o.status, "
            "'$.conditions[*] ? (@.type == \"Ready\").status') #>> '{}' = %s"
        )
        values.append(query.ready)
    if query.account:
        where += " AND coalesce(nullif(o.namespace, ''), o.spec->>'account', o.name) = %s"
        values.append(query.account)
    if query.only:
        where += f" AND {ONLY[query.only][1]}"
    return where, values


def _order(kind: type[Resource], query: Query) -> tuple[str, list[str]]:
    """The ORDER BY of a query, and its parameters."""
    name, down = query.sort.removeprefix("-"), query.sort.startswith("-")
    direction = "DESC NULLS LAST" if down else "ASC NULLS LAST"
    plain = {"name": "o.name", "account": "email", "age": "o.creation_timestamp"}
    if name in plain:
        return f"{plain[name]} {direction}", []
    column = next(column for column in kind.COLUMNS if column.name.lower() == name)
    root, path = jsonpath(column.path)
    value = f"jsonb_path_query_first(o.{root}, %s::jsonpath)"
    # JSON orders numbers as numbers, whatever a row may hold.
    text = column.type in ("string", "date")
    return f"{value} #>> '{{}}' {direction}" if text else f"{value} {direction}", [path]


def jsonpath(path: str) -> tuple[str, str]:
    """A column's path as the database's column and its jsonpath.

    Raises:
        ValueError: It does not begin with `.spec` or `.status`.
    """
    (root, *_), *rest = steps_of(path)
    if root not in ("spec", "status"):
        raise ValueError(f"{path!r} is not in spec or status")
    steps = [
        f'."{field}"' if field is not None else f'[*] ? (@."{key}" == "{value}")'
        for field, key, value in rest
    ]
    return root, "$" + "".join(steps)


def _literally(word: str) -> str:
    """A word for ILIKE, in which nothing stands for anything else."""
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _clean(text: str) -> str:
    return "".join(c for c in text if c.isprintable())[:MAX_TEXT].strip()


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0  # noqa: PLR2004 - fits any integer column
