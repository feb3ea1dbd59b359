"""Users, sessions and refresh tokens, in the tables of the schema `auth`."""

import asyncio
import hashlib
import hmac
import json
import secrets
import uuid
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from deploy.local.services.database import Connection

# The cost that RFC 7914 takes for interactive logins: 16 MiB and some 50 ms.
_SCRYPT: Final = {"n": 2**14, "r": 8, "p": 1}
_NO_SESSION: Final = "Invalid Refresh Token: Refresh Token Not Found"


class UserExistsError(Exception):
    """There is a user with this address."""


class GrantError(Exception):
    """What was shown does not open a session; the message is GoTrue's."""


@dataclass(frozen=True, slots=True)
class User:
    """A user.

    Attributes:
        id: The user's id, the `sub` of tokens.
        view: The user as the API shows it.
        confirmed: Whether the address is known to be the user's.
    """

    id: str
    view: dict[str, Any]
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Session:
    """A session, by its newest refresh token."""

    id: str
    refresh_token: str
    user: User


_COLUMNS: Final = (
    "id::text, aud, role, email, email_confirmed_at, last_sign_in_at, raw_app_meta_data,"
    " raw_user_meta_data, created_at, updated_at"
)


async def hashed(password: str) -> str:
    """A salted hash of a password."""
    salt = secrets.token_bytes(16)
    digest = await _scrypt(password, salt)
    return f"scrypt:{salt.hex()}:{digest.hex()}"


async def _scrypt(password: str, salt: bytes) -> bytes:
    return await asyncio.to_thread(hashlib.scrypt, password.encode(), salt=salt, **_SCRYPT)


async def _matches(password: str, kept: str) -> bool:
    kind, _, rest = kept.partition(":")
    salt, _, digest = rest.partition(":")
    # A user who is unknown, or whose hash is another program's, takes as long as any other.
    found = await _scrypt(password, bytes.fromhex(salt) if kind == "scrypt" else b"")
    return kind == "scrypt" and hmac.compare_digest(found.hex(), digest)


async def create(
    connection: Connection,
    email: str,
    password_hash: str,
    data: dict[str, Any],
    *,
    confirmed: bool,
    audience: str,
) -> User:
    """Add a user.

    Raises:
        UserExistsError: The address is taken.
    """
    try:
        cursor = await connection.execute(
            "insert into auth.users (id, instance_id, aud, role, email, encrypted_password,"  # noqa: S608 - columns are ours
            " email_confirmed_at, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)"
            " values (%s, %s, %s, %s, %s, %s, case when %s then now() end, %s, %s, now(), now())"
            f" returning {_COLUMNS}",
            [
                *(uuid.uuid4(), uuid.UUID(int=0), audience, "authenticated", email),
                *(password_hash, confirmed),
                json.dumps({"provider": "email", "providers": ["email"]}),
                json.dumps(data),
            ],
        )
    except psycopg.errors.UniqueViolation:
        raise UserExistsError from None
    return _user(await cursor.fetchone())


async def find(connection: Connection, user_id: str) -> User | None:
    """The user with this id, if there is one."""
    cursor = await connection.execute(
        f"select {_COLUMNS} from auth.users where id::text = %s and deleted_at is null",  # noqa: S608 - columns are ours
        [user_id],
    )
    row = await cursor.fetchone()
    return None if row is None else _user(row)


async def log_in(connection: Connection, email: str, password: str) -> User:
    """The user with this address and this password.

    Raises:
        GrantError: There is none, or the address is not confirmed.
    """
    cursor = await connection.execute(
        "select id::text, coalesce(encrypted_password, '') from auth.users"
        " where email = %s and deleted_at is null",
        [email],
    )
    user_id, kept = await cursor.fetchone() or ("", "")
    if not await _matches(password, kept):
        raise GrantError("Invalid login credentials")
    user = await find(connection, user_id)
    if user is None:
        raise GrantError("Invalid login credentials")
    if not user.confirmed:
        raise GrantError("Email not confirmed")
    return user


async def open_session(connection: Connection, user_id: str) -> Session:
    """Begin a session of a user."""
    session = str(uuid.uuid4())
    await connection.execute(
        "insert into auth.sessions (id, user_id, created_at, updated_at)"
        " values (%s, %s, now(), now())",
        [session, user_id],
    )
    cursor = await connection.execute(
        "update auth.users set last_sign_in_at = now(), updated_at = now()"  # noqa: S608 - columns are ours
        f" where id = %s returning {_COLUMNS}",
        [user_id],
    )
    user = _user(await cursor.fetchone())
    return Session(session, await _add_token(connection, session, user_id), user)


async def renew(connection: Connection, refresh_token: str) -> Session | None:
    """Trade a refresh token for the next one.

    Returns:
        The session, or None when the token had been traded before: then the session is over,
        for one of the two who had it was a thief.

    Raises:
        GrantError: Nobody knows the token.
    """
    cursor = await connection.execute(
        "select session_id::text, user_id, revoked from auth.refresh_tokens"
        " where token = %s for update",
        [refresh_token],
    )
    row = await cursor.fetchone()
    if row is None:
        raise GrantError(_NO_SESSION)
    session, user_id, revoked = row
    if revoked:
        await connection.execute("delete from auth.sessions where id = %s", [session])
        return None
    await connection.execute(
        "update auth.refresh_tokens set revoked = true, updated_at = now() where token = %s",
        [refresh_token],
    )
    user = await find(connection, user_id)
    if user is None:
        raise GrantError(_NO_SESSION)
    following = await _add_token(connection, session, user_id, parent=refresh_token)
    return Session(session, following, user)


async def close_sessions(
    connection: Connection,
    user_id: str,
    session: str,
    scope: str,
) -> None:
    """End sessions of a user; their refresh tokens go with them.

    Args:
        connection: Where they are.
        user_id: Whose they are.
        session: The one that asks.
        scope: `local` for that one, `others` for all but that one, `global` for all.
    """
    await connection.execute(
        "delete from auth.sessions where user_id::text = %s"
        " and (%s = 'global' or (id::text = %s) = (%s = 'local'))",
        [user_id, scope, session, scope],
    )


async def _add_token(
    connection: Connection, session: str, user_id: str, parent: str | None = None
) -> str:
    token = secrets.token_urlsafe(16)
    await connection.execute(
        "insert into auth.refresh_tokens"
        " (token, user_id, session_id, parent, revoked, created_at, updated_at)"
        " values (%s, %s, %s, %s, false, now(), now())",
        [token, user_id, session, parent],
    )
    return token


def _user(row: Any) -> User:
    user_id, audience, role, email, confirmed, signed_in, app, data, created, updated = row
    view = {
        "id": user_id,
        "aud": audience,
        "role": role,
        "email": email,
        "email_confirmed_at": _time(confirmed),
        "confirmed_at": _time(confirmed),
        "last_sign_in_at": _time(signed_in),
        "phone": "",
        "app_metadata": app or {},
        "user_metadata": data or {},
        "identities": [],
        "created_at": _time(created),
        "updated_at": _time(updated),
    }
    return User(user_id, view, confirmed is not None)


def _time(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat()
