"""What gateways prove themselves with: only keyed hashes are kept, among the secrets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from crds.secrets import Secrets

GATEWAY_VERSION: Final = "1.0.0"
"""The release of the gateway's program that goes with this tree (`deploy/gateway`)."""

MOST_CREDENTIALS: Final = 16
"""So many are kept: one for each try to make the droplet whose outcome may yet show."""


def credentials_name(vps: str) -> str:
    """The secret that holds the hashes of a Vps' gateway, from its first try to its deletion."""
    return f"vps/{vps}/gateway"


@dataclass(frozen=True, slots=True)
class Credential:
    """A gateway's token, as far as it is kept.

    Attributes:
        digest: Keyed hash of the token, in hexadecimal (`crds.credentials.GatewayTokens`).
        made_at: When it was made.
    """

    digest: str
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Credentials:
    """All tokens that a Vps' gateway may have been given, oldest first.

    Attributes:
        held: What is kept of each.
    """

    held: tuple[Credential, ...] = ()

    def plus(self, digest: str, made_at: datetime) -> Self:
        """These and a new one; the oldest ones go when there are too many."""
        every = (*self.held, Credential(digest, made_at))
        return type(self)(every[-MOST_CREDENTIALS:])

    def to_bytes(self) -> bytes:
        """As kept, before encryption."""
        return json.dumps([[each.digest, each.made_at.isoformat()] for each in self.held]).encode()

    @classmethod
    def from_bytes(cls, value: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        return cls(tuple(Credential(d, datetime.fromisoformat(at)) for d, at in json.loads(value)))


async def read_credentials(secrets: Secrets, namespace: str, vps: str) -> Credentials | None:
    """What is kept of a Vps' gateway's tokens; None when none was ever made.

    Raises:
        SecretError: No configured key decrypts it.
    """
    held = await secrets.get(namespace, credentials_name(vps))
    return None if held is None else Credentials.from_bytes(held)
