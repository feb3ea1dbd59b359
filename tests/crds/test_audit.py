"""Every write of people is written down by the database itself."""

from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest

from crds.account import Account, AccountSpec
from crds.meta import Key, ObjectMeta
from crds.store import Actor, Store

pytestmark = pytest.mark.anyio

ALICE = Actor("alice", "platform-admin", "kubernetes", "r1")


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A store on a fresh database."""
    async with Store.opened(database_url) as opened:
        yield opened


def account(state: str = "Active") -> Account:
    """An account to write."""
    return Account(
        metadata=ObjectMeta(name="a"),
        spec=AccountSpec.model_validate({"email": "a@b.c", "state": state}),
    )


async def test_who_what_before_and_after(store: Store) -> None:
    """Creation, change and deletion are told with the actor and both states."""
    theirs = store.acting_as(ALICE)
    made = await theirs.create(account())
    made.spec.state = "Suspended"
    await theirs.update(made)
    await theirs.delete(Account, "a")
    records = await store.audit.list(uid=made.uid)

    assert ["delete", "update", "create"] == [record.verb for record in records]
    assert {ALICE} == {Actor(r.subject, r.role, r.via, r.request) for r in records}
    update = records[1]
    assert update.before is not None
    assert update.after is not None
    assert ("Active", "Suspended") == (
        update.before["spec"]["state"],
        update.after["spec"]["state"],
    )
    assert (None, None) == (records[2].before, records[0].after)


async def test_controllers_are_not_audited_and_plain_sql_is(
    store: Store, database_url: str
) -> None:
    """What a controller writes is no person's; what psql writes is its user's."""
    await store.create(account())
    with psycopg.connect(database_url, autocommit=True) as psql:
        psql.execute("""UPDATE accounts SET spec = spec || '{"state": "Suspended"}'""")
    records = await store.audit.list()

    assert [("update", "sql", "database")] == [(r.verb, r.via, r.role) for r in records]


async def test_a_dry_run_leaves_nothing(store: Store) -> None:
    """A dry run answers like the write, and neither row, log nor audit know of it."""
    theirs = store.acting_as(ALICE)
    before = await store.log.newest()
    tried = await theirs.create(account(), dry_run=True)

    assert tried.metadata.uid is not None
    assert await store.find(Account, "a") is None
    assert (before, []) == (await store.log.newest(), list(await store.audit.list()))


async def test_the_audit_is_only_added_to(store: Store, database_url: str) -> None:
    """Nobody changes what happened; only its age removes a record."""
    await store.acting_as(ALICE).create(account())
    with psycopg.connect(database_url, autocommit=True) as psql:
        for statement in (
            "UPDATE audit SET subject = 'bob'",
            "DELETE FROM audit",
            "TRUNCATE audit",
        ):
            with pytest.raises(psycopg.errors.CheckViolation):
                psql.execute(statement)
    kept = await store.audit.expire(store.clock.now(), timedelta(days=1))
    gone = await store.audit.expire(store.clock.now() + timedelta(days=2), timedelta(days=1))

    assert (0, 1) == (kept, gone)


async def test_a_person_may_write_a_status(store: Store) -> None:
    """A status written by a person is stored and audited like any other write."""
    made = await store.create(account())
    made.status.phase = "Ready"
    await store.acting_as(ALICE).update(made, with_status=True)
    record = (await store.audit.list())[0]

    assert (await store.get(Account, "a")).status.phase == "Ready"
    assert record.after is not None
    assert record.after["status"]["phase"] == "Ready"


async def test_a_read_is_told_without_what_was_read(store: Store) -> None:
    """Who asked, what they were given by name, and why they were refused; nothing is masked."""
    made = await store.create(account())
    await store.audit.note_read(ALICE, made.key, made.uid, given=["url", "key"])
    await store.audit.note_read(ALICE, made.key, made.uid, given=[], refused="role-not-allowed")
    records = await store.audit.list(uid=made.uid)

    assert [("read", [], "role-not-allowed"), ("read", ["url", "key"], "")] == [
        (record.verb, record.given, record.refused) for record in records
    ]
    assert {(ALICE, made.key, None, None)} == {
        (
            Actor(r.subject, r.role, r.via, r.request),
            Key(r.kind, r.namespace, r.name),
            r.before,
            r.after,
        )
        for r in records
    }
