"""An account and its dev environments: counted, woken, and gone before what they own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from controller.account import AccountReconciler
from controller.engine import EventRecorder, Request
from controller.kind import FINALIZER
from controller.mapping import devenv_dependents
from crds.account import Account, AccountSpec
from crds.devenv import DevEnv, DevEnvSpec
from crds.machine import Machine, MachineSpec
from crds.meta import Key, ObjectMeta
from crds.store import Store, WatchEvent

pytestmark = pytest.mark.anyio

ACCOUNT = Key("Account", "", "acme")
DEVENV = Key("DevEnv", "acme", "erp")


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An account with a dev environment and one of its machines."""
    async with Store.opened(database_url) as store:
        await store.create(
            Account(metadata=ObjectMeta(name="acme"), spec=AccountSpec(email="a@example.com"))
        )
        meta = ObjectMeta(name="erp", namespace="acme", finalizers=[FINALIZER])
        spec = DevEnvSpec(client="acme", app="erp")
        devenv = await store.create(DevEnv(metadata=meta, spec=spec))
        await store.create(
            Machine(
                metadata=ObjectMeta(
                    name="erp-kong",
                    namespace="acme",
                    finalizers=[FINALIZER],
                    owner_references=[devenv.owner_reference()],
                ),
                spec=MachineSpec(account="acme", image="kong"),
            )
        )
        yield store


async def reconcile(store: Store) -> list[Key]:
    """Look after the account; returns what was woken."""
    woken: list[Key] = []
    recorder = EventRecorder(store.events, store.clock)
    await AccountReconciler(store, recorder, woken.append).reconcile(Request(ACCOUNT))
    return woken


async def test_they_are_counted_and_heed_its_state(store: Store) -> None:
    """The status tells how many there are; another state wakes them once, and stops none itself."""
    await reconcile(store)
    account = await store.get(Account, "acme")
    account.spec.state = "Suspended"
    await store.update(account)
    woken = [await reconcile(store), await reconcile(store)]

    assert (1, 0) == (account.status.devenvs, account.status.workspaces)
    assert [[DEVENV], []] == woken
    assert "Running" == (await store.get(Machine, "erp-kong", "acme")).spec.power


async def test_they_go_before_what_they_own(store: Store) -> None:
    """At an account's end its dev environments stop their services in order: nobody else does."""
    await reconcile(store)
    await store.delete(Account, "acme")
    await reconcile(store)
    devenv = await store.get(DevEnv, "erp", "acme")
    machine = await store.get(Machine, "erp-kong", "acme")

    assert (True, False) == (devenv.deleting, machine.deleting)


@pytest.mark.parametrize(
    ("type_", "targets"),
    [
        ("ADDED", [("Account", ACCOUNT)]),
        ("DELETED", [("Account", ACCOUNT)]),
        ("MODIFIED", []),
    ],
)
def test_one_that_comes_or_goes_wakes_its_account(
    type_: str, targets: list[tuple[str, Key]]
) -> None:
    """What changes about one does not change how many there are."""
    event = WatchEvent(type_, 1, DEVENV, uuid4(), True, {}, None)  # type: ignore[arg-type]  # a type by its name

    assert targets == [*devenv_dependents(event)]
