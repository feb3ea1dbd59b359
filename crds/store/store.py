"""Objects in PostgreSQL: rows are truth, a log orders their changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from datetime import timedelta
from typing import Any, NamedTuple, Self, TypeVar
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
from crds.store.audit import Actor, Audit
from crds.store.coalesce import Coalescer
from crds.store.database import Database, make_lease_pool, make_pool
from crds.store.doorbell import Doorbell, PostgresDoorbell
from crds.store.events import Events
from crds.store.heartbeats import Heartbeats
from crds.store.leases import Fence, Leases
from crds.store.log import Log
from crds.store.observations import Observations
from crds.store.reads import Reads
from crds.store.rows import WatchEvent, to_object

R = TypeVar("R", bound=Resource)

POOL_SIZE = 8
POLL_SECONDS = 1.0


class StatusWish(NamedTuple):
    """A status to write; `expected` 0 writes over any version."""

    uid: UUID
    status: dict[str, Any]
    expected: int
    fence: Fence | None


class Store(Reads):
    """The store of one process.

    Args:
        database: Where the rows are; each write is one statement.
        clock: The wall time for creation and deletion timestamps.
        doorbell: Rung after every write.
        poll_seconds: How often a watch looks without having been rung.
        leases: Where the leases are reached, by default as the rows are; on connections of their
            own they go on being renewed when all others wait.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        doorbell: Doorbell,
        *,
        poll_seconds: float = POLL_SECONDS,
        leases: Database | None = None,
    ) -> None:
        super().__init__(database, Log(database, doorbell, poll_seconds))
        self.clock = clock
        self.doorbell = doorbell
        self.poll_seconds = poll_seconds
        self.leases = Leases(leases or database)
        self.events = Events(database)
        self.audit = Audit(database)
        self.heartbeats = Heartbeats(database)
        self.observations = Observations(database)
        self._statuses = Coalescer[StatusWish, tuple[str, int]](self._write_statuses)
        self._actor: Actor | None = None

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
        async with make_pool(url, pool_size) as pool, make_lease_pool(url) as lease_pool:
            database, leases = Database(pool), Database(lease_pool)
            clock = clock or Clock.started()
            if doorbell is not None:
                yield cls(database, clock, doorbell, poll_seconds=poll_seconds, leases=leases)
                return
            bell = PostgresDoorbell(database)
            async with bell.running(url):
                yield cls(database, clock, bell, poll_seconds=poll_seconds, leases=leases)

    def acting_as(self, actor: Actor) -> Self:
        """The same store for somebody whose writes are to be audited."""
        theirs = copy(self)
        theirs._actor = actor  # noqa: SLF001 - it is one of us
        return theirs

    async def create(self, resource: R, *, fence: Fence | None = None, dry_run: bool = False) -> R:
        """Store a new object.

        Args:
            resource: The object; its metadata's versions and timestamps are ignored.
            fence: The lease that must still be the writer's.
            dry_run: Do everything and keep nothing.

        Returns:
            The object as stored.

        Raises:
            AlreadyExistsError: The key is taken.
            InvalidError: The name breaks RFC 1123.
            FencedError: The lease moved on.
        """
        meta = resource.metadata
        try:
            rows = await self._run(
                dry_run,
                "create_object",
                meta.uid,
                resource.KIND,
                meta.namespace,
                meta.name,
                self.clock.now(),
                *(fence or (None, None)),
                self._actor_json(),
                Jsonb(resource.spec.to_json()),
                Jsonb(resource.status.to_json()),
                *_metadata(meta),
            )
        except pg.UniqueViolation:
            raise AlreadyExistsError(str(resource.key)) from None
        except pg.CheckViolation as error:
            raise _invalid(error) from None
        return self._written(type(resource), rows[0], resource.key)

    async def update(
        self,
        resource: R,
        *,
        fence: Fence | None = None,
        with_status: bool = False,
        dry_run: bool = False,
    ) -> R:
        """Store an object's spec and metadata, if nobody wrote since it was read.

        A write that changes nothing has no version of its own.
        An object with a deletion timestamp goes with its last finalizer.

        Args:
            resource: The object as it shall be.
            fence: The lease that must still be the writer's.
            with_status: Store the status too: for people, who write one at a time.
            dry_run: Do everything and keep nothing.

        Raises:
            ConflictError: The row moved (a resourceVersion of 0 writes over any).
            NotFoundError: It is gone.
            InvalidError: A finalizer was added during deletion.
            FencedError: The lease moved on.
        """
        meta = resource.metadata
        try:
            rows = await self._run(
                dry_run,
                "write_object",
                resource.uid,
                meta.resource_version,
                *(fence or (None, None)),
                self._actor_json(),
                Jsonb(resource.spec.to_json()),
                Jsonb(resource.status.to_json()) if with_status else None,
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
        dry_run: bool = False,
    ) -> Mapping[str, Any] | None:
        """Ask for an object's deletion; it goes once nobody holds a finalizer on it.

        Returns:
            Its row as it is then, None when it is gone.

        Raises:
            NotFoundError: It is not there.
            ConflictError: It is not the object with this uid or version.
            FencedError: The lease moved on.
        """
        rows = await self._run(
            dry_run,
            "delete_object",
            kind.KIND,
            namespace,
            name,
            uid,
            resource_version,
            self.clock.now(),
            *(fence or (None, None)),
            self._actor_json(),
        )
        _check(rows[0]["outcome"], Key(kind.KIND, namespace, name))
        self.doorbell.ring()
        left: Mapping[str, Any] | None = rows[0]["object"]
        return left

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

    async def _run(self, dry_run: bool, function: str, *parameters: object) -> Sequence[DictRow]:  # noqa: FBT001 - the callers' keyword, passed on
        places = ", ".join(["%s"] * len(parameters))
        query = f"SELECT * FROM {function}({places})"
        if not dry_run:
            return await self.database.fetch(query, *parameters)
        async with (
            self.database.pool.connection() as connection,
            connection.transaction(force_rollback=True),
        ):
            cursor = await connection.execute(query, parameters)
            return await cursor.fetchall()

    def _actor_json(self) -> Jsonb | None:
        return None if self._actor is None else Jsonb(self._actor._asdict())

    def _written(self, kind: type[R], row: DictRow, key: Key) -> R:
        _check(row["outcome"], key)
        self.doorbell.ring()
        return to_object(kind, row["object"])

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


def _metadata(meta: ObjectMeta) -> tuple[Jsonb, Jsonb, list[str], Jsonb, Jsonb]:
    owners = [owner.to_json() for owner in meta.owner_references]
    return (
        Jsonb(meta.labels),
        Jsonb(meta.annotations),
        meta.finalizers,
        Jsonb(owners),
        Jsonb(meta.managed_fields),
    )


def _invalid(error: pg.CheckViolation) -> InvalidError:
    constraint = error.diag.constraint_name
    text = error.diag.message_primary or "breaks a rule of the store"
    if constraint is not None:
        text = "must be a lowercase RFC 1123 name of at most 253 characters"
    column = error.diag.column_name or ("name" if constraint else None)
    return InvalidError([Cause(f"metadata.{column}" if column else "metadata", text)])


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
