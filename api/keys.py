"""Supabase's public signing keys: fetched, cached, rotated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from crds.clock import Clock

log = structlog.get_logger(__name__)

# Supabase serves its key set with `Cache-Control: max-age=600`.
MAX_AGE_SECONDS = 600
# An unknown key id may be a rotation or a forgery: forgeries must not become a flood of fetches.
REFETCH_SECONDS = 30
# A provider that is down must not lock users out at once, nor may withdrawn keys live for ever.
MAX_STALE_SECONDS = 24 * 3600
MIN_RSA_BITS = 2048

FetchKeys = Callable[[], Awaitable[Mapping[str, Any]]]
"""Gets the key set; raises whatever went wrong."""


class KeysUnavailableError(Exception):
    """The key set cannot be had, so nothing can be said about a token."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key and the one algorithm that its type allows."""

    algorithm: str
    key: Any


def algorithm_of(jwk: Mapping[str, Any]) -> str | None:
    """The algorithm a key may be used for, from its type alone; None: not for us."""
    if jwk.get("use", "sig") != "sig":
        return None
    pinned = {("EC", "P-256"): "ES256", ("RSA", None): "RS256"}
    algorithm = pinned.get((str(jwk.get("kty")), jwk.get("crv")))
    return algorithm if jwk.get("alg", algorithm) == algorithm else None


def parse_keys(document: Mapping[str, Any]) -> dict[str, SigningKey]:
    """The usable keys of a JWK set, by key id; others are left out."""
    found: dict[str, SigningKey] = {}
    for jwk in document.get("keys", []):
        kid = jwk.get("kid") if isinstance(jwk, dict) else None
        if not isinstance(kid, str) or (algorithm := algorithm_of(jwk)) is None:
            continue
        try:
            key = PyJWK(dict(jwk), algorithm=algorithm).key
        except (PyJWTError, ValueError, TypeError):
            log.warning("a signing key cannot be read", kid=kid)
            continue
        if not isinstance(key, RSAPublicKey) or key.key_size >= MIN_RSA_BITS:
            found[kid] = SigningKey(algorithm, key)
    return found


@dataclass(slots=True)
class KeySet:
    """The cached key set.

    Args:
        fetch: Gets the document.
    """

    fetch: FetchKeys
    _keys: dict[str, SigningKey] = field(default_factory=dict)
    _fetched_at: float | None = None
    _tried_at: float | None = None
    _attempts: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def find(self, kid: str) -> SigningKey | None:
        """The key with this id, None when there is none.

        Raises:
            KeysUnavailableError: There is no key set young enough to tell.
        """
        await self.ensure()
        if kid not in self._keys and self._since(self._tried_at) >= REFETCH_SECONDS:
            await self._refresh()
        if kid not in self._keys and self._fetched_at != self._tried_at:
            raise KeysUnavailableError
        return self._keys.get(kid)

    async def ensure(self) -> None:
        """Have a key set that is young enough.

        Raises:
            KeysUnavailableError: There is none, and it cannot be fetched.
        """
        old = self._since(self._fetched_at) >= MAX_AGE_SECONDS
        # While the provider is down, one request in thirty seconds pays for the attempt;
        # without any keys, every one does.
        waited = self._fetched_at is None or self._since(self._tried_at) >= REFETCH_SECONDS
        if old and waited:
            await self._refresh()
        if self._since(self._fetched_at) >= MAX_STALE_SECONDS:
            raise KeysUnavailableError

    async def _refresh(self) -> None:
        attempts = self._attempts
        async with self._lock:
            if self._attempts != attempts:
                return  # somebody tried while we waited for the lock: that answer is ours too
            try:
                document = await self.fetch()
            except Exception as error:  # noqa: BLE001 - whatever it is, the old keys still stand
                log.warning("the signing keys cannot be fetched", error=type(error).__name__)
                self._tried_at = Clock.monotonic()
            else:
                self._keys = parse_keys(document)
                self._fetched_at = self._tried_at = Clock.monotonic()
            self._attempts += 1

    @staticmethod
    def _since(moment: float | None) -> float:
        return float("inf") if moment is None else Clock.monotonic() - moment
