"""Namespaces: the accounts', those that operators make, and how these go."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import psycopg
import pytest

from api.access import Identity
from api.kubernetes.namespaces import NamespaceSource
from api.kubernetes.served import Change, Wish
from crds.account import Account, AccountSpec
from crds.meta import ObjectMeta
from crds.namespace import CONTENTS, Namespace
from crds.store import Store
from crds.workspace import Workspace, WorkspaceSpec
from tests.kubernetes.doors import Door, account

pytestmark = pytest.mark.anyio

Json = dict[str, Any]

NAMESPACES = "/api/v1/namespaces"
WISH = Wish(Identity("token:1:ops", "platform-admin"), "request")


def manifest(name: str, **metadata: Any) -> Json:
    """A namespace's manifest."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, **metadata}}


async def make(door: Door, name: str, **metadata: Any) -> Json:
    """Make a namespace."""
    made = await door.ask("POST", NAMESPACES, manifest(name, **metadata))
    assert made.status_code == 201, made.text
    body: Json = made.json()
    return body


async def names(door: Door, **query: str) -> list[str]:
    """The names of a list."""
    found = await door.ask("GET", NAMESPACES, params=query)
    return [item["metadata"]["name"] for item in found.json()["items"]]


async def hold(store: Store, namespace: str, *finalizers: str) -> Workspace:
    """A workspace that somebody holds."""
    meta = ObjectMeta(name="main", namespace=namespace, finalizers=[*finalizers])
    return await store.create(Workspace(metadata=meta, spec=WorkspaceSpec(subdomain="held")))


async def let_go(store: Store, namespace: str) -> None:
    """Nobody holds it any more."""
    held = await store.get(Workspace, "main", namespace)
    held.metadata.finalizers = []
    await store.update(held)


async def test_accounts_have_namespaces(door: Door) -> None:
    """An account's namespace is there with it, beside the two that always are."""
    await door.ask("POST", "/apis/invoker.dev/v1/accounts", account("alice"))

    assert ["alice", "default", "invoker-system"] == await names(door)
    found = (await door.ask("GET", f"{NAMESPACES}/alice")).json()
    assert "Active" == found["status"]["phase"]
    assert {
        "invoker.dev/account": "alice",
        "kubernetes.io/metadata.name": "alice",
    } == found["metadata"]["labels"]
    assert ["alice"] == await names(door, labelSelector="invoker.dev/account")
    assert 404 == (await door.ask("GET", f"{NAMESPACES}/bob")).status_code


async def test_a_list_goes_on_after_its_pages(door: Door) -> None:
    """Pages are in the order of names and leave nothing out."""
    await make(door, "zoo")
    first = (await door.ask("GET", NAMESPACES, params={"limit": "2"})).json()
    token = first["metadata"]["continue"]

    assert ["zoo"] == await names(door, **{"limit": "2", "continue": token})


async def test_an_operator_makes_and_removes_one(door: Door) -> None:
    """It is there as in any cluster, and with nothing in it it goes at once."""
    made = await make(door, "staging", labels={"tier": "test"})
    again = await door.ask("POST", NAMESPACES, manifest("staging"))
    gone = await door.ask("DELETE", f"{NAMESPACES}/staging")

    assert {"kubernetes.io/metadata.name": "staging", "tier": "test"} == made["metadata"]["labels"]
    assert ("v1", "Active") == (made["apiVersion"], made["status"]["phase"])
    assert "finalizers" not in made["metadata"]
    assert (409, "AlreadyExists") == (again.status_code, again.json()["reason"])
    assert (200, "Success") == (gone.status_code, gone.json()["status"])
    assert ["default", "invoker-system"] == await names(door)


@pytest.mark.parametrize(
    ("name", "code"), [("default", 409), ("alice", 409), ("a.b", 422), ("A", 422), ("a" * 64, 422)]
)
async def test_a_name_that_is_taken_or_no_label_is_refused(
    door: Door, name: str, code: int
) -> None:
    """A namespace of an account, or one that is always there, is not made anew."""
    await door.ask("POST", "/apis/invoker.dev/v1/accounts", account("alice"))

    assert code == (await door.ask("POST", NAMESPACES, manifest(name))).status_code


async def test_labels_and_annotations_can_be_changed(door: Door) -> None:
    """Merge patches and strategic ones are taken; what holds the namespace stays."""
    await make(door, "staging")
    for type_ in ("merge-patch+json", "strategic-merge-patch+json"):
        patch = {"metadata": {"annotations": {type_[:5]: "x"}, "finalizers": None}}
        assert 200 == (await door.patch(f"{NAMESPACES}/staging", patch, type_)).status_code

    row = await door.store.get(Namespace, "staging")
    assert {"merge": "x", "strat": "x"} == row.metadata.annotations
    assert [CONTENTS] == row.metadata.finalizers


@pytest.mark.parametrize("verb", ["DELETE", "PATCH"])
async def test_an_accounts_namespace_is_the_accounts(door: Door, verb: str) -> None:
    """It is neither deleted nor changed by itself; people are told what to do."""
    await door.ask("POST", "/apis/invoker.dev/v1/accounts", account("alice"))
    patch = {"metadata": {"labels": {"a": "b"}}}
    ask = door.ask("DELETE", f"{NAMESPACES}/alice") if verb == "DELETE" else None
    refused = await (ask or door.patch(f"{NAMESPACES}/alice", patch))
    constant = await door.ask("DELETE", f"{NAMESPACES}/default")

    assert 403 == refused.status_code
    assert "the account 'alice' instead" in refused.json()["message"]
    assert 403 == constant.status_code


