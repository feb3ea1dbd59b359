"""Credentials of programs: machines' derived tokens, gateways' random ones, and shared ones."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets as random
from collections.abc import Iterable
from uuid import UUID

from pydantic import SecretStr

from crds.secrets import Cipher, Secrets
from crds.store import Store

SYSTEM = "invoker-system"
HUB_KEYS = "hub-keys"
FINGERPRINT_KEY = "fingerprint-key"
GATEWAY_KEY = "gateway-key"
FINGERPRINT_BYTES = 12
KEY_BYTES = 32


class MachineTokens:
    """Issues and verifies machine tokens.

    A token is `<key id>.<base64url HMAC-SHA256(hub key, "machine:" + uid)>` (docs/protocols.md):
    it needs no storage, says nothing about another machine's, and falls with its key.

    Args:
        keys: Hub keys by id; the last one issues, all of them verify.
    """

    def __init__(self, keys: dict[str, bytes]) -> None:
        self._keys = keys

    @classmethod
    async def load(cls, store: Store, cipher: Cipher) -> MachineTokens:
        """Read the hub keys, making the first one when there is none.

        Raises:
            SecretError: They cannot be decrypted with the configured keys.
        """
        first = {"1": base64.b64encode(random.token_bytes(KEY_BYTES)).decode()}
        held = await Secrets(store, cipher).ensure(SYSTEM, HUB_KEYS, json.dumps(first).encode())
        return cls({key: base64.b64decode(value) for key, value in json.loads(held).items()})

    def issue(self, machine: UUID) -> str:
        """The token of a machine."""
        newest = next(reversed(self._keys))
        return f"{newest}.{self._digest(self._keys[newest], machine)}"

    def verify(self, machine: UUID, token: str) -> bool:
        """Whether this is the machine's token, in constant time."""
        key_id, _, digest = token.partition(".")
        key = self._keys.get(key_id)
        if key is None:
            return False
        return hmac.compare_digest(self._digest(key, machine).encode(), digest.encode())

    @staticmethod
    def _digest(key: bytes, machine: UUID) -> str:
        digest = hmac.new(key, f"machine:{machine}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Fingerprinter:
    """Keyed hashes that stand in rows in place of what is secret.

    Nobody who reads one can try out values on it.

    Args:
        key: At least 32 bytes that are used for nothing else (RFC 2104's advice for SHA-256).
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    async def load(cls, secrets: Secrets) -> Fingerprinter:
        """Read the key, making it when there is none.

        Raises:
            SecretError: It cannot be decrypted with the configured keys.
        """
        return cls(await secrets.ensure(SYSTEM, FINGERPRINT_KEY, random.token_bytes(KEY_BYTES)))

    def of(self, value: bytes) -> str:
        """The fingerprint of a value: 24 hexadecimal digits."""
        return hmac.digest(self._key, value, "sha256")[:FINGERPRINT_BYTES].hex()


class GatewayTokens:
    """Makes gateways' tokens and tells them by what is kept of them.

    A token is random; kept is only its HMAC-SHA256, so that who reads the database has none.

    Args:
        key: At least 32 bytes that are used for nothing else.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    async def load(cls, secrets: Secrets) -> GatewayTokens:
        """Read the key, making it when there is none.

        Raises:
            SecretError: It cannot be decrypted with the configured keys.
        """
        return cls(await secrets.ensure(SYSTEM, GATEWAY_KEY, random.token_bytes(KEY_BYTES)))

    def digest(self, gateway: UUID, token: str) -> str:
        """What is kept of a gateway's token: 64 hexadecimal digits."""
        return hmac.digest(self._key, f"{gateway}:{token}".encode(), "sha256").hex()

    def verify(self, gateway: UUID, token: str, digests: Iterable[str]) -> bool:
        """Whether a token is one of those of which this was kept, in constant time."""
        given = self.digest(gateway, token)
        return any(hmac.compare_digest(given, digest) for digest in digests)


def bears(authorization: str | None, token: SecretStr) -> bool:
    """Whether an `Authorization` header shows a bearer token, in constant time.

    Args:
        authorization: The header's value, or None without one.
        token: What it has to show.
    """
    scheme, _, given = (authorization or "").partition(" ")
    same = hmac.compare_digest(given.strip().encode(), token.get_secret_value().encode())
    return scheme.lower() == "bearer" and same
