"""The audit says who wrote what, also where several write in one transaction."""

from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from crds.account import Account, AccountSpec
from crds.meta import ObjectMeta
from crds.store import Actor, AuditRecord, Store
from tests.kubernetes.doors import ACCOUNTS, Door, account

pytestmark = pytest.mark.anyio

ACTOR = Actor("token:1:carol", "support", "console", "r1")
EDIT = 'UPDATE accounts SET spec = spec || \'{"plan": "Pro"}\' WHERE name = %s'


async def _make(store: Store, name: str) -> Account:
    meta = ObjectMeta(name=name)
    return await store.create(Account(metadata=meta, spec=AccountSpec(email="a@b.c")))


async def _write(connection: AsyncConnection[Any], found: Account, actor: Actor | None) -> None:
    """What the store does to write an object, in somebody's transaction."""
    await connection.execute(
        "SELECT * FROM write_object(%s, 0, NULL, NULL, %s, %s, NULL, '{\"a\": \"b\"}', '{}', '{}', "
        "'[]', '[]')",
        (found.uid, actor and Jsonb(actor._asdict()), Jsonb(found.spec.to_json())),
    )


async def _create(connection: AsyncConnection[Any], name: str, actor: Actor | None) -> None:
    spec = AccountSpec(email="a@b.c").to_json()
    await connection.execute(
        "SELECT * FROM create_object(NULL, 'Account', '', %s, now(), NULL, NULL, %s, %s, '{}', "
        "'{}', '{}', '{}', '[]', '[]')",
        (name, actor and Jsonb(actor._asdict()), Jsonb(spec)),
    )


async def _delete(connection: AsyncConnection[Any], name: str, actor: Actor | None) -> None:
    await connection.execute(
        "SELECT * FROM delete_object('Account', '', %s, NULL, 0, now(), NULL, NULL, %s)",
        (name, actor and Jsonb(actor._asdict())),
    )


def _who(records: list[AuditRecord]) -> dict[tuple[str, str], str]:
    return {(record.verb, record.name): record.via for record in records}


@pytest.mark.parametrize("actor", [ACTOR, None])
async def test_everybody_in_a_transaction_answers_for_their_own(
    door: Door, actor: Actor | None
) -> None:
    """An edit by SQL is its database user's, whatever else the transaction calls and in what order.

    What a controller writes stays out of the audit there too.
    """
    store = door.store
    made = {name: await _make(store, name) for name in ("a", "b", "c", "d", "e", "f")}
    already = len(await store.audit.list())
    async with store.database.pool.connection() as connection, connection.transaction():
        await connection.execute(EDIT, ("a",))
        await connection.execute("DELETE FROM accounts WHERE name = 'f'")
        await _write(connection, made["b"], actor)
        await connection.execute(EDIT, ("c",))
        await _create(connection, "new", actor)
        await _delete(connection, "d", actor)
        await connection.execute(EDIT, ("e",))
        await connection.execute("DELETE FROM accounts WHERE name = 'c'")
    records = list(await store.audit.list())
    edits = {
        ("update", "a"): "sql",
        ("delete", "f"): "sql",
        ("update", "c"): "sql",
        ("update", "e"): "sql",
        ("delete", "c"): "sql",
    }
    theirs = {("update", "b"), ("create", "new"), ("delete", "d")}

    assert edits | dict.fromkeys(theirs if actor else (), "console") == _who(
        records[: len(records) - already]
    )


async def test_the_log_has_every_change_of_a_mixed_transaction_once(door: Door) -> None:
    """Who watches sees all of it, in an order, whoever made which change."""
    store = door.store
    made = await _make(store, "a")
    await _make(store, "b")
    since = await store.log.newest()
    async with store.database.pool.connection() as connection, connection.transaction():
        await connection.execute(EDIT, ("b",))
        await _write(connection, made, ACTOR)
        await connection.execute(EDIT, ("b",))
        await connection.execute('UPDATE accounts SET annotations = \'{"x": "y"}\'')
    rows = await store.database.fetch(
        "SELECT resource_version, name FROM object_log WHERE resource_version > %s", since
    )
    versions = await store.database.fetch("SELECT name, resource_version FROM objects")
    last = {row["name"]: row["resource_version"] for row in rows}

    assert sorted("abab") == sorted(row["name"] for row in rows)
    assert last == {row["name"]: row["resource_version"] for row in versions if row["name"] in last}


async def test_what_does_not_happen_is_not_written_down(door: Door) -> None:
    """Dry runs, refusals, conflicts and writes without a change leave no record."""
    made = (await door.ask("POST", ACCOUNTS, account("a"))).json()
    path = f"{ACCOUNTS}/a"
    before = len(await door.store.audit.list())
    await door.ask("POST", f"{ACCOUNTS}?dryRun=All", account("b"))
    await door.patch(f"{path}?dryRun=All", {"spec": {"plan": "Pro"}})
    await door.ask("DELETE", f"{path}?dryRun=All")
    await door.ask("POST", ACCOUNTS, account("a"))
    await door.patch(path, {"spec": {"plan": "Gold"}})
    await door.patch(path, {"metadata": {"resourceVersion": "1"}, "spec": {"plan": "Pro"}})
    await door.ask("PUT", path, made)
    await door.ask("DELETE", path, {"preconditions": {"resourceVersion": "1"}})

    assert before == len(await door.store.audit.list())


async def test_what_goes_with_a_namespace_is_its_deleters(door: Door) -> None:
    """Whoever deletes a namespace deletes what is in it, and the audit says so."""
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "trial"}}
    await door.ask("POST", "/api/v1/namespaces", body)
    await door.ask(
        "POST",
        "/apis/invoker.dev/v1/namespaces/trial/workspaces",
        {"metadata": {"name": "main"}, "spec": {"subdomain": "trial"}},
    )
    await door.ask("DELETE", "/api/v1/namespaces/trial")
    records = [each for each in await door.store.audit.list() if each.kind == "Workspace"]

    assert ["delete", "create"] == [each.verb for each in records]
    assert ["kubernetes", "kubernetes"] == [each.via for each in records]
