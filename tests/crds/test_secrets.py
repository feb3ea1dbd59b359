"""Secrets are ciphertext in the database, and their keys can be rotated."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet

from crds.credentials import MachineTokens
from crds.errors import FencedError
from crds.secrets import Cipher, SecretError, Secrets
from crds.store import Store
from crds.store.leases import Fence

pytestmark = pytest.mark.anyio

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A store on a fresh database."""
    async with Store.opened(database_url) as opened:
        yield opened


async def ciphertexts(store: Store) -> list[bytes]:
    """What a thief of the database would have."""
    return [row["ciphertext"] for row in await store.database.fetch("SELECT * FROM secrets")]


async def test_only_ciphertext_is_stored(store: Store) -> None:
    """The plain value is nowhere in the table."""
    secrets = Secrets(store, Cipher.from_keys(OLD))
    await secrets.put("ns", "name", b"hunter2")

    assert await secrets.get("ns", "name") == b"hunter2"
    assert all(b"hunter2" not in text for text in await ciphertexts(store))


async def test_rotation(store: Store) -> None:
    """After rotation the old key is not needed any more, and nothing is lost."""
    await Secrets(store, Cipher.from_keys(OLD)).put("ns", "name", b"hunter2")
    both = Secrets(store, Cipher.from_keys(f"{NEW},{OLD}"))

    assert await both.get("ns", "name") == b"hunter2"
    assert await both.rotate() == 1
    assert await Secrets(store, Cipher.from_keys(NEW)).get("ns", "name") == b"hunter2"
    with pytest.raises(SecretError):
        await Secrets(store, Cipher.from_keys(OLD)).get("ns", "name")


async def test_the_first_value_holds(store: Store) -> None:
    """Two processes that make the same secret at once agree on one."""
    secrets = Secrets(store, Cipher.from_keys(OLD))

    assert await secrets.ensure("ns", "name", b"first") == b"first"
    assert await secrets.ensure("ns", "name", b"second") == b"first"


async def test_a_deleted_secret_is_gone(store: Store) -> None:
    """Deleting twice is no error."""
    secrets = Secrets(store, Cipher.from_keys(OLD))
    await secrets.put("ns", "name", b"x")
    await secrets.delete("ns", "name")
    await secrets.delete("ns", "name")

    assert await secrets.get("ns", "name") is None


def test_a_bad_key_is_named_by_position_only() -> None:
    """The message tells which key is wrong, and does not repeat it."""
    with pytest.raises(SecretError, match="encryption key 2") as caught:
        Cipher.from_keys(f"{OLD},hunter2")

    assert "hunter2" not in str(caught.value)


async def test_machine_tokens_agree_between_processes(store: Store) -> None:
    """API and controller derive the same token, and it is nobody else's."""
    cipher = Cipher.from_keys(OLD)
    one, other = await MachineTokens.load(store, cipher), await MachineTokens.load(store, cipher)
    machine = uuid4()
    token = one.issue(machine)

    assert other.verify(machine, token)
    assert not other.verify(uuid4(), token)
    for forged in ("", "1.", token[:-1], f"2{token[1:]}", token + "x", "é.é"):
        assert not other.verify(machine, forged)


def test_old_hub_keys_still_verify() -> None:
    """A rotated hub key issues; machines that hold the former one's tokens are still known."""
    machine = uuid4()
    old = MachineTokens({"1": b"a" * 32}).issue(machine)
    rotated = MachineTokens({"1": b"a" * 32, "2": b"b" * 32})

    assert rotated.verify(machine, old)
    assert rotated.issue(machine).startswith("2.")


async def test_who_lost_the_lease_writes_no_secret(store: Store) -> None:
    """Neither puts, makes nor removes one: it would outlive what the new owner does."""
    taken = await store.leases.acquire("shard/0", "r1", seen=None, duration=60)
    assert taken is not None
    lost = Fence("shard/0", taken.epoch - 1)
    secrets = Secrets(store, Cipher.from_keys(OLD))
    await secrets.put("ns", "name", b"hunter2", fence=Fence("shard/0", taken.epoch))

    with pytest.raises(FencedError):
        await secrets.put("ns", "name", b"hunter3", fence=lost)
    with pytest.raises(FencedError):
        await secrets.ensure("ns", "another", b"hunter3", fence=lost)
    with pytest.raises(FencedError):
        await secrets.replace("ns", "name", b"hunter2", b"hunter3", fence=lost)
    await secrets.delete("ns", "name", fence=lost)

    assert await secrets.get("ns", "name") == b"hunter2"
    assert await secrets.get("ns", "another") is None
