"""An account's VPSs: counted, told of its state, and gone before the connection they need."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from controller.account import AccountReconciler
from controller.engine import EventRecorder, Request
from controller.kind import FINALIZER
from crds.account import Account, AccountSpec
from crds.cloud_connection import DIGITALOCEAN, CloudConnection, CloudConnectionSpec
from crds.meta import Key, ObjectMeta, Resource
from crds.store import Store
from crds.vps import Vps, VpsSpec

pytestmark = pytest.mark.anyio

ACCOUNT = Key("Account", "", "acme")


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An account with a connection and a Vps."""
    async with Store.opened(database_url) as store:
        await store.create(
            Account(
                metadata=ObjectMeta(name="acme", finalizers=[FINALIZER]),
                spec=AccountSpec(email="a@example.com"),
            )
        )
        connection = CloudConnection(metadata=_named(DIGITALOCEAN), spec=CloudConnectionSpec())
        await store.create(connection)
        await store.create(Vps(metadata=_named("one"), spec=VpsSpec()))
        yield store


def _named(name: str) -> ObjectMeta:
    return ObjectMeta(name=name, namespace="acme", finalizers=[FINALIZER])


async def _reconcile(store: Store) -> list[Key]:
    """Look after the account; returns what was woken."""
    woken: list[Key] = []
    recorder = EventRecorder(store.events, store.clock)
    await AccountReconciler(store, recorder, woken.append).reconcile(Request(ACCOUNT))
    return woken


async def test_they_are_counted_and_heed_its_state(store: Store) -> None:
    """The status tells how many there are; another state wakes them once."""
    await _reconcile(store)
    account = await store.get(Account, "acme")
    account.spec.state = "Suspended"
    await store.update(account)
    woken = [await _reconcile(store), await _reconcile(store)]

    assert 1 == account.status.vpses
    assert [[Key("Vps", "acme", "one")], []] == woken


async def test_they_go_before_their_connection(store: Store) -> None:
    """Without the grant nobody could destroy their droplets."""
    await store.delete(Account, "acme")
    await _reconcile(store)
    first = await _deleting(store)
    vps = await store.get(Vps, "one", "acme")
    vps.metadata.finalizers = []
    await store.update(vps)
    await _reconcile(store)

    assert (True, False) == first
    assert (None, True) == await _deleting(store)


async def _deleting(store: Store) -> tuple[bool | None, bool | None]:
    """Whether the Vps and the connection are asked to go; None of what is gone."""
    vps = await store.find(Vps, "one", "acme")
    connection = await store.find(CloudConnection, DIGITALOCEAN, "acme")
    return _asked(vps), _asked(connection)


def _asked(resource: Resource | None) -> bool | None:
    return None if resource is None else resource.deleting
