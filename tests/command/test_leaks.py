"""The ledger of leaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from controller.machine import names
from crds.machine import AppStatus, Intent, Machine, MachineSpec, MachineStatus
from crds.meta import ObjectMeta
from crds.store import EventRecord, Store
from deploy.command import ledger
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.kv.store import KV, Entry
from deploy.local.simulators.transport import SimulatorTransport
from tests.command.invoking import Invoker

Write = Callable[[Callable[[Store], Any]], Any]
INSTALLATION = "test"
SMALLEST = {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}


async def _open_ends(store: Store) -> None:
    """A machine with an unfinished effect whose app cannot be found, and what was collected."""
    now = store.clock.now()
    machine = await store.create(
        Machine(
            metadata=ObjectMeta(name="main", namespace="acct"),
            spec=MachineSpec(account="acct", image="image"),
            status=MachineStatus(
                app=AppStatus(name="inv-app", missing_since=now - timedelta(minutes=3)),
                intent=Intent(operation="volumes.create", since=now - timedelta(minutes=5)),
            ),
        )
    )
    await store.events.record(
        [
            EventRecord(
                "acct", "Machine", "main", machine.uid, "Normal", reason, "words", 1, now, now
            )
            for reason in ("Adopted", "Healthy")
        ]
    )


def test_what_the_rows_tell(invoker: Invoker, write: Write) -> None:
    """Without credentials the rows' half is shown, oldest first, and that it is a half is said."""
    write(_open_ends)
    result = invoker("leaks")
    data = invoker.json("leaks")

    assert ["begun: volumes.create", "missing: app"] == [end["what"] for end in data["openEnds"]]
    assert ["Adopted"] == [event["reason"] for event in data["events"]]
    assert (None, None) == (data["orphans"], data["monthlyUsd"])
    assert "Machine/acct/main   begun: volumes.create   5 min ago" in result.stdout
    assert "only what the rows tell" in result.stderr
    assert "FLY_API_TOKEN" in result.stderr


def test_nothing_is_open(invoker: Invoker) -> None:
    """A clean ledger says so."""
    assert ["rows: nothing is open"] == invoker("leaks").stdout.splitlines()


@pytest.fixture
def outside(database_url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Invoker, FlyCloud, KV]:
    """The command with credentials of clouds in memory."""
    fly, kv = FlyCloud(now=lambda: 1.8e9), KV(now=lambda: 1.8e9)
    monkeypatch.setattr(ledger, "aiohttp_transport", lambda: SimulatorTransport(fly=fly, kv=kv))
    invoker = Invoker(
        DATABASE_URL=database_url,
        INVOKER_INSTALLATION=INSTALLATION,
        FLY_API_TOKEN=fly.token,
        FLY_ORG=fly.org,
        CLOUDFLARE_API_TOKEN=kv.token,
        CLOUDFLARE_ACCOUNT_ID=kv.account,
        CLOUDFLARE_KV_NAMESPACE_ID=kv.default,
    )
    return invoker, fly, kv


def test_what_has_no_row(outside: tuple[Invoker, FlyCloud, KV]) -> None:
    """An app and an entry with our mark and no row are shown with what they cost a month.

    What is not ours is not, and nothing outside is changed.
    """
    invoker, fly, kv = outside
    app = names.app_name(INSTALLATION, uuid4())

    async def leak() -> None:
        for name in (app, "somebody-elses"):
            fly.create_app({"name": name, "org_slug": fly.org})
            fly.create_volume(name, {"name": "v", "size_gb": 3, "region": "iad"})
        fly.create_machine(app, {"config": {"image": "i", "guest": SMALLEST}})

    asyncio.run(leak())
    marks = {"installation": INSTALLATION, "uid": str(uuid4()), "stamp": 1}
    kv.put("route:ghost", Entry(b"{}", marks))
    data = invoker.json("leaks")
    result = invoker("leaks")

    assert [(f"app {app}", 1.94 + 0.45), ("entry ghost", 0.0)] == [
        (each["thing"], each["monthlyUsd"]) for each in data["orphans"]
    ]
    assert "outside without a row: 2, 2.39 USD a month" in result.stdout
    assert "never in this database" in result.stdout
    assert "" == result.stderr
    assert [] == [*fly.effects, *kv.effects]


def test_a_bad_token(outside: tuple[Invoker, FlyCloud, KV]) -> None:
    """A provider that lets nobody look is said, without the token; the rows' half is shown."""
    invoker, _, __ = outside
    invoker.environ["FLY_API_TOKEN"] = "wrong-token"
    result = invoker("leaks")

    assert 1 == result.exit_code
    assert ["rows: nothing is open"] == result.stdout.splitlines()
    assert "cannot look outside: fly apps.list 401" in result.stderr
    assert "wrong-token" not in result.stderr
