"""Gateways' tokens: what is kept of them proves them, and gives nobody one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from cryptography.fernet import Fernet

from crds.credentials import Fingerprinter, GatewayTokens
from crds.gateways import MOST_CREDENTIALS, Credentials, credentials_name, read_credentials
from crds.secrets import Cipher, SecretError, Secrets
from crds.store import Store

pytestmark = pytest.mark.anyio

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
GATEWAY = UUID(int=7)
TOKEN = "hunter2-hunter2-hunter2"


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A store on a fresh database."""
    async with Store.opened(database_url) as opened:
        yield opened


def _secrets(store: Store) -> Secrets:
    return Secrets(store, Cipher([Fernet(Fernet.generate_key())]))


def test_a_token_is_known_by_its_digest() -> None:
    """Any of those that may have reached the droplet opens; nothing else does."""
    tokens = GatewayTokens(b"k" * 32)
    held = [tokens.digest(GATEWAY, "an older one"), tokens.digest(GATEWAY, TOKEN)]

    assert tokens.verify(GATEWAY, TOKEN, held)
    assert not tokens.verify(GATEWAY, f"{TOKEN}x", held)
    assert not tokens.verify(GATEWAY, "", held)
    assert not tokens.verify(GATEWAY, TOKEN, [])
    assert not tokens.verify(GATEWAY, held[1], held)


def test_a_token_is_one_gateways() -> None:
    """A digest that is copied to another gateway opens nothing there."""
    tokens = GatewayTokens(b"k" * 32)

    assert not tokens.verify(uuid4(), TOKEN, [tokens.digest(GATEWAY, TOKEN)])


def test_whoever_reads_the_digests_has_no_token() -> None:
    """A digest says nothing without the key."""
    one, other = (GatewayTokens(key * 32).digest(GATEWAY, TOKEN) for key in (b"a", b"b"))

    assert TOKEN not in one
    assert one != other
    assert 64 == len(one)


async def test_every_process_has_the_same_key(store: Store) -> None:
    """What one process made another one knows, and the key is for nothing else."""
    secrets = _secrets(store)
    digest = (await GatewayTokens.load(secrets)).digest(GATEWAY, TOKEN)
    again = await GatewayTokens.load(secrets)
    other = await Fingerprinter.load(secrets)

    assert again.verify(GATEWAY, TOKEN, [digest])
    assert not digest.startswith(other.of(f"{GATEWAY}:{TOKEN}".encode()))


async def test_credentials_survive_being_kept(store: Store) -> None:
    """What was written is read, and before the first try there are none."""
    secrets = _secrets(store)
    none = await read_credentials(secrets, "acme", "one")
    held = Credentials().plus("aa", NOON).plus("bb", NOON + timedelta(minutes=1))
    await secrets.put("acme", credentials_name("one"), held.to_bytes())

    assert none is None
    assert held == await read_credentials(secrets, "acme", "one")
    with pytest.raises(SecretError):
        await read_credentials(_secrets(store), "acme", "one")


def test_the_newest_tries_are_kept() -> None:
    """A droplet that comes to nothing again and again fills nothing up."""
    held = Credentials()
    for number in range(MOST_CREDENTIALS + 3):
        held = held.plus(str(number), NOON)

    assert [str(number) for number in range(3, MOST_CREDENTIALS + 3)] == [
        each.digest for each in held.held
    ]
