"""Many converged workspaces, made from one that the controllers brought there themselves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

import psycopg
from psycopg.types.json import Jsonb

from controller.machine import names
from controller.machine.config import config_hash, desired_config
from controller.machine.tools import Tools
from controller.observer import Observer
from crds.account import Account, AccountSpec
from crds.machine import Machine
from crds.meta import ObjectMeta
from crds.platform import PLATFORM, Caps, Platform, PlatformSpec
from crds.store import LocalDoorbell, Store
from crds.store.rows import to_json
from crds.workspace import WORKSPACE, Workspace, WorkspaceSpec
from tests.bench.stage import FAST, Stage
from tests.bench.world import AGENT_ENV, INSTALLATION, TOKENS, World
from tests.support.virtual_time import START, clock, run

ROWS_EACH: Final = 4
"""Account, Workspace, Machine and Route."""
READY_AT: Final = START + timedelta(minutes=30)
"""When the original has come to rest: where a clock on a population starts."""
# Nobody falls asleep while he is counted.
WAKE_AT: Final = START + timedelta(days=30)
ORIGINAL: Final = "5e1f8d3c-0000-4000-8000-000000000000"
NAMES: Final = UUID(ORIGINAL)
CAPS: Final = Caps(machines=10**6, monthly_spend_usd=1e9)
SUBDOMAIN: Final = "original"
BATCH: Final = 1000
# Ending a replica on virtual time may run into timeouts of hours, which cost nothing.
LIMIT_SECONDS: Final = 1e6


class Population(NamedTuple):
    """A database and the clouds that belong to it.

    Attributes:
        url: The database: a copy of one's own.
        clouds: What `World.load` takes.
        objects: How many rows there are, without the one of the platform.
    """

    url: str
    clouds: dict[str, Any]
    objects: int


@contextmanager
def populated(stage: Stage, workspaces: int) -> Iterator[Population]:
    """Yield so many converged workspaces; the second time in a run they are only copied."""
    name, saved = f"population_{workspaces}", stage.folder / f"population_{workspaces}.json"
    with stage.database():  # which makes the empty template
        pass
    stage.make_template(name, lambda url: _fill(url, workspaces, saved), "bench_template")
    with stage.database(name) as url:
        yield Population(url, json.loads(saved.read_text()), workspaces * ROWS_EACH)


def _fill(url: str, workspaces: int, saved: Path) -> None:
    clouds = run(lambda: _converge_one(url + FAST), limit_seconds=LIMIT_SECONDS)
    with psycopg.connect(url + FAST) as connection:
        original = _Original(connection, clouds)
        # The copies are rows as they are, with versions and all: no trigger may touch them.
        connection.execute("SET session_replication_role = replica")
        made: dict[str, Any] = {"apps": [], "volumes": [], "machines": [], "entries": {}}
        for first in range(1, workspaces, BATCH):
            copies = [original.copy(n) for n in range(first, min(first + BATCH, workspaces))]
            rows = [row for copy in copies for row in copy.rows]
            connection.execute(
                "INSERT INTO objects SELECT * FROM jsonb_populate_recordset(NULL::objects, %s)",
                [Jsonb(rows)],
            )
            for copy in copies:
                copy.add_to(made)
        connection.execute("SET session_replication_role = DEFAULT")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")
    for kind in ("apps", "volumes", "machines"):
        clouds["fly"][kind] += made[kind]
    clouds["kv"]["namespaces"][0]["entries"] |= made["entries"]
    saved.write_text(json.dumps(clouds))


async def _converge_one(url: str) -> dict[str, Any]:
    """Let the controllers bring one workspace to rest; returns the clouds."""
    async with Store.opened(url, clock=clock(), doorbell=LocalDoorbell()) as store:
        world = World(clock())
        await store.create(
            Platform(metadata=ObjectMeta(name=PLATFORM), spec=PlatformSpec(caps=CAPS))
        )
        await store.create(account(ORIGINAL))
        async with world.replica(store):
            await store.create(workspace(ORIGINAL, SUBDOMAIN, wake_at=WAKE_AT))
            rest = READY_AT - START
            await asyncio.sleep(rest.total_seconds())
            found = await store.get(Workspace, WORKSPACE, ORIGINAL)
            if found.status.phase != "Running" or not found.status.is_true("Ready"):
                raise RuntimeError(f"the original did not converge: {found.status}")
            return world.dump()


def account(name: str) -> Account:
    """An account."""
    return Account(metadata=ObjectMeta(name=name), spec=AccountSpec(email="user@example.com"))


def workspace(owner: str, subdomain: str, *, wake_at: datetime | None = None) -> Workspace:
    """An account's workspace."""
    return Workspace(
        metadata=ObjectMeta(name=WORKSPACE, namespace=owner),
        spec=WorkspaceSpec(subdomain=subdomain, wake_at=wake_at),
    )


