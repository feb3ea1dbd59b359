"""The ledger: always what counting anew would say, for the price of what changed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta

import pytest
from psycopg.rows import DictRow

from crds.devenv import DevEnv, DevEnvSpec, cost_of
from crds.fleet import COUNTED, SIZED, Tally, one, tally
from crds.meta import ObjectMeta
from crds.platform import Caps, PlatformSpec
from crds.store import Store
from crds.store.ledger import Ledger, Sort
from crds.workspace import WORKSPACE, Workspace, WorkspaceSpec

pytestmark = pytest.mark.anyio

# Decoded alike from rows and from the log, whatever somebody's SQL leaves there.
BY = {"power": "spec->>'power'", "phase": "status->>'phase'", **SIZED}
CHANGES = (
    'SET spec = spec || \'{"power": "Stopped"}\'',
    'SET spec = spec || \'{"size": "odd", "volumeGb": "x"}\'',
    'SET spec = spec || \'{"size": {"memoryMb": 2048}, "volumeGb": 1.5}\'',
    'SET status = status || \'{"phase": "Running"}\'',
    "SET finalizers = '{}'",
)
EDITS = (
    *(f"UPDATE objects {change} WHERE namespace = %s" for change in CHANGES),
    "DELETE FROM objects WHERE namespace = %s",
)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A store on an empty database."""
    async with Store.opened(database_url) as store:
        yield store


async def developed(store: Store, number: int, **spec: object) -> DevEnv:
    """A new dev environment of an account of its own."""
    meta = ObjectMeta(name="erp", namespace=f"a{number}", finalizers=["x"])
    wish = DevEnvSpec.model_validate({"client": "acme", "app": f"erp{number}", **spec})
    return await store.create(DevEnv(metadata=meta, spec=wish))


async def created(store: Store, number: int, **spec: object) -> Workspace:
    """A new workspace of an account of its own."""
    meta = ObjectMeta(name=WORKSPACE, namespace=f"a{number}", finalizers=["x"])
    wish = WorkspaceSpec.model_validate({"subdomain": f"name{number}", **spec})
    return await store.create(Workspace(metadata=meta, spec=wish))


async def counted(store: Store) -> Mapping[Sort, int]:
    """The same, counted anew."""
    return await Ledger(store.database, BY, only=COUNTED).read()


@pytest.mark.parametrize("seed", range(6))
async def test_the_ledger_is_what_counting_says(store: Store, seed: int) -> None:
    """After any changes, by the store or by SQL, compacted or not, it agrees with the rows."""
    rng = random.Random(seed)  # noqa: S311 - to repeat
    ledger = Ledger(store.database, BY, only=COUNTED)
    differences: list[tuple[Mapping[Sort, int], Mapping[Sort, int]]] = []

    for number in range(25):
        await (created(store, number) if rng.random() < 0.7 else developed(store, number))
        for _ in range(rng.randrange(4)):
            target = f"a{rng.randrange(number + 1)}"
            await store.database.execute(rng.choice(EDITS), target)
        if rng.random() < 0.2:
            await store.log.compact(store.clock.now() + timedelta(hours=1))
        if rng.random() < 0.7:
            ours, theirs = await ledger.read(), await counted(store)
            differences += [(ours, theirs)] if ours != theirs else []

    assert differences == []
    assert await ledger.read() == await counted(store)


async def test_two_changes_in_one_transaction(store: Store) -> None:
    """Rows that move twice before they are visible are counted where they end."""
    await created(store, 1)
    ledger = Ledger(store.database, BY, only=COUNTED)
    await ledger.read()
    async with store.database.pool.connection() as connection, connection.transaction():
        for edit in (EDITS[0], EDITS[2], EDITS[3]):
            await connection.execute(edit.encode(), ("a1",))

    assert await ledger.read() == await counted(store)
    assert sum((await ledger.read()).values()) == 1


class Counting:
    """Counts the statements that read objects, as opposed to the log."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.statements: Counter[str] = Counter()
        fetch = store.database.fetch

        async def counting(query: str, *parameters: object) -> Sequence[DictRow]:
            self.statements["all" if "FROM objects " in query else "log"] += 1
            return await fetch(query, *parameters)

        monkeypatch.setattr(store.database, "fetch", counting)


async def test_admissions_do_not_count_the_fleet(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ask, objects are counted once; those who ask together share a statement."""
    for number in range(3):
        await created(store, number)
    statements = Counting(store, monkeypatch).statements
    platform = PlatformSpec()

    for _ in range(3):
        await asyncio.gather(*(tally(store, platform) for _ in range(20)))
    assert statements["all"] == 1
    assert statements["log"] <= 6


async def test_the_older_ones_decide_alike(store: Store) -> None:
    """Within the caps an upper bound is enough; beyond them it is told exactly who was first."""
    spaces = [await created(store, number) for number in range(4)]

    def admitted(machines: int) -> PlatformSpec:
        return PlatformSpec(caps=Caps(machines=machines, monthly_spend_usd=1000))

    async def fits(platform: PlatformSpec) -> list[bool]:
        sums = [
            (await tally(store, platform, older_than=space)).plus(one(platform, space.spec))
            for space in spaces
        ]
        return [fleet.machines <= platform.caps.machines for fleet in sums]

    assert [True] * 4 == await fits(admitted(4))
    assert [True, True, True, False] == await fits(admitted(3))
    assert [False] * 4 == await fits(admitted(0))


async def test_a_spend_cap_counts_what_each_one_costs(store: Store) -> None:
    """Sizes of their own are priced as such, broken ones as the default."""
    platform = PlatformSpec()
    await created(store, 1, volumeGb=11)
    await created(store, 2)
    await store.database.execute(EDITS[1], "a2")

    usual = one(platform).monthly_usd
    assert await tally(store, platform) == Tally(2, round(2 * usual + 10 * 0.15, 2))


async def test_a_dev_environment_is_as_many_machines_as_it_has_services(store: Store) -> None:
    """Its services count as machines and its cost, always on, as spend; broken ones as usual."""
    platform = PlatformSpec()
    first = await developed(store, 1, studio=False, volumeGb=50)
    second = await developed(store, 2, sizes={"kong": {"memoryMb": 512}})
    broken = await developed(store, 3)
    await store.database.execute(EDITS[1], "a3")

    costs = [cost_of(each.spec).always_on_usd for each in (first, second, broken)]
    assert Tally(17, round(sum(costs), 2)) == await tally(store, platform)
    assert Tally(5, costs[0]) == one(platform, first.spec)


async def test_who_was_first_counts_across_kinds(store: Store) -> None:
    """Beyond the caps a workspace waits for an older dev environment, and the reverse."""
    platform = PlatformSpec(caps=Caps(machines=6, monthly_spend_usd=1000))
    devenv = await developed(store, 1)
    workspace = await created(store, 2)

    assert 0 == (await tally(store, platform, older_than=devenv)).machines
    assert 6 == (await tally(store, platform, older_than=workspace)).machines
