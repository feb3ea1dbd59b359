"""Reading objects: one by one, as lists, or only some of their fields."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from uuid import UUID

from psycopg.rows import DictRow

from crds.errors import InvalidError, NotFoundError
from crds.meta import Key, Resource
from crds.store.coalesce import Coalescer
from crds.store.database import Database
from crds.store.log import Log
from crds.store.rows import COLUMNS, Broken, to_object

R = TypeVar("R", bound=Resource)


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """A list and the version that it is a snapshot of.

    Attributes:
        items: The objects.
        resource_version: A watch from here misses nothing that the list does not show.
        broken: Rows that an edit by plain SQL left without a valid spec.
    """

    items: list[R]
    resource_version: int
    broken: list[Broken] = field(default_factory=list)


class Reads:
    """The reading half of the store.

    Args:
        database: Where the rows are.
        log: Whose newest version an empty list has.
    """

    def __init__(self, database: Database, log: Log) -> None:
        self.database = database
        self.log = log
        self._finds = Coalescer[Key, DictRow | None](self._find_rows)

    async def find(self, kind: type[R], name: str, namespace: str = "") -> R | None:
        """Read an object anew; callers at the same time share a statement.

        Raises:
            InvalidError: An edit by plain SQL left its spec broken.
        """
        row = await self._finds.submit(Key(kind.KIND, namespace, name))
        return None if row is None else to_object(kind, row)

    async def find_row(self, key: Key) -> Mapping[str, Any] | None:
        """Read an object's row as it is, valid or not."""
        return await self._finds.submit(key)

    async def get(self, kind: type[R], name: str, namespace: str = "") -> R:
        """Read an object that must be there.

        Raises:
            NotFoundError: It is not.
            InvalidError: An edit by plain SQL left its spec broken.
        """
        found = await self.find(kind, name, namespace)
        if found is None:
            raise NotFoundError(str(Key(kind.KIND, namespace, name)))
        return found

    async def list(
        self,
        kind: type[R],
        *,
        namespace: str | None = None,
        spec: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> Page[R]:
        """Read all objects of a kind, by namespace and name, as one snapshot.

        Args:
            kind: The kind.
            namespace: Only this namespace's.
            spec: Only those whose top-level spec fields (as in JSON) have these values.
            limit: At most so many.
        """
        version, rows = await self._snapshot(
            lambda: self.rows(kind, namespace=namespace, spec=spec, limit=limit)
        )
        items: list[R] = []
        broken: list[Broken] = []
        for row in rows:
            try:
                items.append(to_object(kind, row))
            except InvalidError as error:
                broken.append(Broken(Key(row["kind"], row["namespace"], row["name"]), row, error))
        return Page(items, version, broken)

    async def page(
        self,
        kind: type[Resource],
        *,
        namespace: str | None = None,
        name: str | None = None,
        after: tuple[str, str] | None = None,
        limit: int | None = None,
    ) -> tuple[int, Sequence[DictRow]]:
        """Rows as they are, valid or not, in the order of namespace and name.

        Args:
            kind: The kind.
            namespace: Only this namespace's.
            name: Only the one of this name.
            after: Only those that come after this namespace and name.
            limit: At most so many.

        Returns:
            The version that they are a snapshot of, and the rows.
        """
        return await self._snapshot(
            lambda: self.rows(kind, namespace=namespace, name=name, after=after, limit=limit)
        )

    async def rows(
        self,
        kind: type[Resource],
        *,
        namespace: str | None = None,
        name: str | None = None,
        spec: Mapping[str, str] | None = None,
        after: tuple[str, str] | None = None,
        limit: int | None = None,
    ) -> Sequence[DictRow]:
        """The rows of a list as they are, valid or not; `at` is the version of the snapshot."""
        wanted = spec or {}
        conditions = "".join(" AND spec->>%s = %s" for _ in wanted)
        conditions += " AND (namespace, name) > (%s, %s)" if after else ""
        return await self.database.fetch(
            f"SELECT {COLUMNS}, (SELECT max(resource_version) FROM object_log) AS at "
            "FROM objects WHERE kind = %s AND namespace = coalesce(%s, namespace) "
            f"AND name = coalesce(%s, name){conditions} ORDER BY namespace, name LIMIT %s",
            kind.KIND,
            namespace,
            name,
            *(part for item in wanted.items() for part in item),
            *(after or ()),
            limit,
        )

    async def keys(self, kind: str) -> tuple[Sequence[Key], int]:
        """The keys of all objects of a kind, and the version that they are a snapshot of."""
        version, rows = await self._snapshot(
            lambda: self.database.fetch(
                "SELECT namespace, name, (SELECT max(resource_version) FROM object_log) AS at "
                "FROM objects WHERE kind = %s ORDER BY namespace, name",
                kind,
            )
        )
        return [Key(kind, row["namespace"], row["name"]) for row in rows], version

    async def project(self, kind: str, **paths: str) -> Sequence[DictRow]:
        """Some fields of every object of a kind, without building the objects.

        Args:
            kind: The kind.
            paths: By result column, the path of a field in dots: `status.instance.id`.

        Returns:
            Rows with uid, namespace, name and the fields as text or None.
        """
        return await self.database.fetch(f"{_projection(paths)} WHERE kind = %s", kind)

    async def project_one(self, kind: str, uid: UUID, **paths: str) -> DictRow | None:
        """The same of one object, or None when it is not there."""
        rows = await self.database.fetch(
            f"{_projection(paths)} WHERE kind = %s AND uid = %s", kind, uid
        )
        return rows[0] if rows else None

    async def keys_of(self, uids: Collection[UUID]) -> dict[UUID, Key]:
        """The keys of objects of any kind, by uid; those that are there."""
        rows = await self.database.fetch(
            "SELECT uid, kind, namespace, name FROM objects WHERE uid = ANY(%s)", list(uids)
        )
        return {row["uid"]: Key(row["kind"], row["namespace"], row["name"]) for row in rows}

    async def keys_naming(
        self, kinds: Collection[str], field: str, named: Collection[tuple[str, str]]
    ) -> Sequence[Key]:
        """The keys of objects that name one of some others in a field of their spec.

        Args:
            kinds: Only objects of these kinds.
            field: The spec's field, as in JSON.
            named: Namespace, which is theirs too, and name of the others.
        """
        rows = await self.database.fetch(
            "SELECT o.kind, o.namespace, o.name FROM objects o "
            "JOIN unnest(%s::text[], %s::text[]) AS t(namespace, name) "
            "ON o.namespace = t.namespace AND o.spec->>%s = t.name WHERE o.kind = ANY(%s)",
            [namespace for namespace, _ in named],
            [name for _, name in named],
            field,
            list(kinds),
        )
        return [Key(row["kind"], row["namespace"], row["name"]) for row in rows]

    async def ownerless(self) -> Sequence[tuple[Key, UUID]]:
        """Objects whose controlling owner is gone and whose deletion nobody asked for."""
        rows = await self.database.fetch(
            "SELECT o.kind, o.namespace, o.name, o.uid FROM objects o, "
            "jsonb_array_elements(o.owner_references) AS owner "
            "WHERE (owner->>'controller')::bool AND o.deletion_timestamp IS NULL "
            "AND NOT EXISTS (SELECT FROM objects WHERE uid = (owner->>'uid')::uuid)"
        )
        return [(Key(row["kind"], row["namespace"], row["name"]), row["uid"]) for row in rows]

    async def _snapshot(
        self, read: Callable[[], Awaitable[Sequence[DictRow]]]
    ) -> tuple[int, Sequence[DictRow]]:
        """Rows, and a version after which a watch misses nothing that they do not show.

        Rows carry it; without any it is read before they are looked for once more.
        """
        rows = await read()
        version = 0
        if not rows:
            version = await self.log.newest()
            rows = await read()
        return (rows[0]["at"] or 0 if rows else version), rows

    async def _find_rows(self, keys: Sequence[Key]) -> Sequence[DictRow | None]:
        rows = await self.database.fetch(
            f"SELECT {COLUMNS} FROM objects WHERE (kind, namespace, name) IN "
            "(SELECT * FROM unnest(%s::text[], %s::text[], %s::text[]))",
            *(list(part) for part in zip(*keys, strict=True)),
        )
        by_key = {Key(row["kind"], row["namespace"], row["name"]): row for row in rows}
        return [by_key.get(key) for key in keys]


def _projection(paths: Mapping[str, str]) -> str:
    columns = [_field(path, name) for name, path in paths.items()]
    return f"SELECT {', '.join(['uid', 'namespace', 'name', *columns])} FROM objects"


def _field(path: str, name: str) -> str:
    column, _, rest = path.partition(".")
    return f"{column} #>> '{{{rest.replace('.', ',')}}}' AS {name}"
