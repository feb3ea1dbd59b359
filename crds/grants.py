"""Grants: a user's consent on its way to becoming tokens, and the tokens; all of it secret."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Final, Self

from crds.secrets import Secrets

CODE_LIFETIME: Final = timedelta(minutes=10)
"""For how long an authorisation code is good (DigitalOcean, OAuth API)."""
SCOPES: Final = ("read", "write")
"""What is asked for: droplets are made, changed and destroyed."""


def grant_name(connection: str) -> str:
    """The secret that holds a connection's tokens; there is none without a grant."""
    return f"cloud-connection/{connection}/grant"


def consent_name(connection: str) -> str:
    """The secret that holds what a user brought back, until it has become a grant."""
    return f"cloud-connection/{connection}/consent"


@dataclass(frozen=True, slots=True)
class Consent:
    """What a user brought back from the provider; good for one exchange.

    Attributes:
        code: The authorisation code.
        verifier: Proves to the provider that who began is who ends (RFC 7636).
        given_at: When it came.
    """

    code: str = field(repr=False)
    verifier: str = field(repr=False)
    given_at: datetime

    def to_bytes(self) -> bytes:
        """As kept, before encryption."""
        return json.dumps({**asdict(self), "given_at": self.given_at.isoformat()}).encode()

    @classmethod
    def from_bytes(cls, value: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        data = json.loads(value)
        return cls(**{**data, "given_at": datetime.fromisoformat(data["given_at"])})


_TIMES: Final = ("granted_at", "given_at", "expires_at")


@dataclass(frozen=True, slots=True)
class Grant:
    """A connection's tokens.

    Attributes:
        client: The application that they were given to; they are nobody else's.
        scopes: What they allow.
        access: The access token.
        refresh: The refresh token, good for one use.
        granted_at: When the user's consent became a grant.
        given_at: When the provider gave these tokens.
        expires_at: When the access token ends.
    """

    client: str
    scopes: tuple[str, ...]
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    granted_at: datetime
    given_at: datetime
    expires_at: datetime

    def to_bytes(self) -> bytes:
        """As kept, before encryption; equal ones are the same bytes."""
        times = {name: getattr(self, name).isoformat() for name in _TIMES}
        return json.dumps({**asdict(self), **times}).encode()

    @classmethod
    def from_bytes(cls, value: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        data = json.loads(value)
        times = {name: datetime.fromisoformat(data[name]) for name in _TIMES}
        return cls(**{**data, **times, "scopes": tuple(data["scopes"])})


async def read_grant(secrets: Secrets, namespace: str, connection: str) -> Grant | None:
    """A connection's tokens; None without a grant.

    Raises:
        SecretError: No configured key decrypts them.
    """
    value = await secrets.get(namespace, grant_name(connection))
    return None if value is None else Grant.from_bytes(value)


async def read_consent(secrets: Secrets, namespace: str, connection: str) -> Consent | None:
    """What a user brought back and nobody has exchanged yet.

    Raises:
        SecretError: No configured key decrypts it.
    """
    value = await secrets.get(namespace, consent_name(connection))
    return None if value is None else Consent.from_bytes(value)


def challenge_of(verifier: str) -> str:
    """The challenge that a verifier answers (RFC 7636, 4.2: S256)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
