"""Orphans: what is outside with our mark, and what the rows and the tombstones say about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple
from uuid import UUID

from controller.edge import Edge, Stamp, stamps
from controller.machine import names
from controller.providers import Call
from controller.providers.fly import App, Fly
from crds.annotations import PAUSED
from crds.devenv import DevEnv
from crds.store import Store
from crds.store.tombstones import Tombstone, Tombstones

# More orphans of a kind at once than this, and more than a tenth of all, are not leaks: somebody
# lost rows, as by restoring an old backup.
MANY = 5
SHARE = 10

# What each machine's row says of its things outside.
FIELDS = {
    "app": "status.app.name",
    "volume": "status.volume.id",
    "machine": "status.instance.id",
    "intent": "status.intent.operation",
    "wished": "spec.service.app",
}
Row = Mapping[str, Any]


class Thing(NamedTuple):
    """Something outside that carries our mark.

    Attributes:
        kind: What it is.
        app: The app that it is in; empty for an entry.
        id: Its name at the provider: an app's name, an id, a subdomain.
        uid: Whose it is; None when its mark is unreadable.
        owner: In an app that several machines share, whose that app is, by its network.
    """

    kind: Literal["app", "volume", "machine", "entry"]
    app: str
    id: str
    uid: UUID | None
    owner: UUID | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    def unwanted(self, row: Row | None) -> bool:
        """Whether this is the judgement of its machine's row, or of there being none.

        What is in an app without a row goes with the app, and an app whose machine has a row never
        goes: it may hold what somebody will ask for.
        A row that names nothing yet, or is about to change, does not judge.
        """
        if self.kind == "app":
            return row is None
        return row is not None and row["intent"] is None and row[self.kind] not in (None, self.id)


@dataclass(frozen=True, slots=True)
class Outside:
    """Everything outside that carries our mark; `complete` unless a provider lacks regions."""

    things: list[Thing]
    complete: bool


async def look_outside(fly: Fly, edge: Edge, installation: str, call: Call) -> Outside:
    """List apps, volumes, machines and entries.

    Raises:
        ProviderError: A list was not read to its end.
    """
    apps = await _apps(fly, installation, call)
    shared = {app.id: app.owner for app in apps if app.owner is not None}
    volumes = await _volumes(fly, installation, shared, call)
    machines = await _machines(fly, installation, shared, call)
    entries = [
        Thing("entry", "", subdomain, _uid(listed.uid))
        for subdomain, listed in (await edge.look()).items()
    ]
    return Outside(
        [*apps, *volumes.things, *machines.things, *entries],
        volumes.complete and machines.complete,
    )


async def _apps(fly: Fly, installation: str, call: Call) -> list[Thing]:
    """Our apps; whether they are orphans is for the rows to say."""
    return [
        thing
        async for page in fly.list_apps(call=call)
        for app in page
        if (thing := app_thing(installation, app)) is not None
    ]


def app_thing(installation: str, app: App) -> Thing | None:
    """An app as ours: by its name, or by its network where the name is somebody's wish."""
    uid = names.uid_of_app(installation, app.name)
    owner = None if uid else names.uid_of_app(installation, app.network)
    return Thing("app", app.name, app.name, uid or owner, owner) if uid or owner else None


async def _volumes(fly: Fly, installation: str, shared: Mapping[str, UUID], call: Call) -> Outside:
    """Our volumes in our apps; in one that is shared each has its machine's name."""
    found, complete = [], True
    async for page in fly.iter_org_volumes(call=call):
        complete = complete and not page.error_regions
        for volume in page.volumes:
            uid, owner = names.uid_of_volume(volume.name), shared.get(volume.app_name)
            ours = names.uid_of_app(installation, volume.app_name) == uid or owner is not None
            if uid is not None and ours:
                found.append(Thing("volume", volume.app_name, volume.id, uid, owner))
    return Outside(found, complete)


