"""The observer of droplets: each user's team by page, instead of by droplet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import anyio
import structlog
from psycopg import Error as DatabaseError

from controller.providers import Call, Priority, ProviderError, Unauthorized
from controller.providers.digitalocean import Connection, DigitalOcean, Droplet
from controller.vps.names import installation_tag, uid_of
from crds.grants import read_grant
from crds.meta import Key
from crds.secrets import SecretError, Secrets
from crds.store import Store

PERIOD_SECONDS: Final = 60.0
# A look that is older decides nothing: two may fail in a row.
FRESH_FOR: Final = timedelta(seconds=150)
# 10,000 teams, each of which answers in about 0.3 s, are seen within a look's time.
AT_ONCE: Final = 64

# What each row says of its droplet.
FIELDS: Final = {
    "connection": "spec.connection",
    "droplet": "status.droplet.id",
    "status": "status.droplet.status",
    "ipv4": "status.droplet.ipv4",
    "size": "status.droplet.size",
}
Row = Mapping[str, Any]
Place = tuple[str, str]

log = structlog.get_logger("invoker.vps.observer")


class View(NamedTuple):
    """A droplet as last listed."""

    id: int
    status: str
    ipv4: str | None
    size: str


@dataclass(frozen=True, slots=True)
class Look:
    """What a look over a team saw: its droplets that are ours, by the uid of their Vps."""

    began: datetime
    views: Mapping[UUID, tuple[View, ...]]


class _Team(NamedTuple):
    """Where to look: the connection, what its limits are counted under, and whose rows use it."""

    place: Place
    name: str
    rows: Sequence[Row]


class DropletObserver:
    """Lists our droplets of every team that has any, and wakes whose row says otherwise.

    Args:
        digitalocean: The provider; None where no application is configured.
        store: Where the rows are, and the time.
        secrets: Where users' tokens are.
        installation: Whose marks count.
        owns: Which keys are this replica's.
        wake: Called with the key of every Vps whose droplet is not as on record.
    """

    def __init__(
        self,
        digitalocean: DigitalOcean | None,
        store: Store,
        secrets: Secrets,
        *,
        installation: str,
        owns: Callable[[Key], bool],
        wake: Callable[[Key], None],
    ) -> None:
        self._digitalocean = digitalocean
        self._store = store
        self._secrets = secrets
        self._tag = installation_tag(installation)
        self._owns = owns
        self._wake = wake
        self._looks: dict[Place, Look] = {}

    def views(self, namespace: str, connection: str, uid: UUID) -> tuple[View, ...] | None:
        """A Vps' droplets as last listed; None when that was too long ago.

        Args:
            namespace: Whose it is.
            connection: The name of its connection.
            uid: The Vps'.
        """
        look = self._looks.get((namespace, connection))
        if look is None or self._store.clock.now() > look.began + FRESH_FOR:
            return None
        return look.views.get(uid, ())

    async def run(self) -> None:
        """Look every minute, for ever; an outage is waited out."""
        while True:
            try:
                await self.look()
            except DatabaseError as error:
                log.warning("cannot observe", error=str(error))
            except Exception:
                log.exception("cannot observe")
            await anyio.sleep(PERIOD_SECONDS)

    async def look(self) -> None:
        """Look once at every team in which a Vps of ours has or may have a droplet."""
        places = await self._places()
        self._looks = {place: look for place, look in self._looks.items() if place in places}
        if self._digitalocean is None:
            return
        rows = await self._store.project("CloudConnection") if places else []
        uids = {(row["namespace"], row["name"]): row["uid"] for row in rows}
        limiter = anyio.CapacityLimiter(AT_ONCE)
        async with anyio.create_task_group() as group:
            for place in places.keys() & uids.keys():
                team = _Team(place, str(uids[place]), places[place])
                group.start_soon(self._try_to_look, self._digitalocean, team, limiter)

    async def _places(self) -> dict[Place, list[Row]]:
        """The rows that are this replica's, by their account's connection."""
        places: dict[Place, list[Row]] = {}
        for row in await self._store.project("Vps", **FIELDS):
            if row["connection"] and self._owns(_key(row)):
                places.setdefault((row["namespace"], row["connection"]), []).append(row)
        return places

    async def _try_to_look(
        self, digitalocean: DigitalOcean, team: _Team, limiter: anyio.CapacityLimiter
    ) -> None:
        """Look at one team; what goes wrong there is nobody else's trouble."""
        try:
            async with limiter:
                await self._look_at(digitalocean, team)
        except Unauthorized:
            # The rows' reconciles find out what is wrong with the connection.
            self._looks.pop(team.place, None)
            for row in team.rows:
                self._wake(_key(row))
        except (ProviderError, DatabaseError, SecretError) as error:
            log.warning("cannot observe", namespace=team.place[0], error=str(error))
        except Exception:
            log.exception("cannot observe", namespace=team.place[0])

    async def _look_at(self, digitalocean: DigitalOcean, team: _Team) -> None:
        began = self._store.clock.now()
        grant = await read_grant(self._secrets, *team.place)
        if grant is None:
            self._looks.pop(team.place, None)
            return
        connection, call = Connection(team.name, grant.access), Call(Priority.HEALTH)
        found = await digitalocean.list_droplets(connection, tag=self._tag, call=call)
        look = self._looks[team.place] = Look(began, _by_uid(found))
        for row in team.rows:
            if _differs(row, look.views.get(row["uid"], ())):
                self._wake(_key(row))


def _by_uid(found: Sequence[Droplet]) -> dict[UUID, tuple[View, ...]]:
    views: dict[UUID, tuple[View, ...]] = {}
    for each in found:
        uid = uid_of(each.tags)
        if uid is not None:
            view = View(each.id, each.status, each.public_ipv4, each.size)
            views[uid] = (*views.get(uid, ()), view)
    return views


def _differs(row: Row, views: tuple[View, ...]) -> bool:
    """Whether a row says otherwise than the list; its reconcile looks for itself."""
    recorded = (row["droplet"], row["status"], row["ipv4"], row["size"])
    seen = [(str(view.id), view.status, view.ipv4, view.size) for view in views]
    return seen != ([] if row["droplet"] is None else [recorded])


def _key(row: Row) -> Key:
    return Key("Vps", row["namespace"], row["name"])