async def test_a_namespace_goes_after_its_contents(door: Door) -> None:
    """Deletion is asked for of everything in it; it is terminating until nothing is left."""
    await make(door, "staging")
    await hold(door.store, "staging", "test.example/hold")
    left = (await door.ask("DELETE", f"{NAMESPACES}/staging")).json()

    assert "Terminating" == left["status"]["phase"]
    assert (await door.store.get(Workspace, "main", "staging")).deleting
    assert "staging" in await names(door)
    assert ["staging"] == await names(door, fieldSelector="status.phase=Terminating")
    await let_go(door.store, "staging")
    assert "staging" not in await names(door)
    assert await door.store.find(Namespace, "staging") is None


async def test_what_is_made_in_a_terminating_namespace_goes_too(door: Door) -> None:
    """Every look asks anew for the deletion of whatever is there."""
    await make(door, "staging")
    await hold(door.store, "staging", "test.example/hold")
    await door.ask("DELETE", f"{NAMESPACES}/staging")
    await let_go(door.store, "staging")
    await hold(door.store, "staging")

    assert 404 == (await door.ask("GET", f"{NAMESPACES}/staging")).status_code
    assert await door.store.find(Workspace, "main", "staging") is None


async def test_a_dry_run_keeps_everything(door: Door) -> None:
    """Neither is a namespace made nor anything in one deleted."""
    params = {"dryRun": "All"}
    await door.ask("POST", NAMESPACES, manifest("none"), params=params)
    await make(door, "staging")
    await hold(door.store, "staging")
    left = await door.ask("DELETE", f"{NAMESPACES}/staging", params=params)

    assert "Terminating" == left.json()["status"]["phase"]
    assert ["default", "invoker-system", "staging"] == await names(door)
    assert not (await door.store.get(Workspace, "main", "staging")).deleting


async def test_a_precondition_guards_the_deletion(door: Door) -> None:
    """One that was made anew meanwhile is not deleted in place of the old one."""
    await make(door, "staging")
    options = {"preconditions": {"uid": "8a6e0804-2bd0-4672-b79d-d97027f9071a"}}
    refused = await door.ask("DELETE", f"{NAMESPACES}/staging", options)

    assert 409 == refused.status_code


async def test_an_owner_sees_only_their_own(door: Door) -> None:
    """An account's owner gets their namespace and no list."""
    for name in ("alice", "bob"):
        await door.ask("POST", "/apis/invoker.dev/v1/accounts", account(name))
    token = await door.token("account-owner", "alice")

    codes = [
        (await door.ask("GET", f"{NAMESPACES}{path}", token=token)).status_code
        for path in ("/alice", "/bob", "")
    ]
    assert [200, 403, 403] == codes


async def collect(source: NamespaceSource, since: int, count: int) -> list[Change]:
    """The first changes after a version."""
    found: list[Change] = []
    async with asyncio.timeout(10), aclosing(source.changes(since)) as batches:  # type: ignore[type-var]  # it is a generator
        async for batch in batches:
            found += batch.changes
            if len(found) >= count:
                break
    return found


async def test_a_watch_tells_of_accounts_and_namespaces(door: Door) -> None:
    """An account that comes and goes is a namespace that does; its status is not seen in it."""
    store = door.store
    source = NamespaceSource(store, door.service.api.feed)
    _, since = await source.snapshot(None)
    made = await store.create(
        Account(metadata=ObjectMeta(name="alice"), spec=AccountSpec(email="a@b.c"))
    )
    made.status.workspaces = 1
    await store.update_status(made)
    await source.create(manifest("staging"), WISH)
    await store.delete(Account, "alice")

    changes = await collect(source, since, 3)
    assert [("ADDED", "alice"), ("ADDED", "staging"), ("DELETED", "alice")] == [
        (change.type, change.object["metadata"]["name"]) for change in changes
    ]
    assert {"v1"} == {change.object["apiVersion"] for change in changes}


async def test_whoever_waits_brings_it_to_its_end(door: Door) -> None:
    """A watch sees the last object go, takes the last step, and sees the namespace go."""
    store = door.store
    source = NamespaceSource(store, door.service.api.feed)
    made = await source.create(manifest("staging"), WISH)
    await hold(store, "staging", "test.example/hold")
    await source.delete(made, WISH, uid=None, resource_version=0)
    since = int(made["metadata"]["resourceVersion"])
    waiting = asyncio.create_task(collect(source, since, 2))
    await let_go(store, "staging")

    assert ["MODIFIED", "DELETED"] == [each.type for each in await waiting]


async def test_a_row_of_an_unknown_kind_holds_its_namespace(door: Door, database_url: str) -> None:
    """What this version cannot delete is not left behind."""
    await make(door, "staging")
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as psql:
        await psql.execute(
            "INSERT INTO objects (kind, namespace, name) VALUES ('Future', 'staging', 'x')"
        )
    left = await door.ask("DELETE", f"{NAMESPACES}/staging")

    assert "Terminating" == left.json()["status"]["phase"]
    assert 200 == (await door.ask("GET", f"{NAMESPACES}/staging")).status_code
