"""The garbage collector: what carries our mark and has no row goes, after a grace and a look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import anyio
import structlog

from controller.edge import Edge
from controller.engine import EventRecorder, Grip
from controller.machine import names
from controller.orphans import (
    FIELDS,
    Evidence,
    Outside,
    Row,
    Thing,
    app_thing,
    look_inside,
    look_outside,
    paused,
    too_many,
)
from controller.providers import Call, Forbidden, NotFound, Priority, ProviderError
from controller.providers.fly import Fly, Volume
from crds.annotations import COLLECT, PAUSED
from crds.errors import ConflictError, InvalidError, NotFoundError
from crds.meta import Key
from crds.platform import PLATFORM, Platform
from crds.registry import KINDS
from crds.store import Store
from crds.store.left_secrets import LeftSecret, left_secrets, remove_left_secret
from crds.store.tombstones import Tombstones

PERIOD_SECONDS = 300.0
# Something without a row must have been so for this long: rows are written before effects, so
# this only has to outlast a listing's staleness and a request that was on its way.
GRACE = timedelta(minutes=10)
PLATFORM_KEY = Key("Platform", "", PLATFORM)

log = structlog.get_logger("invoker.collector")


class Listener(Protocol):
    """Is told what the collector finds and does."""

    def saw(self, orphans: Counter[str]) -> None:
        """So many things of each sort were unwanted at this look."""

    def removed(self, kind: str) -> None:
        """A thing of this sort was removed."""

    def refused(self) -> None:
        """Something was kept for caution."""


class Collector:
    """Lists the cloud before the rows, and removes marked things that nobody wants.

    A thing is removed when it was unwanted in every look of the grace, its row or its row's
    tombstone says so when read once more, and a direct read confirms that it is there and ours.
    What this database has neither a row nor a tombstone of may be another database's: it is told,
    and left until an operator lets it go. So is everything when too much seems lost at once.

    Args:
        fly: The machines' provider.
        edge: The routing entries.
        store: Where the rows are.
        recorder: Where events go.
        installation: Whose marks count.
        grip: The leader's right to act.
        listener: Who is told, if anybody.
    """

    def __init__(
        self,
        fly: Fly,
        edge: Edge,
        store: Store,
        recorder: EventRecorder,
        installation: str,
        grip: Grip,
        listener: Listener | None = None,
    ) -> None:
        self._fly = fly
        self._edge = edge
        self._store = store
        self._recorder = recorder
        self._tombstones = Tombstones(store.database)
        self._installation = installation
        self._call = Call(Priority.COLLECTION, grip.guard)
        self._fence = grip.fence
        self._since: dict[Thing, datetime] = {}
        self._unseen: dict[UUID, datetime] = {}
        self._left: dict[LeftSecret, datetime] = {}
        self._platform: UUID | None = None
        self._listener = listener

    async def run(self) -> None:
        """Collect every few minutes, for ever; whatever fails is tried again then."""
        while True:
            try:
                await self.collect()
            except Exception as error:
                log.warning("cannot collect", error=str(error), exc_info=True)
            await anyio.sleep(PERIOD_SECONDS)

    async def collect(self) -> None:
        """Look once, and remove what has been an orphan for the grace.

        Raises:
            ProviderError: A list was not read to its end; nothing was removed.
        """
        outside = await look_outside(self._fly, self._edge, self._installation, self._call)
        evidence = await look_inside(self._store, outside.things)
        platform = await self._read_platform()
        if platform is not None and platform.metadata.annotations.get(PAUSED) == "true":
            return
        ripe = self._ripe(evidence.orphans(outside.things))
        if self._listener is not None:
            self._listener.saw(Counter(thing.kind for thing in self._since))
        lenient = platform is not None and self._is_lenient(platform)
        for thing in ripe if lenient else self._allowed(ripe, outside, evidence):
            await self._try_to_remove(thing)
        await self._note_gone(outside)
        await self._remove_ownerless()
        await self._remove_secrets()

    async def _read_platform(self) -> Platform | None:
        try:
            platform = await self._store.find(Platform, PLATFORM)
        except InvalidError:
            return None
        self._platform = None if platform is None else platform.uid
        return platform

    def _is_lenient(self, platform: Platform) -> bool:
        """Whether an operator lets go, for now, what would be kept for caution."""
        until = platform.metadata.annotations.get(COLLECT)
        if until is None:
            return False
        try:
            moment = datetime.fromisoformat(until)
            holds = self._store.clock.now() < moment
        except (ValueError, TypeError):
            self._tell("CollectInvalid", f"{COLLECT} is not a moment as in RFC 3339", warning=True)
            return False
        if holds:
            log.warning("collecting without caution", until=until)
            self._tell("CollectForced", f"without caution until {until}", warning=True)
        return holds

    def _ripe(self, orphans: Iterable[Thing]) -> list[Thing]:
        """Those that have been orphans in every look of the grace."""
        now = self._store.clock.now()
        self._since = {each: self._since.get(each, now) for each in sorted(orphans, key=str)}
        return [each for each, since in self._since.items() if now >= since + GRACE]

    def _allowed(
        self, ripe: Sequence[Thing], outside: Outside, evidence: Evidence
    ) -> Sequence[Thing]:
        """Those that may go without an operator's word."""
        unknown = [thing for thing in ripe if not evidence.known(thing)]
        if unknown:
            self._refuse(
                f"{len(unknown)} things carry our mark and were never in this database "
                f"(such as {unknown[0]}): another database's, or newer than a backup"
            )
        forced = [thing for thing in ripe if evidence.forced(thing)]
        others = [thing for thing in ripe if evidence.known(thing) and thing not in forced]
        if lost := too_many(others, outside.things):
            self._refuse(f"too many orphans, were rows lost? {', '.join(lost)}")
            return forced
        return forced + others

    def _refuse(self, why: str) -> None:
        log.error("not collecting", why=why)
        if self._listener is not None:
            self._listener.refused()
        self._tell("NotCollecting", f"{why}; {COLLECT} on the platform lets them go", warning=True)

    def _tell(self, reason: str, message: str, *, warning: bool = False) -> None:
        """Record an event on the platform, if it has a row."""
        if self._platform is not None:
            self._recorder.event(
                PLATFORM_KEY,
                self._platform,
                "Warning" if warning else "Normal",
                reason,
                message,
            )

    async def _try_to_remove(self, thing: Thing) -> None:
        try:
            removed = await self._remove(thing)
        except (NotFound, Forbidden):
            removed = False
        except ProviderError as error:
            log.warning("cannot remove an orphan", orphan=str(thing), error=str(error))
            return
        self._since.pop(thing, None)
        if removed:
            if self._listener is not None:
                self._listener.removed(thing.kind)
            log.info("removed an orphan", kind=thing.kind, orphan=thing.id, uid=str(thing.uid))

    async def _remove(self, thing: Thing) -> bool:
        """Remove one after reading its row and itself once more; returns whether it was done."""
        if thing.kind == "entry":
            return await self._remove_entry(thing)
        if thing.uid is None:
            return False
        row = await self._store.project_one("Machine", thing.uid, **FIELDS)
        if not await self._is_orphan(thing, row):
            return False
        match thing.kind:
            case "app":
                removed = await self._remove_app(thing)
            case "volume":
                removed = await self._remove_volume(thing, row)
            case "machine":
                removed = await self._remove_machine(thing)
        if removed and row is not None:
            key = Key("Machine", row["namespace"], row["name"])
            self._recorder.event(
                key, thing.uid, "Warning", "Collected", f"{thing}: not the one on record"
            )
        elif removed:
            self._tell("Collected", f"{thing}: its row is gone")
        return removed

    async def _is_orphan(self, thing: Thing, row: Row | None) -> bool:
        """Whether a thing is one when read once more; any row may name an app that is shared."""
        if thing.owner is None:
            return thing.unwanted(row) and thing.uid not in await paused(self._store)
        return thing in (await look_inside(self._store, [thing])).orphans([thing])

    async def _remove_app(self, thing: Thing) -> bool:
        found = await self._fly.get_app(thing.app, call=self._call)
        if found.organization != self._fly.org:
            return False
        if app_thing(self._installation, found) != thing:
            return False
        await self._fly.delete_app(thing.app, call=self._call)
        return True

    async def _remove_volume(self, thing: Thing, row: Row | None) -> bool:
        """A volume that nothing holds, and that no row may want."""
        if row is None and thing.owner is None:
            return False
        found = await self._fly.get_volume(thing.app, thing.id, call=self._call)
        if names.uid_of_volume(found.name) != thing.uid or found.attached_machine_id:
            return False
        if row is not None and not await self._is_later(found, thing.app, row):
            return False
        await self._fly.delete_volume(thing.app, thing.id, call=self._call)
        return True

    async def _is_later(self, volume: Volume, app: str, row: Row) -> bool:
        """Only a volume that came after the recorded one is a leak: an older one may hold data."""
        recorded = await self._fly.get_volume(app, row["volume"], call=self._call)
        if volume.created_at is None or recorded.created_at is None:
            return False
        return volume.created_at > recorded.created_at

    async def _remove_machine(self, thing: Thing) -> bool:
        found = await self._fly.get_machine(thing.app, thing.id, call=self._call)
        if names.marked_uid(self._installation, found.metadata) != thing.uid:
            return False
        await self._fly.destroy_machine(thing.app, thing.id, force=True, call=self._call)
        return True

    async def _remove_entry(self, thing: Thing) -> bool:
        """Remove an entry whose route is still missing when read once more."""
        if await self._store.find_row(Key("Route", "", thing.id)) is not None:
            return False
        removed = not await self._edge.remove_orphans([thing.id], self._call)
        if removed:
            self._tell("Collected", f"{thing}: its route is gone")
        return removed

    async def _note_gone(self, outside: Outside) -> None:
        """Take down from the chase the tombstones of which nothing was seen for the grace."""
        if not outside.complete:
            return
        now = self._store.clock.now()
        # A droplet is looked for where its user is connected, by the collector of droplets.
        standing = await self._tombstones.standing(without="Vps")
        unseen = standing - {thing.uid for thing in outside.things}
        self._unseen = {uid: self._unseen.get(uid, now) for uid in unseen}
        gone = [uid for uid, since in self._unseen.items() if now >= since + GRACE]
        if gone:
            await self._tombstones.note_gone(gone, now)

    async def _remove_ownerless(self) -> None:
        """Ask for the deletion of rows whose controlling owner is gone, unless they are paused."""
        left_alone = await paused(self._store)
        for key, uid in await self._store.ownerless():
            if uid in left_alone:
                continue
            try:
                await self._store.delete(
                    KINDS[key.kind], key.name, key.namespace, uid=uid, fence=self._fence
                )
            except (NotFoundError, ConflictError):
                continue
            log.info("deleted an ownerless row", key=str(key))
            self._recorder.event(key, uid, "Normal", "Ownerless", "its owner is gone")

    async def _remove_secrets(self) -> None:
        """Remove the secrets of what is gone, rows and things outside, for the grace."""
        now = self._store.clock.now()
        found = await left_secrets(self._store.database)
        self._left = {each: self._left.get(each, now) for each in found}
        for left in [each for each, since in self._left.items() if now >= since + GRACE]:
            if await remove_left_secret(self._store.database, left, fence=self._fence):
                log.info("removed a secret", namespace=left.namespace, name=left.name)
