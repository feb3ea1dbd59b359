"""Objects in PostgreSQL: rows are truth, a log orders their changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from psycopg import errors as pg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from crds.clock import Clock
from crds.errors import (
    AlreadyExistsError,
    Cause,
    ConflictError,
    FencedError,
    InvalidError,
    NotFoundError,
)
from crds.meta import Key, ObjectMeta, Resource
from crds.store.coalesce import Coalescer
from crds.store.database import Database, make_pool
from crds.store.doorbell import Doorbell, PostgresDoorbell
from crds.store.events import Events
from crds.store.heartbeats import Heartbeats
from crds.store.leases import Fence, Leases
from crds.store.log import Log
from crds.store.rows import COLUMNS, Broken, WatchEvent, to_object

R = TypeVar("R", bound=Resource)

POOL_SIZE = 8
POLL_SECONDS = 1.0


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


class StatusWish(NamedTuple):
    """A status to write; `expected` 0 writes over any version."""

    uid: UUID
    status: dict[str, Any]
    expected: int
    fence: Fence | None


class Store:
    """The store of one process.

    Args:
        database: Where the rows are; each write is one statement.
        clock: The wall time for creation and deletion timestamps.
        doorbell: Rung after every write.
        poll_seconds: How often a watch looks without having been rung.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        doorbell: Doorbell,
        *,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self.database = database
        self.clock = clock
        self.doorbell = doorbell
        self.leases = Leases(database)
        self.events = Events(database)
        self.heartbeats = Heartbeats(database)
        self.log = Log(database, doorbell, poll_seconds)
        self._finds = Coalescer[Key, DictRow | None](self._find_rows)
        self._statuses = Coalescer[StatusWish, tuple[str, int]](self._write_statuses)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        url: str,
        *,
        pool_size: int = POOL_SIZE,
        clock: Clock | None = None,
        doorbell: Doorbell | None = None,
        poll_seconds: float = POLL_SECONDS,
    ) -> AsyncIterator[Store]:
        """Open the store on a migrated database.

        Args:
            url: The database.
            pool_size: How many connections to keep.
            clock: The wall time; by default the machine's, anchored at this moment.
            doorbell: By default one on NOTIFY, heard by every process on this database.
            poll_seconds: How often a watch looks without having been rung.
        """
        pool = make_pool(url, pool_size)
        async with pool:
            database = Database(pool)
            clock = clock or Clock.started()
            if doorbell is not None:
                yield cls(database, clock, doorbell, poll_seconds=poll_seconds)
                return
            bell = PostgresDoorbell(database)
            async with bell.running(url):
                yield cls(database, clock, bell, poll_seconds=poll_seconds)

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
        rows = await self.rows(kind, namespace=namespace, spec=spec, limit=limit)
        version = rows[0]["at"] if rows else await self.log.newest()
        items: list[R] = []
        broken: list[Broken] = []
        for row in rows:
            try:
                items.append(to_object(kind, row))
            except InvalidError as error:
                broken.append(Broken(Key(row["kind"], row["namespace"], row["name"]), row, error))
        return Page(items, version or 0, broken)

    async def rows(
        self,
        kind: type[Resource],
        *,
        namespace: str | None = None,
        spec: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> Sequence[DictRow]:
        """The rows of a list as they are, valid or not; `at` is the version of the snapshot."""
        wanted = spec or {}
        conditions = "".join(" AND spec->>%s = %s" for _ in wanted)
        return await self.database.fetch(
            f"SELECT {COLUMNS}, (SELECT max(resource_version) FROM object_log) AS at "
            "FROM objects WHERE kind = %s AND namespace = coalesce(%s, namespace)"
            f"{conditions} ORDER BY namespace, name LIMIT %s",
            kind.KIND,
            namespace,
            *(part for item in wanted.items() for part in item),
            limit,
        )

    async def keys(self, kind: str) -> tuple[Sequence[Key], int]:
        """The keys of all objects of a kind, and the version that they are a snapshot of."""
        rows = await self.database.fetch(
            "SELECT namespace, name, (SELECT max(resource_version) FROM object_log) AS at "
            "FROM objects WHERE kind = %s ORDER BY namespace, name",
            kind,
        )
        version = rows[0]["at"] if rows else await self.log.newest()
        return [Key(kind, row["namespace"], row["name"]) for row in rows], version or 0

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

    async def ownerless(self) -> Sequence[tuple[Key, UUID]]:
        """Objects whose controlling owner is gone and whose deletion nobody asked for."""
        rows = await self.database.fetch(
            "SELECT o.kind, o.namespace, o.name, o.uid FROM objects o, "
            "jsonb_array_elements(o.owner_references) AS owner "
            "WHERE (owner->>'controller')::bool AND o.deletion_timestamp IS NULL "
            "AND NOT EXISTS (SELECT FROM objects WHERE uid = (owner->>'uid')::uuid)"
        )
        return [(Key(row["kind"], row["namespace"], row["name"]), row["uid"]) for row in rows]

    async def create(self, resource: R, *, fence: Fence | None = None) -> R:
        """Store a new object.

        Args:
            resource: The object; its metadata's versions and timestamps are ignored.
            fence: The lease that must still be the writer's.

        Returns:
            The object as stored.

        Raises:
            AlreadyExistsError: The key is taken.
            InvalidError: The name breaks RFC 1123.
            FencedError: The lease moved on.
        """
        meta = resource.metadata
        try:
            rows = await self.database.fetch(
                "SELECT * FROM create_object(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                meta.uid,
                resource.KIND,
                meta.namespace,
                meta.name,
                self.clock.now(),
                *(fence or (None, None)),
                Jsonb(resource.spec.to_json()),
                Jsonb(resource.status.to_json()),
                *_metadata(meta),
            )
        except pg.UniqueViolation:
            raise AlreadyExistsError(str(resource.key)) from None
        except pg.CheckViolation as error:
            raise _invalid(error) from None
        return self._written(type(resource), rows[0], resource.key)

    async def update(self, resource: R, *, fence: Fence | None = None) -> R:
        """Store an object's spec and metadata, if nobody wrote since it was read.

        A write that changes nothing has no version of its own.
        An object with a deletion timestamp goes with its last finalizer.

        Raises:
            ConflictError: The row moved (a resourceVersion of 0 writes over any).
            NotFoundError: It is gone.
            InvalidError: A finalizer was added during deletion.
            FencedError: The lease moved on.
        """
        meta = resource.metadata
        try:
            rows = await self.database.fetch(
                "SELECT * FROM write_object(%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                resource.uid,
                meta.resource_version,
                *(fence or (None, None)),
                Jsonb(resource.spec.to_json()),
                *_metadata(meta),
            )
        except pg.CheckViolation as error:
            raise _invalid(error) from None
        return self._written(type(resource), rows[0], resource.key)

    async def update_status(
        self, resource: R, *, fence: Fence | None = None, if_unmoved: bool = True
    ) -> R:
        """Store an object's status; writes at the same time share a statement.

        Args:
            resource: The object with its new status.
            fence: The lease that must still be the writer's.
            if_unmoved: Refuse when anything was written since the object was read.
                The one writer of a status may record what it did outside even if the wish moved.

        Returns:
            The object with its new resourceVersion.

        Raises:
            ConflictError: The row moved.
            NotFoundError: It is gone.
            FencedError: The lease moved on.
        """
        version = await self.write_status(
            resource.key,
            StatusWish(
                resource.uid,
                resource.status.to_json(),
                resource.metadata.resource_version if if_unmoved else 0,
                fence,
            ),
        )
        written = resource.model_copy(deep=True)
        written.metadata.resource_version = version
        return written

    async def write_status(self, key: Key, wish: StatusWish) -> int:
        """Store a status given as JSON; returns the row's resourceVersion.

        Raises:
            ConflictError: The row moved.
            NotFoundError: It is gone.
            FencedError: The lease moved on.
        """
        outcome, version = await self._statuses.submit(wish)
        _check(outcome, key)
        return version

    async def delete(
        self,
        kind: type[Resource],
        name: str,
        namespace: str = "",
        *,
        uid: UUID | None = None,
        resource_version: int = 0,
        fence: Fence | None = None,
    ) -> None:
        """Ask for an object's deletion; it goes once nobody holds a finalizer on it.

        Raises:
            NotFoundError: It is not there.
            ConflictError: It is not the object with this uid or version.
            FencedError: The lease moved on.
        """
        rows = await self.database.fetch(
            "SELECT delete_object(%s, %s, %s, %s, %s, %s, %s, %s) AS outcome",
            kind.KIND,
            namespace,
            name,
            uid,
            resource_version,
            self.clock.now(),
            *(fence or (None, None)),
        )
        _check(rows[0]["outcome"], Key(kind.KIND, namespace, name))
        self.doorbell.ring()

    def watch(self, kinds: Collection[str] | None, since: int) -> AsyncIterator[WatchEvent]:
        """Every change strictly after a version, in order, for ever.

        Args:
            kinds: Only these kinds; None for all.
            since: A resourceVersion from a list or an event.

        Raises:
            ExpiredError: The version is compacted, or not there yet (a restored backup).
        """
        return self.log.tail(kinds, since)

    async def compact(self, age: timedelta) -> int:
        """Forget changes older than `age`, never the newest; returns how many."""
        return await self.log.compact(self.clock.now() - age)

    def _written(self, kind: type[R], row: DictRow, key: Key) -> R:
        _check(row["outcome"], key)
        self.doorbell.ring()
        return to_object(kind, row["object"])

    async def _find_rows(self, keys: Sequence[Key]) -> Sequence[DictRow | None]:
        rows = await self.database.fetch(
            f"SELECT {COLUMNS} FROM objects WHERE (kind, namespace, name) IN "
            "(SELECT * FROM unnest(%s::text[], %s::text[], %s::text[]))",
            *(list(part) for part in zip(*keys, strict=True)),
        )
        by_key = {Key(row["kind"], row["namespace"], row["name"]): row for row in rows}
        return [by_key.get(key) for key in keys]

    async def _write_statuses(self, wishes: Sequence[StatusWish]) -> Sequence[tuple[str, int]]:
        batch = [
            {
                "ord": number,
                "uid": str(wish.uid),
                "status": wish.status,
                "expected": wish.expected,
                "lease": wish.fence and wish.fence.lease,
                "epoch": wish.fence and wish.fence.epoch,
            }
            for number, wish in enumerate(wishes)
        ]
        rows = await self.database.fetch("SELECT * FROM write_statuses(%s)", Jsonb(batch))
        self.doorbell.ring()
        outcomes = {row["ord"]: (row["outcome"], row["resource_version"] or 0) for row in rows}
        return [outcomes[number] for number in range(len(wishes))]


def _projection(paths: Mapping[str, str]) -> str:
    columns = [_field(path, name) for name, path in paths.items()]
    return f"SELECT {', '.join(['uid', 'namespace', 'name', *columns])} FROM objects"


def _field(path: str, name: str) -> str:
    column, _, rest = path.partition(".")
    return f"{column} #>> '{{{rest.replace('.', ',')}}}' AS {name}"


def _metadata(meta: ObjectMeta) -> tuple[Jsonb, Jsonb, list[str], Jsonb]:
    owners = [owner.to_json() for owner in meta.owner_references]
    return Jsonb(meta.labels), Jsonb(meta.annotations), meta.finalizers, Jsonb(owners)


def _invalid(error: pg.CheckViolation) -> InvalidError:
    constraint = error.diag.constraint_name
    text = error.diag.message_primary or "breaks a rule of the store"
    if constraint is not None:
        text = "must be a lowercase RFC 1123 name of at most 253 characters"
    return InvalidError([Cause("metadata", text)])


def _check(outcome: str, key: Key) -> None:
    match outcome:
        case "ok":
            return
        case "missing":
            raise NotFoundError(str(key))
        case "fenced":
            raise FencedError(f"{key}: the shard's lease moved on")
        case _:
            raise ConflictError(f"{key}: the row moved since it was read")
