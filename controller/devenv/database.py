"""A fresh database becomes one that the services can log in to."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from base64 import b64encode
from collections.abc import Callable
from typing import Final

from controller.devenv.psql import Psql, text_of
from controller.engine import Blocked
from crds.connection import Keys

ROLES: Final = (
    "postgres",
    "supabase_admin",
    "authenticator",
    "supabase_auth_admin",
    "supabase_storage_admin",
)
"""Whoever logs in from outside: people, a database that moves, PostgREST, GoTrue, Storage.

supabase/postgres makes these roles itself, but only the first two with a password.
Its other roles (pgbouncer, supabase_functions_admin, …) belong to services that are not here:
without a password nobody can log in as them.
"""
JWT_EXP_SECONDS: Final = 3600
"""As in Supabase's own stack (docker/volumes/db/jwt.sql)."""

ITERATIONS: Final = 4096
"""PostgreSQL's own `scram_iterations`, and the least that RFC 7677 (section 4) allows."""
SALT_BYTES: Final = 16


async def prepare(psql: Psql, keys: Keys) -> None:
    """Give the roles their password and make our schema; can be run again at any time.

    The JWT secret is not put into the database: Supabase's stack does that no more,
    because it showed the secret to whoever could run SQL (decision 0055).

    Raises:
        Blocked: The image lacks a role that a service logs in as.
        RetryLater: The database refused.
        ValueError: The password is not printable ASCII.
    """
    verifiers = json.dumps({role: verifier(keys.db_password) for role in ROLES})
    variables = f"\\set verifiers '{verifiers}'\n\\set jwt_exp {JWT_EXP_SECONDS}\n"
    missing = [role for (role,) in await psql.query(variables + text_of("prepare.sql"))]
    if missing:
        names = ", ".join(missing)
        raise Blocked("NoSuchRole", f"the database's image makes no role {names}")


def verifier(password: str, random: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """What PostgreSQL keeps of a password, as it would compute it (RFC 5802, section 3).

    Args:
        password: Printable ASCII, which SASLprep leaves as it is.
        random: Gives so many random bytes, for the salt.

    Raises:
        ValueError: The password is something else; the message does not repeat it.
    """
    if not password or not password.isascii() or not password.isprintable():
        raise ValueError("a database password must be printable ASCII")
    salt = random(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${ITERATIONS}:{_base64(salt)}${_base64(stored_key)}:{_base64(server_key)}"


def _base64(value: bytes) -> str:
    return b64encode(value).decode()
