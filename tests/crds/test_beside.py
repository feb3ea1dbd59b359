"""What is kept beside the log: heartbeats, events, leases; and how changes are announced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from crds.account import Account, AccountSpec
from crds.meta import ObjectMeta
from crds.store import (
    EventRecord,
    Heartbeat,
    LocalDoorbell,
    MigrationError,
    Probe,
    Store,
    UsageSample,
    migrate,
)
from crds.store.coalesce import Coalescer
from crds.store.migrate import migrations
from tests.support.postgres import Databases

pytestmark = pytest.mark.anyio

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A store on a fresh database."""
    async with Store.opened(database_url) as opened:
        yield opened


async def test_migrating_twice_or_at_once_is_once(databases: Databases) -> None:
    """Any number of processes may bring the database up to date at the same time."""
    with databases.empty() as url:
        applied = await asyncio.gather(*(migrate(url) for _ in range(4)))

        every = len(migrations())
        assert [every, 0, 0, 0] == sorted((len(names) for names in applied), reverse=True)


async def test_the_owner_of_a_database_can_migrate_it(databases: Databases) -> None:
    """No step needs a superuser: databases that are rented have none to give."""
    with databases.empty() as url, psycopg.connect(url, autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute("CREATE ROLE owner_of_one LOGIN")
        admin.execute(f"ALTER DATABASE {name} OWNER TO owner_of_one")
        try:
            applied = await migrate(url.replace("//invoker@", "//owner_of_one@"))
        finally:
            admin.execute("REASSIGN OWNED BY owner_of_one TO CURRENT_USER")
            admin.execute("DROP OWNED BY owner_of_one")
            admin.execute("DROP ROLE owner_of_one")

        assert [step.name for step in migrations()] == applied


async def test_a_newer_database_is_refused(database_url: str) -> None:
    """An older program does not touch what it does not know."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES ('9999')")

    with pytest.raises(MigrationError, match="9999"):
        await migrate(database_url)


async def test_probes_tell_since_when(store: Store) -> None:
    """Healthy and unreachable spans begin with their first probe and end with the other kind."""
    machine = uuid4()
    beat = Heartbeat(machine, NOON, "idle", "1", NOON - MINUTE)
    for minute, answers in enumerate((True, True, False, False)):
        at = NOON + minute * MINUTE
        await store.heartbeats.record_probes([Probe(machine, at, beat if answers else None)])

    known = await store.heartbeats.find(machine)
    assert known is not None
    assert known.unreachable_since == NOON + 2 * MINUTE
    assert known.healthy_since is None
    assert known.last_seen_at == NOON + MINUTE
    assert known.last_activity_at == NOON - MINUTE

    await store.heartbeats.record_probes([Probe(machine, NOON + 9 * MINUTE, beat)])
    known = await store.heartbeats.find(machine)
    assert known is not None
    assert (known.healthy_since, known.unreachable_since) == (NOON + 9 * MINUTE, None)


async def test_heartbeats_never_go_back(store: Store) -> None:
    """A late, older heartbeat does not make a machine look idle; nor is the log touched."""
    machine = uuid4()
    await store.heartbeats.record([Heartbeat(machine, NOON, "running", "2", NOON)])
    await store.heartbeats.record([Heartbeat(machine, NOON - MINUTE, "idle", "1", None)])

    known = await store.heartbeats.find(machine)
    assert known is not None
    assert (known.last_heartbeat_at, known.last_activity_at) == (NOON, NOON)
    assert await store.log.newest() == 0


async def test_usage_is_the_newest_and_leaves_the_rest_alone(store: Store) -> None:
    """What the provider's metrics say stands beside what is known, and never goes back."""
    known, new = uuid4(), uuid4()
    await store.heartbeats.record([Heartbeat(known, NOON, "running", "2", NOON)])
    await store.heartbeats.record_usage(
        [UsageSample(known, NOON, 15.5, 320.0), UsageSample(new, NOON, None, 64.0)]
    )
    await store.heartbeats.record_usage(
        [
            UsageSample(known, NOON - MINUTE, 99.0, 1.0),
            UsageSample(new, NOON + MINUTE, 2.0, None),
            UsageSample(new, NOON, 7.0, 7.0),
        ]
    )
    found = await store.heartbeats.get([known, new])

    assert ("running", NOON, 15.5, 320.0, NOON) == (
        found[known].state,
        found[known].last_activity_at,
        found[known].cpu_percent,
        found[known].memory_mb,
        found[known].usage_at,
    )
    assert ("unknown", 2.0, None, NOON + MINUTE) == (
        found[new].state,
        found[new].cpu_percent,
        found[new].memory_mb,
        found[new].usage_at,
    )


async def test_activity_only_grows(store: Store) -> None:
    """Traffic that was noted is not forgotten for older traffic."""
    one, other = uuid4(), uuid4()
    await store.heartbeats.note_activity({one: NOON, other: NOON})
    await store.heartbeats.note_activity({one: NOON - MINUTE, other: NOON + MINUTE})
    await store.heartbeats.note_activity({})
    found = await store.heartbeats.get([one, other])

    assert [NOON, NOON + MINUTE] == [found[one].last_activity_at, found[other].last_activity_at]


async def test_many_heartbeats_of_one_machine_in_a_batch(store: Store) -> None:
    """Duplicates in one batch are no error; the newest counts."""
    machine = uuid4()
    beats = [Heartbeat(machine, NOON + n * MINUTE, "running", str(n), None) for n in range(3)]
    await store.heartbeats.record(beats[::-1])

    known = await store.heartbeats.find(machine)
    assert known is not None
    assert known.version == "2"


async def test_forgotten_and_reset(store: Store) -> None:
    """A stopped machine has no health, a deleted one no record."""
    machine = uuid4()
    await store.heartbeats.record_probes([Probe(machine, NOON, None)])
    await store.heartbeats.reset_health(machine)
    known = await store.heartbeats.find(machine)
    assert known is not None
    assert known.unreachable_since is None

    await store.heartbeats.forget(machine)
    assert await store.heartbeats.find(machine) is None


def event(uid: UUID, message: str, at: datetime) -> EventRecord:
    """An event."""
    return EventRecord("ns", "Machine", "main", uid, "Normal", "Started", message, 1, at, at)


async def test_events_aggregate_and_expire(store: Store) -> None:
    """The same words raise the count; old events go."""
    uid = uuid4()
    await store.events.record([event(uid, "x", NOON), event(uid, "y", NOON)])
    await store.events.record([event(uid, "x", NOON + MINUTE)])

    found = {each.message: each for each in await store.events.list(uid=uid)}
    assert (found["x"].count, found["x"].first_at, found["x"].last_at) == (2, NOON, NOON + MINUTE)
    assert await store.events.expire(NOON + 2 * MINUTE, timedelta(seconds=90)) == 1
    assert [each.message for each in await store.events.list(namespace="ns")] == ["x"]


async def test_a_lease_has_one_holder(store: Store) -> None:
    """Of many who saw the same lease, one gets it; its epoch grows; the former cannot renew."""
    first = await store.leases.acquire("shard/1", "a", seen=None, duration=10)
    assert first is not None
    takers = await asyncio.gather(
        *(store.leases.acquire("shard/1", f"b{n}", seen=first, duration=10) for n in range(8))
    )

    winners = [taker for taker in takers if taker is not None]
    assert [first.epoch + 1] == [winner.epoch for winner in winners]
    assert await store.leases.renew([first]) == []
    (renewed,) = await store.leases.renew(winners)
    assert renewed.renewals == 1


async def test_a_released_lease_is_free(store: Store) -> None:
    """Released means free at once, and the releaser's old proof is worth nothing."""
    lease = await store.leases.acquire("shard/1", "a", seen=None, duration=10)
    assert lease is not None
    await store.leases.release([lease])
    (free,) = await store.leases.list("shard/")

    assert free.holder is None
    assert await store.leases.acquire("shard/1", "b", seen=free, duration=10) is not None
    await store.leases.forget(["shard/1"])
    assert await store.leases.list("") == []


async def test_a_write_rings_in_another_process(store: Store, database_url: str) -> None:
    """A watcher in another process is woken by the doorbell, long before it would poll."""
    async with Store.opened(database_url, poll_seconds=60) as other:
        heard = other.doorbell.rings()
        heard = await other.doorbell.wait(heard, 5)
        await store.create(Account(metadata=ObjectMeta(name="a"), spec=AccountSpec(email="a@b.c")))
        async with asyncio.timeout(5):
            assert await other.doorbell.wait(heard, 10) > heard


async def test_a_plain_sql_write_rings(database_url: str) -> None:
    """An operator's UPDATE is announced like any other write."""
    async with Store.opened(database_url, poll_seconds=60) as store:
        heard = await store.doorbell.wait(store.doorbell.rings(), 5)
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as psql:
            await psql.execute(
                "INSERT INTO objects (kind, name, spec) VALUES ('Account', 'a', '{}')"
            )
        async with asyncio.timeout(5):
            assert await store.doorbell.wait(heard, 10) > heard


async def test_a_ring_before_the_wait_is_not_missed() -> None:
    """Whoever remembers how often it had rung misses none in between."""
    bell = LocalDoorbell()
    heard = bell.rings()
    bell.ring()

    assert await bell.wait(heard, 10) == heard + 1
    assert await bell.wait(heard + 1, 0.01) == heard + 1


async def test_coalescer_shares_statements() -> None:
    """Those who ask while one is under way share the next; each gets its own answer."""
    batches: list[int] = []

    async def double(numbers: Sequence[int]) -> Sequence[int]:
        batches.append(len(numbers))
        await asyncio.sleep(0)
        return [2 * number for number in numbers]

    coalescer = Coalescer(double, limit=10)
    answers = await asyncio.gather(*(coalescer.submit(number) for number in range(25)))

    assert answers == [2 * number for number in range(25)]
    assert len(batches) == 3


async def test_coalescer_hands_out_errors_and_goes_on() -> None:
    """An error belongs to those of its batch; a caller who gave up disturbs nobody."""

    async def picky(numbers: Sequence[int]) -> Sequence[int]:
        await asyncio.sleep(0)
        if 13 in numbers:
            raise ValueError("unlucky")
        return numbers

    coalescer = Coalescer(picky)
    with pytest.raises(ValueError, match="unlucky"):
        await coalescer.submit(13)
    gone = asyncio.create_task(coalescer.submit(1))
    await asyncio.sleep(0)
    gone.cancel()

    assert await coalescer.submit(2) == 2