class _Copy(NamedTuple):
    rows: list[dict[str, Any]]
    app: dict[str, Any]
    volume: dict[str, Any]
    machine: dict[str, Any]
    entry: tuple[str, Any]

    def add_to(self, made: dict[str, Any]) -> None:
        made["apps"].append(self.app)
        made["volumes"].append(self.volume)
        made["machines"].append(self.machine)
        made["entries"][self.entry[0]] = self.entry[1]


class _Original:
    """What there is of the original, as text in which its names are replaced."""

    def __init__(self, connection: psycopg.Connection, clouds: dict[str, Any]) -> None:
        fly = clouds["fly"]
        (app,), (volume,), (machine,) = fly["apps"], fly["volumes"], fly["machines"]
        entries = clouds["kv"]["namespaces"][0]["entries"]
        (key,) = [key for key in entries if key.startswith("route:")]
        found = connection.execute(
            "SELECT to_jsonb(o) FROM objects o WHERE kind <> 'Platform' ORDER BY kind"
        ).fetchall()
        self._text = json.dumps(
            [[row[0] for row in found], app, volume, machine, [key, entries[key]]]
        )
        uids = {row[0]["kind"]: row[0]["uid"] for row in found}
        self._uids = list(uids.values())
        self._machine_uid = uids["Machine"]
        self._replaced = (app["name"], app["id"], volume["id"], volume["name"], machine["id"])
        self._tools = Tools(
            fly=None,  # type: ignore[arg-type]  # a config is made without asking anybody
            agent=None,  # type: ignore[arg-type]  # the same
            observer=Observer(None, None, INSTALLATION, lambda _: None),  # type: ignore[arg-type]  # the same
            tokens=TOKENS,
            installation=INSTALLATION,
            agent_env=AGENT_ENV,
            secrets=None,  # type: ignore[arg-type]  # the same
        )

    def copy(self, number: int) -> _Copy:
        """The same for another user."""
        text = self._text
        for old, new in self._names(number):
            text = text.replace(old, new)
        copy = _Copy(*json.loads(text))
        for row in copy.rows:
            if row["kind"] == "Machine":
                machine = Machine.parse(to_json(row))
                config = desired_config(machine, self._tools, copy.volume["id"])
                row["status"]["instance"]["configHash"] = config_hash(config)
        return copy

    def _names(self, number: int) -> Iterator[tuple[str, str]]:
        new_uids = {uid: uuid5(NAMES, f"{uid}{number}") for uid in self._uids}
        machine = new_uids[self._machine_uid]
        yield TOKENS.issue(UUID(self._machine_uid)), TOKENS.issue(machine)
        app, app_id, volume, volume_name, instance = self._replaced
        yield app, names.app_name(INSTALLATION, machine)
        yield volume_name, names.volume_name(machine)
        yield volume, f"vol_{number:020}"
        yield instance, f"{number:014x}"
        if app_id != app:
            yield app_id, f"app{number:012}"
        for old, new in new_uids.items():
            yield old, str(new)
        yield ORIGINAL, str(uuid5(NAMES, str(number)))
        yield SUBDOMAIN, f"user-{number:06}"
