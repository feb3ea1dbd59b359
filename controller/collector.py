"""The garbage collector: what carries our mark and has no row goes, after a grace and a look."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
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

log = structlog.get_logger("invoker.collector")


class Collector:
    """Lists the cloud before the rows, and removes marked things that nobody wants.

    A thing is removed when it had no row in every look of the grace, its row is still missing
    when read once more, and a direct read confirms that it is there and ours.

    Args:
        fly: The machines' provider.
        edge: The routing entries.
        store: Where the rows are.
        installation: Whose marks count.
        grip: The leader's right to act.
    """

    def __init__(
        self,
        fly: Fly,
        edge: Edge,
        store: Store,
        installation: str,
        grip: Grip,
    ) -> None:
        self._fly = fly
        self._edge = edge
        self._store = store
        self._installation = installation
        self._call = Call(Priority.COLLECTION, grip.guard)
        self._fence = grip.fence
        self._suspects: dict[str, datetime] = {}

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
            ProviderError: A provider did not answer; what was found so far was handled.
        """
        apps = await self._apps()
        volumes, machines = await self._volumes(), await self._machines()
        entries = await self._edge.look()
        rows = await self._store.project(
            "Machine",
            app="status.app.name",
            volume="status.volume.id",
            instance="status.instance.id",
            intent="status.intent.operation",
        )
        by_uid = {row["uid"]: row for row in rows}
        orphans = {f"app:{app}" for app, uid in apps.items() if uid not in by_uid}
        orphans |= {f"app:{app}" for app, uid in apps.items() if _abandoned(app, by_uid.get(uid))}
        for name, field, listed in (
            ("volume", "volume", volumes),
            ("machine", "instance", machines),
        ):
            orphans |= {
                f"{name}:{app}:{thing}"
                for thing, (app, uid) in listed.items()
                if _unwanted(by_uid.get(uid), field, thing)
            }
        routes = await stamps(self._store)
        orphans |= {f"entry:{name}" for name in entries if name not in routes}
        await self._remove(self._ripe(orphans))
        await self._remove_ownerless()

    async def _apps(self) -> dict[str, UUID]:
        """Our apps and the machines that they belong to."""
        found: dict[str, UUID] = {}
        async for page in self._fly.list_apps(call=self._call):
            for app in page:
                uid = names.uid_of_app(self._installation, app.name)
                if uid is not None:
                    found[app.name] = uid
        return found

    async def _volumes(self) -> dict[str, tuple[str, UUID]]:
        """Our volumes: by id the app and the machine that they belong to."""
        found: dict[str, tuple[str, UUID]] = {}
        async for page in self._fly.iter_org_volumes(call=self._call):
            for volume in page.volumes:
                uid = names.uid_of_app(self._installation, volume.app_name)
                if uid is not None and names.uid_of_volume(volume.name) == uid:
                    found[volume.id] = (volume.app_name, uid)
        return found

    async def _machines(self) -> dict[str, tuple[str, UUID]]:
        """Our Fly machines: by id the app and the machine that they belong to."""
        found: dict[str, tuple[str, UUID]] = {}
        async for page in self._fly.iter_org_machines(call=self._call):
            for machine in page.machines:
                uid = names.marked_uid(self._installation, machine.metadata)
                if uid is not None:
                    found[machine.id] = (machine.app_name, uid)
        return found

    def _ripe(self, orphans: Iterable[str]) -> list[str]:
        """Those that have been orphans in every look of the grace."""
        now = self._store.clock.now()
        self._suspects = {name: self._suspects.get(name, now) for name in sorted(orphans)}
        return [name for name, since in self._suspects.items() if now >= since + GRACE]

    async def _remove(self, ripe: list[str]) -> None:
        entries = [name.removeprefix("entry:") for name in ripe if name.startswith("entry:")]
        for name in ripe:
            kind, _, rest = name.partition(":")
            try:
                if kind == "app":
                    await self._remove_app(rest)
                elif kind == "volume":
                    await self._fly.delete_volume(*rest.split(":"), call=self._call)
                elif kind == "machine":
                    await self._remove_machine(*rest.split(":"))
            except (NotFound, Forbidden):
                pass
            except ProviderError as error:
                log.warning("cannot remove an orphan", orphan=name, error=str(error))
                continue
            if kind != "entry":
                self._suspects.pop(name)
                log.info("removed an orphan", orphan=name)
        await self._remove_entries(entries)

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

    async def _remove_app(self, app: str) -> None:
        """Remove an app after asking for it itself and for its row once more."""
        uid = names.uid_of_app(self._installation, app)
        found = await self._fly.get_app(app, call=self._call)
        rows = await self._store.project("Machine", app="status.app.name")
        row = next((row for row in rows if row["uid"] == uid), None)
        if found.organization == self._fly.org and (row is None or _abandoned(app, row)):
            await self._fly.delete_app(app, call=self._call)

    async def _remove_machine(self, app: str, instance: str) -> None:
        """Remove a second machine after asking for its marks itself."""
        found = await self._fly.get_machine(app, instance, call=self._call)
        uid = names.marked_uid(self._installation, found.metadata)
        rows = await self._store.project("Machine", instance="status.instance.id")
        row = next((row for row in rows if row["uid"] == uid), None)
        if uid is not None and (row is None or row["instance"] not in (None, instance)):
            await self._fly.destroy_machine(app, instance, force=True, call=self._call)

    async def _remove_entries(self, subdomains: list[str]) -> None:
        """Remove entries whose route is still missing when read once more."""
        if not subdomains:
            return
        routes = await stamps(self._store)
        gone = [name for name in subdomains if name not in routes]
        left = await self._edge.remove_orphans(gone, self._call)
        for name in set(gone) - left:
            self._suspects.pop(f"entry:{name}", None)
            log.info("removed an orphan", orphan=PREFIX + name)


def _abandoned(app: str, row: dict[str, object] | None) -> bool:
    """Whether a machine has its app under another name."""
    return row is not None and row["app"] not in (None, app)


def _unwanted(row: dict[str, object] | None, field: str, thing: str) -> bool:
    """Whether a machine's row names another one, with nothing about to change.

    What has no row at all goes with its app.
    """
    return row is not None and row["intent"] is None and row[field] not in (None, thing)
