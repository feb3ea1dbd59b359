"""The collector of droplets: one with our mark and no row goes, after a grace and a look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import anyio
import structlog

from controller.engine import EventRecorder, Grip
from controller.orphans import MANY, SHARE, paused
from controller.providers import Call, NotFound, Priority, ProviderError
from controller.providers.digitalocean import Connection, DigitalOcean
from controller.vps.names import installation_tag, uid_of
from controller.vps.observer import AT_ONCE
from crds.annotations import COLLECT, PAUSED
from crds.errors import InvalidError
from crds.grants import read_grant
from crds.meta import Key
from crds.platform import PLATFORM, Platform
from crds.secrets import SecretError, Secrets
from crds.store import Store
from crds.store.tombstones import Tombstone, Tombstones

PERIOD_SECONDS: Final = 300.0
# A row is written before its droplet is asked for, so this only has to outlast the staleness of
# lists and a request that was on its way.
GRACE: Final = timedelta(minutes=10)
PLATFORM_KEY: Final = Key("Platform", "", PLATFORM)

log = structlog.get_logger("invoker.vps.collector")


class Marked(NamedTuple):
    """A droplet that carries our mark.

    Attributes:
        id: DigitalOcean's number of it.
        uid: The Vps that it was made for.
        connection: Through which connection it was seen.
    """

    id: int
    uid: UUID
    connection: Connection


@dataclass(frozen=True, slots=True)
class Outside:
    """What all connections show.

    Attributes:
        droplets: The droplets that carry our mark, once each.
        listed: The namespaces whose connection was listed to its end.
    """

    droplets: tuple[Marked, ...]
    listed: frozenset[str]


class DropletCollector:
    """Lists the teams before the rows, and destroys marked droplets that no row wants.

    A droplet is destroyed when it had no row in every look of the grace and none when read once
    more, and when a direct read confirms its marks.
    One of which this database has neither a row nor a tombstone may be another database's: it is
    told, and left until an operator lets it go. So is everything when too much seems lost at once.

    Args:
        digitalocean: The provider.
        store: Where the rows are.
        secrets: Where users' tokens are.
        recorder: Where events go.
        installation: Whose marks count.
        grip: The leader's right to act.
    """

    def __init__(
        self,
        digitalocean: DigitalOcean,
        store: Store,
        secrets: Secrets,
        recorder: EventRecorder,
        *,
        installation: str,
        grip: Grip,
    ) -> None:
        self._digitalocean = digitalocean
        self._store = store
        self._secrets = secrets
        self._recorder = recorder
        self._tombstones = Tombstones(store.database)
        self._tag = installation_tag(installation)
        self._call = Call(Priority.COLLECTION, grip.guard)
        self._since: dict[tuple[int, UUID], datetime] = {}
        self._unseen: dict[UUID, datetime] = {}
        self._platform: UUID | None = None

    async def run(self) -> None:
        """Collect every few minutes, for ever; whatever fails is tried again then."""
        while True:
            try:
                await self.collect()
            except Exception as error:
                log.warning("cannot collect", error=str(error), exc_info=True)
            await anyio.sleep(PERIOD_SECONDS)

    async def collect(self) -> None:
        """Look once, and destroy what has had no row for the grace."""
        outside = await self._look_outside()
        rows = {row["uid"] for row in await self._store.project("Vps")}
        left_alone = await paused(self._store)
        orphans = [
            each for each in outside.droplets if each.uid not in rows and each.uid not in left_alone
        ]
        ripe = self._ripe(orphans)
        platform = await self._read_platform()
        if platform is None or platform.metadata.annotations.get(PAUSED) != "true":
            lenient = platform is not None and self._is_lenient(platform)
            known = await self._tombstones.find({each.uid for each in ripe})
            for each in ripe if lenient else self._allowed(ripe, known, len(outside.droplets)):
                await self._try_to_destroy(each)
        await self._note_gone(outside)
        await self._store.observations.forget_rowless()

    async def _look_outside(self) -> Outside:
        """List the teams in which there may be droplets; one that fails hides no other."""
        found: dict[str, Sequence[Marked]] = {}
        used = await self._tombstones.namespaces_of("Vps")
        used |= {row["namespace"] for row in await self._store.project("Vps")}
        limiter = anyio.CapacityLimiter(AT_ONCE)
        async with anyio.create_task_group() as group:
            for row in await self._store.project("CloudConnection"):
                if row["namespace"] in used:
                    group.start_soon(self._look_at, row, limiter, found)
        droplets = {each.id: each for team in found.values() for each in team}
        return Outside(tuple(droplets.values()), frozenset(found))

    async def _look_at(
        self,
        row: Mapping[str, Any],
        limiter: anyio.CapacityLimiter,
        found: dict[str, Sequence[Marked]],
    ) -> None:
        """Add what one connection's team has, by namespace; nothing where it cannot be listed."""
        namespace = row["namespace"]
        async with limiter:
            try:
                grant = await read_grant(self._secrets, namespace, row["name"])
                if grant is None:
                    return
                connection = Connection(str(row["uid"]), grant.access)
                listed = await self._digitalocean.list_droplets(
                    connection, tag=self._tag, call=self._call
                )
            except (ProviderError, SecretError) as error:
                log.warning("cannot list droplets", namespace=namespace, error=str(error))
                return
        uids = [(each.id, uid_of(each.tags)) for each in listed]
        marked = [Marked(number, uid, connection) for number, uid in uids if uid is not None]
        found[namespace] = [*found.get(namespace, ()), *marked]

    def _ripe(self, orphans: Iterable[Marked]) -> list[Marked]:
        """Those that have been orphans in every look of the grace."""
        now = self._store.clock.now()
        each_once = {(each.id, each.uid): each for each in orphans}
        self._since = {key: self._since.get(key, now) for key in sorted(each_once)}
        return [each_once[key] for key, since in self._since.items() if now >= since + GRACE]

    def _allowed(
        self, ripe: Sequence[Marked], known: Mapping[UUID, Tombstone], there: int
    ) -> Sequence[Marked]:
        """Those that may go without an operator's word."""
        strange = [each for each in ripe if each.uid not in known]
        if strange:
            self._refuse(
                f"{len(strange)} droplets carry our mark and were never in this database "
                f"(such as {strange[0].id}): another database's, or newer than a backup"
            )
        forced = [each for each in ripe if each.uid in known and known[each.uid].forced]
        others = [each for each in ripe if each.uid in known and not known[each.uid].forced]
        if len(others) > MANY and len(others) * SHARE > there:
            self._refuse(f"too many orphans, were rows lost? {len(others)} of {there} droplets")
            return forced
        return forced + others

    async def _try_to_destroy(self, orphan: Marked) -> None:
        try:
            destroyed = await self._destroy(orphan)
        except NotFound:
            destroyed = False
        except ProviderError as error:
            log.warning("cannot destroy an orphan", droplet=orphan.id, error=str(error))
            return
        self._since.pop((orphan.id, orphan.uid), None)
        if destroyed:
            log.info("destroyed an orphan", droplet=orphan.id, uid=str(orphan.uid))
            self._tell("Collected", f"droplet {orphan.id}: its row is gone")

    async def _destroy(self, orphan: Marked) -> bool:
        """Destroy one after reading its row and itself once more; returns whether it was done."""
        if await self._store.project_one("Vps", orphan.uid) is not None:
            return False
        of, call = orphan.connection, self._call
        found = await self._digitalocean.get_droplet(of, orphan.id, call=call)
        if self._tag not in found.tags or uid_of(found.tags) != orphan.uid:
            return False
        await self._digitalocean.delete_droplet(of, orphan.id, call=call)
        return True

    async def _note_gone(self, outside: Outside) -> None:
        """Take down from the chase the tombstones of which nothing was seen for the grace.

        One that was forced stands until the team has been seen where its droplet was.
        """
        now = self._store.clock.now()
        seen = {each.uid for each in outside.droplets}
        unseen = [
            each.uid
            for each in await self._tombstones.standing_of("Vps")
            if each.uid not in seen
            and (not _may_be_left(each) or each.key.namespace in outside.listed)
        ]
        self._unseen = {uid: self._unseen.get(uid, now) for uid in unseen}
        gone = [uid for uid, since in self._unseen.items() if now >= since + GRACE]
        if gone:
            await self._tombstones.note_gone(gone, now)

    async def _read_platform(self) -> Platform | None:
        try:
            platform = await self._store.find(Platform, PLATFORM)
        except InvalidError:
            return None
        self._platform = None if platform is None else platform.uid
        return platform

    def _is_lenient(self, platform: Platform) -> bool:
        """Whether an operator lets go, for now, what would be kept for caution."""
        try:
            until = datetime.fromisoformat(platform.metadata.annotations.get(COLLECT, ""))
            return self._store.clock.now() < until
        except (ValueError, TypeError):
            return False

    def _refuse(self, why: str) -> None:
        log.error("not collecting", why=why)
        self._tell("NotCollecting", f"{why}; {COLLECT} on the platform lets them go", warning=True)

    def _tell(self, reason: str, message: str, *, warning: bool = False) -> None:
        """Record an event on the platform, if it has a row."""
        if self._platform is not None:
            self._recorder.event(
                PLATFORM_KEY, self._platform, "Warning" if warning else "Normal", reason, message
            )


def _may_be_left(stone: Tombstone) -> bool:
    """Whether somebody let it go while there was, or may have been, a droplet."""
    return stone.forced and bool(stone.details.get("droplet") or stone.details.get("intent"))
