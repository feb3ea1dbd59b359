"""Supabase's signing keys: cached, rotated, not fetched more often than needed."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from api.keys import MAX_STALE_SECONDS, KeySet, KeysUnavailableError, algorithm_of, parse_keys
from tests.support.virtual_time import run

EC_KEY = ec.derive_private_key(0x1234567, ec.SECP256R1())


def jwk(kid: Any, **more: Any) -> dict[str, Any]:
    """A public key with this id."""
    public = jwt.algorithms.ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True)
    return {**public, "kid": kid, **more}


class Server:
    """A key server that counts, fails and rotates."""

    def __init__(self) -> None:
        self.kids = ["old"]
        self.fetches = 0
        self.down = False

    async def fetch(self) -> dict[str, Any]:
        """Serve after a while."""
        self.fetches += 1
        await asyncio.sleep(0.1)
        if self.down:
            raise OSError("down")
        return {"keys": [jwk(kid) for kid in self.kids]}


def play(scenario: Callable[[Server, KeySet], Coroutine[Any, Any, None]]) -> Server:
    """Run a scenario on virtual time."""
    server = Server()

    async def main() -> None:
        await scenario(server, KeySet(server.fetch))

    run(main, limit_seconds=10 * MAX_STALE_SECONDS)
    return server


def test_cached_for_ten_minutes_and_fetched_once() -> None:
    """However many ask, there is one fetch in ten minutes."""

    async def scenario(_: Server, keys: KeySet) -> None:
        for pause in (0, 300, 290):
            await asyncio.sleep(pause)
            found = await asyncio.gather(*(keys.find("old") for _ in range(20)))
            assert None not in found

    assert play(scenario).fetches == 1


def test_fetched_again_when_old() -> None:
    """After ten minutes the set is fetched anew, once, and withdrawn keys are gone."""

    async def scenario(server: Server, keys: KeySet) -> None:
        await keys.find("old")
        server.kids = ["new"]
        await asyncio.sleep(601)
        found = await asyncio.gather(*(keys.find("old") for _ in range(20)))
        assert found == [None] * 20

    assert play(scenario).fetches == 2


def test_rotation_is_noticed_at_once() -> None:
    """A token of a new key is accepted without waiting for the old set to age."""

    async def scenario(server: Server, keys: KeySet) -> None:
        await keys.find("old")
        server.kids = ["new", "old"]
        await asyncio.sleep(31)
        assert await keys.find("new") is not None
        assert await keys.find("old") is not None

    assert play(scenario).fetches == 2


def test_forged_key_ids_are_no_flood() -> None:
    """Made-up key ids cost at most one fetch in thirty seconds."""

    async def scenario(_: Server, keys: KeySet) -> None:
        for second in range(300):
            await asyncio.gather(*(keys.find(f"{second}.{n}") for n in range(10)))
            await asyncio.sleep(1)

    assert play(scenario).fetches <= 11


def test_outage_keeps_old_keys_for_a_day() -> None:
    """While the provider is down, known keys stand for a day and unknown ones are undecided."""

    async def scenario(server: Server, keys: KeySet) -> None:
        await keys.find("old")
        server.down = True
        await asyncio.sleep(3600)
        assert await keys.find("old") is not None
        with pytest.raises(KeysUnavailableError):
            await keys.find("new")
        await asyncio.sleep(MAX_STALE_SECONDS)
        with pytest.raises(KeysUnavailableError):
            await keys.find("old")
        server.down = False
        await asyncio.sleep(30)
        assert await keys.find("old") is not None

    play(scenario)


def test_no_keys_at_start() -> None:
    """An API that starts during an outage recovers with the first fetch that succeeds."""

    async def scenario(server: Server, keys: KeySet) -> None:
        server.down = True
        with pytest.raises(KeysUnavailableError):
            await keys.find("old")
        server.down = False
        assert await keys.find("old") is not None

    assert play(scenario).fetches == 2


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"kty": "EC", "crv": "P-256"}, "ES256"),
        ({"kty": "RSA"}, "RS256"),
        ({"kty": "EC", "crv": "P-256", "alg": "HS256"}, None),
        ({"kty": "RSA", "alg": "ES256"}, None),
        ({"kty": "EC", "crv": "P-384"}, None),
        ({"kty": "oct"}, None),
        ({"kty": "oct", "alg": "HS256"}, None),
        ({"kty": "OKP", "crv": "Ed25519"}, None),
        ({"kty": "RSA", "use": "enc"}, None),
        ({}, None),
    ],
)
def test_algorithm_is_pinned_by_key_type(document: dict[str, str], expected: str | None) -> None:
    """What a key may sign follows from its type, never from the token."""
    assert algorithm_of(document) == expected


def test_unusable_keys_are_left_out() -> None:
    """A broken, short or nameless key does not spoil the others."""
    short = rsa.generate_private_key(65537, 1024).public_key()  # noqa: S505 - to be refused
    document = {
        "keys": [
            jwk("good"),
            jwk(None),
            jwk(5),
            jwk("broken", x="!"),
            {"kty": "oct", "k": "AAAA", "kid": "secret"},
            {**jwt.algorithms.RSAAlgorithm.to_jwk(short, as_dict=True), "kid": "short"},
            "nonsense",
        ]
    }

    assert list(parse_keys(document)) == ["good"]
