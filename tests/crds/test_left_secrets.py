"""Secrets of objects that are gone: which are found, and what keeps one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from cryptography.fernet import Fernet

from crds.connection import connection_name, keys_name, variables_name
from crds.devenv import DevEnv, DevEnvSpec
from crds.gateways import credentials_name
from crds.machine import Machine, MachineSpec
from crds.meta import ObjectMeta
from crds.secrets import Cipher, Secrets
from crds.store import Store
from crds.store.left_secrets import left_secrets, remove_left_secret
from crds.store.tombstones import Tombstones
from crds.vps import Vps, VpsSpec

pytestmark = pytest.mark.anyio

NAMES = (
    keys_name("shop"),
    connection_name("shop"),
    variables_name("shop"),
    credentials_name("shop"),
)
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A store with the secrets of three objects, and one that is nobody's business here."""
    async with Store.opened(database_url) as opened:
        secrets = Secrets(opened, Cipher([Fernet(Fernet.generate_key())]))
        for name in (*NAMES, "another/shop/sort"):
            await secrets.put("acme", name, b"hunter2")
        yield opened


async def _made(store: Store) -> tuple[DevEnv, Machine, Vps]:
    meta = ObjectMeta(name="shop", namespace="acme")
    devenv = DevEnv(metadata=meta, spec=DevEnvSpec(client="acme", app="shop"))
    machine = Machine(metadata=meta.model_copy(), spec=MachineSpec(account="acme", image="x"))
    vps = Vps(metadata=meta.model_copy(), spec=VpsSpec())
    return await store.create(devenv), await store.create(machine), await store.create(vps)


async def _gone(store: Store) -> None:
    """All rows are gone, and everything outside."""
    for made in await _made(store):
        await store.delete(type(made), "shop", "acme")
        await Tombstones(store.database).note_gone([made.uid], NOON)


async def _left(store: Store) -> list[str]:
    return sorted(each.name for each in await left_secrets(store.database))


async def test_secrets_of_what_is_gone_are_left(store: Store) -> None:
    """Without a row, and with nothing outside, they are nobody's."""
    await _gone(store)

    assert sorted(NAMES) == await _left(store)


async def test_what_is_not_surely_gone_keeps_its_secrets(store: Store) -> None:
    """A row keeps them, what may be left outside does, and so does never having been known."""
    unknown = await _left(store)
    made = await _made(store)
    there = await _left(store)
    for each in made:
        await store.delete(type(each), "shop", "acme")
    outside = await _left(store)

    assert [[], [], []] == [unknown, there, outside]


async def test_what_is_made_anew_keeps_its_secrets(store: Store) -> None:
    """A name that is in use again is not judged by its tombstone."""
    await _gone(store)
    found = await left_secrets(store.database)
    await _made(store)
    removed = [await remove_left_secret(store.database, left) for left in found]

    assert [False] * len(NAMES) == removed
    assert [] == await _left(store)


async def test_what_was_written_since_stays(store: Store) -> None:
    """Whoever writes a secret before the row that will refer to it finds it there."""
    await _gone(store)
    found = await left_secrets(store.database)
    secrets = Secrets(store, Cipher([Fernet(Fernet.generate_key())]))
    await secrets.put("acme", NAMES[2], b"new")
    removed = {left.name: await remove_left_secret(store.database, left) for left in found}

    assert {name: name != NAMES[2] for name in NAMES} == removed