async def _machines(fly: Fly, installation: str, shared: Mapping[str, UUID], call: Call) -> Outside:
    """Our Fly machines."""
    found, complete = [], True
    async for page in fly.iter_org_machines(call=call):
        complete = complete and not page.error_regions
        for machine in page.machines:
            uid = names.marked_uid(installation, machine.metadata)
            if uid is not None:
                owner = shared.get(machine.app_name)
                found.append(Thing("machine", machine.app_name, machine.id, uid, owner))
    return Outside(found, complete)


def _uid(mark: str) -> UUID | None:
    try:
        return UUID(mark)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the database says, read after the lists.

    Attributes:
        rows: Machines by uid.
        routes: Routes by subdomain.
        tombstones: Of the uids outside that have no row.
        paused: The uids of objects that are nobody's business for now.
        devenvs: The uids of dev environments, whose apps their machines share.
    """

    rows: Mapping[UUID, Row]
    routes: Mapping[str, Stamp]
    paused: frozenset[UUID]
    tombstones: Mapping[UUID, Tombstone] = field(default_factory=dict)
    devenvs: frozenset[UUID] = frozenset()

    def orphans(self, things: Iterable[Thing]) -> Iterator[Thing]:
        """Those that nobody wants and that nobody paused."""
        for thing in things:
            if self._unwanted(thing) and self.paused.isdisjoint({thing.uid, thing.owner}):
                yield thing

    def _unwanted(self, thing: Thing) -> bool:
        if thing.kind == "entry":
            return thing.id not in self.routes
        if thing.owner is None or self.row(thing) is not None:
            return thing.unwanted(self.row(thing))
        if thing.kind != "app":
            # The app stays as long as its owner, so this would stay with it.
            return thing.owner in self.devenvs
        return not (thing.owner in self.devenvs or self._is_named(thing) or self._is_guest(thing))

    def _is_named(self, app: Thing) -> bool:
        """Whether a machine's row still names an app."""
        return any(app.id in (row["app"], row["wished"]) for row in self.rows.values())

    def _is_guest(self, app: Thing) -> bool:
        """Whether somebody put it on the network of what was no dev environment."""
        found = None if app.uid is None else self.tombstones.get(app.uid)
        return found is not None and found.key.kind != DevEnv.KIND

    def row(self, thing: Thing) -> Row | None:
        """The row of a thing's machine."""
        return None if thing.uid is None else self.rows.get(thing.uid)

    def known(self, thing: Thing) -> bool:
        """Whether this database ever had the row that a thing stands for."""
        return self.row(thing) is not None or thing.uid in self.tombstones

    def forced(self, thing: Thing) -> bool:
        """Whether somebody let its row go unfinished, and so asked for its collection."""
        found = None if thing.uid is None else self.tombstones.get(thing.uid)
        return found is not None and found.forced


async def look_inside(store: Store, things: Iterable[Thing]) -> Evidence:
    """Read what the database says of things outside, after these were listed.

    What is listed and has no row had none since.
    """
    rows = {row["uid"]: row for row in await store.project("Machine", **FIELDS)}
    rowless = {thing.uid for thing in things if thing.uid is not None and thing.uid not in rows}
    return Evidence(
        rows=rows,
        routes=await stamps(store),
        paused=await paused(store),
        tombstones=await Tombstones(store.database).find(rowless),
        devenvs=frozenset(row["uid"] for row in await store.project(DevEnv.KIND)),
    )


async def paused(store: Store) -> frozenset[UUID]:
    """The uids of the objects that are nobody's business for now."""
    rows = await store.database.fetch(
        "SELECT uid FROM objects WHERE annotations->>%s = 'true'", PAUSED
    )
    return frozenset(row["uid"] for row in rows)


def too_many(orphans: Iterable[Thing], listed: Iterable[Thing]) -> list[str]:
    """In words, the kinds of which so many are orphans that rows must have been lost."""
    lost, there = (Counter(thing.kind for thing in things) for things in (orphans, listed))
    return [
        f"{number} of {there[kind]} {kind}s"
        for kind, number in sorted(lost.items())
        if number > MANY and number * SHARE > there[kind]
    ]
