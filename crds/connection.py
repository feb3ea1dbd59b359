"""Keys of a dev environment, and what its users are told to connect: kept among the secrets."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Self

from crds.secrets import Secrets


def keys_name(devenv: str) -> str:
    """The secret that holds a dev environment's keys, from its first start to its deletion."""
    return f"devenv/{devenv}/keys"


def connection_name(devenv: str) -> str:
    """The secret that holds what connects to a dev environment; there is none while it is down."""
    return f"devenv/{devenv}/connection"


def variables_name(machine: str) -> str:
    """The secret that holds the secret variables of a service's machine."""
    return f"machine/{machine}/variables"


@dataclass(frozen=True, slots=True)
class Keys:
    """The secrets from which everything else that is secret follows; none is ever shown by `repr`.

    Attributes:
        db_password: Of the database roles that log in.
        jwt_secret: Signs and verifies every token (HS256).
        anon_key: A token with the role `anon`, for front ends.
        service_role_key: A token with the role `service_role`, which passes row-level security by.
        probe_key: Opens nothing but the health routes of the gateway.
        vault_key: Encrypts what the database's Vault holds, in hexadecimal; the one key that is
            never replaced, because nothing could be read any more.
        made_at: When they were made.
    """

    db_password: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    anon_key: str = field(repr=False)
    service_role_key: str = field(repr=False)
    probe_key: str = field(repr=False)
    vault_key: str = field(repr=False)
    made_at: datetime

    def to_bytes(self) -> bytes:
        """As kept, before encryption."""
        return json.dumps({**asdict(self), "made_at": self.made_at.isoformat()}).encode()

    @classmethod
    def from_bytes(cls, value: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        data = json.loads(value)
        return cls(**{**data, "made_at": datetime.fromisoformat(data["made_at"])})


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """What connects to a dev environment, as far as there is any of it.

    While it is being made there are addresses and no keys.
    """

    supabase_url: str
    studio_url: str | None = None
    silo_preview_url: str | None = None
    supabase_anon_key: str | None = field(default=None, repr=False)
    supabase_service_role_key: str | None = field(default=None, repr=False)
    db_password: str | None = field(default=None, repr=False)
    db_connection_string: str | None = field(default=None, repr=False)
    studio_user: str | None = field(default=None, repr=False)
    studio_password: str | None = field(default=None, repr=False)

    def to_bytes(self) -> bytes:
        """As kept, before encryption; equal ones are the same bytes."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, value: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        return cls(**json.loads(value))


async def read_connection(secrets: Secrets, namespace: str, devenv: str) -> ConnectionInfo | None:
    """What connects to a dev environment; None while it is down.

    Raises:
        SecretError: No configured key decrypts it.
    """
    value = await secrets.get(namespace, connection_name(devenv))
    return None if value is None else ConnectionInfo.from_bytes(value)
