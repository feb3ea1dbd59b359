"""The garbage collector: what carries our mark and has no row goes, after a grace and a look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

import anyio
import structlog
from psycopg import Error as DatabaseError

from controller.edge import PREFIX, Edge, stamps
from controller.engine import Grip
from controller.machine import names
from controller.providers import Call, Forbidden, NotFound, Priority, ProviderError
from controller.providers.fly import Fly
from crds.errors import ConflictError, NotFoundError
from crds.registry import KINDS
from crds.store import Store

PERIOD_SECONDS = 300.0
# Something without a row must have been so for this long: rows are written before effects, so
# this only has to outlast a listing's staleness and a request that was on its way.
GRACE = timedelta(minutes=10)
# More orphaned apps at once than this, and more than a tenth of all, are not leaks: somebody lost
# rows, as by restoring an old backup. Then nothing is removed until a person has looked.
MANY = 5
SHARE = 10

log = structlog.get_logger("invoker.collector")

# What each machine's row says of its things outside.
FIELDS = {
    "app": "status.app.name",
    "volume": "status.volume.id",
    "machine": "status.instance.id",
    "intent": "status.intent.operation",
}
Row = Mapping[str, Any]


class Orphan(NamedTuple):
    """Something outside that carries our mark and that no row wants."""

    kind: Literal["app", "volume", "machine"]
    app: str
    id: str
    uid: UUID

    def unwanted(self, row: Row | None) -> bool:
        """Whether this is the judgement of its machine's row, or of there being none.

        What is in an app without a row goes with the app, and an app whose machine has a row never
        goes: it may hold what somebody will ask for.
        A row that names nothing yet, or is about to change, does not judge.
        """
        if self.kind == "app":
            return row is None
        return row is not None and row["intent"] is None and row[self.kind] not in (None, self.id)


class Collector:
    """Lists the cloud before the rows, and removes marked things that nobody wants.

    A thing is removed when it was unwanted in every look of the grace, its row says so when read
    once more, and a direct read confirms that it is there and ours.

    Args:
        fly: The machines' provider.
        edge: The routing entries.
        store: Where the rows are.
        installation: Whose marks count.
        grip: The leader's right to act.
    """

    def __init__(self, fly: Fly, edge: Edge, store: Store, installation: str, grip: Grip) -> None:
        self._fly = fly
        self._edge = edge
        self._store = store
        self._installation = installation
        self._call = Call(Priority.COLLECTION, grip.guard)
        self._fence = grip.fence
        self._since: dict[Orphan | str, datetime] = {}

    async def run(self) -> None:
        """Collect every few minutes, for ever; whatever fails is tried again then."""
        while True:
            try:
                await self.collect()
            except (ProviderError, DatabaseError) as error:
                log.warning("cannot collect", error=str(error))
            await anyio.sleep(PERIOD_SECONDS)

    async def collect(self) -> None:
        """Look once, and remove what has been an orphan for the grace.

        Raises:
            ProviderError: A list was not read to its end; nothing was removed.
        """
        listed = [*await self._apps(), *await self._volumes(), *await self._machines()]
        entries = await self._edge.look()
        rows = {row["uid"]: row for row in await self._store.project("Machine", **FIELDS)}
        routes = await stamps(self._store)
        orphans = [thing for thing in listed if thing.unwanted(rows.get(thing.uid))]
        names_only = [name for name in entries if name not in routes]
        ripe = self._ripe([*orphans, *names_only])
        await self._remove_all([each for each in ripe if isinstance(each, Orphan)], listed)
        await self._remove_entries([each for each in ripe if isinstance(each, str)])
        await self._remove_ownerless()

    async def _apps(self) -> list[Orphan]:
        """Our apps; whether they are orphans is for the rows to say."""
        found: list[Orphan] = []
        async for page in self._fly.list_apps(call=self._call):
            for app in page:
                uid = names.uid_of_app(self._installation, app.name)
                if uid is not None:
                    found.append(Orphan("app", app.name, app.name, uid))
        return found

    async def _volumes(self) -> list[Orphan]:
        """Our volumes in our apps."""
        found: list[Orphan] = []
        async for page in self._fly.iter_org_volumes(call=self._call):
            for volume in page.volumes:
                uid = names.uid_of_app(self._installation, volume.app_name)
                if uid is not None and names.uid_of_volume(volume.name) == uid:
                    found.append(Orphan("volume", volume.app_name, volume.id, uid))
        return found

    async def _machines(self) -> list[Orphan]:
        """Our Fly machines."""
        found: list[Orphan] = []
        async for page in self._fly.iter_org_machines(call=self._call):
            for machine in page.machines:
                uid = names.marked_uid(self._installation, machine.metadata)
                if uid is not None:
                    found.append(Orphan("machine", machine.app_name, machine.id, uid))
        return found

    def _ripe(self, orphans: Iterable[Orphan | str]) -> list[Orphan | str]:
        """Those that have been orphans in every look of the grace."""
        now = self._store.clock.now()
        self._since = {each: self._since.get(each, now) for each in sorted(orphans, key=str)}
        return [each for each, since in self._since.items() if now >= since + GRACE]

    async def _remove_all(self, ripe: list[Orphan], listed: list[Orphan]) -> None:
        """Remove orphans one by one, unless there are so many that rows must have been lost."""
        apps = sum(orphan.kind == "app" for orphan in ripe)
        all_apps = sum(thing.kind == "app" for thing in listed)
        if apps > MANY and apps * SHARE > all_apps:
            log.error("too many orphans: were rows lost? removing nothing", apps=apps, of=all_apps)
            return
        for orphan in ripe:
            try:
                removed = await self._remove(orphan)
            except (NotFound, Forbidden):
                removed = False
            except ProviderError as error:
                log.warning("cannot remove an orphan", orphan=orphan.id, error=str(error))
                continue
            self._since.pop(orphan)
            if removed:
                log.info("removed an orphan", kind=orphan.kind, orphan=orphan.id)

    async def _remove(self, orphan: Orphan) -> bool:
        """Remove one after reading its row and itself once more; returns whether it was done."""
        row = await self._store.project_one("Machine", orphan.uid, **FIELDS)
        if not orphan.unwanted(row):
            return False
        match orphan.kind:
            case "app":
                return await self._remove_app(orphan)
            case "volume":
                return await self._remove_volume(orphan, row)
            case "machine":
                return await self._remove_machine(orphan)

    async def _remove_app(self, orphan: Orphan) -> bool:
        found = await self._fly.get_app(orphan.app, call=self._call)
        if found.organization != self._fly.org:
            return False
        await self._fly.delete_app(orphan.app, call=self._call)
        return True

    async def _remove_volume(self, orphan: Orphan, row: Row | None) -> bool:
        """Only a volume that came after the recorded one is a leak: an older one may hold data."""
        if row is None:
            return False
        found = await self._fly.get_volume(orphan.app, orphan.id, call=self._call)
        recorded = await self._fly.get_volume(orphan.app, row["volume"], call=self._call)
        if names.uid_of_volume(found.name) != orphan.uid:
            return False
        if found.attached_machine_id or found.created_at is None or recorded.created_at is None:
            return False
        if found.created_at <= recorded.created_at:
            return False
        await self._fly.delete_volume(orphan.app, orphan.id, call=self._call)
        return True

    async def _remove_machine(self, orphan: Orphan) -> bool:
        found = await self._fly.get_machine(orphan.app, orphan.id, call=self._call)
        if names.marked_uid(self._installation, found.metadata) != orphan.uid:
            return False
        await self._fly.destroy_machine(orphan.app, orphan.id, force=True, call=self._call)
        return True

    async def _remove_entries(self, subdomains: list[str]) -> None:
        """Remove entries whose route is still missing when read once more."""
        if not subdomains:
            return
        routes = await stamps(self._store)
        gone = [name for name in subdomains if name not in routes]
        left = await self._edge.remove_orphans(gone, self._call)
        for name in set(gone) - left:
            self._since.pop(name, None)
            log.info("removed an orphan", kind="entry", orphan=PREFIX + name)

    async def _remove_ownerless(self) -> None:
        """Ask for the deletion of rows whose controlling owner is gone."""
        for key, uid in await self._store.ownerless():
            try:
                await self._store.delete(
                    KINDS[key.kind], key.name, key.namespace, uid=uid, fence=self._fence
                )
            except (NotFoundError, ConflictError):
                continue
            log.info("deleted an ownerless row", key=str(key))
