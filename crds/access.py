"""Who may come in: roles, and tokens of our own that expire and can be revoked."""

from __future__ import annotations

import hashlib
import hmac
import secrets as random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

from psycopg.rows import DictRow

from crds.clock import Clock
from crds.errors import Cause, InvalidError, NotFoundError
from crds.store import Store

# The strongest first.
Role = Literal[
    "platform-admin",
    "support",
    "account-owner",
    "devops",
    "security-auditor",
    "dev-orchestrator",
    "dev-worker",
    "clientele",
    "metrics",
]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
# The roles of the agents that work with one account's dev environments.
AGENTS: Final = frozenset[Role](
    {"devops", "security-auditor", "dev-orchestrator", "dev-worker", "clientele"}
)
# Roles that say nothing without an account: what they open is in its namespace.
ROLES_OF_ACCOUNTS: Final = AGENTS | {"account-owner"}

PREFIX = "inv"
SECRET_BYTES = 32
MAX_AGE = timedelta(days=365)
# A read every so often is enough to say when a token was last used.
USE_PRECISION = timedelta(minutes=1)

COLUMNS = (
    "id, name, role, account, parent, created_by, created_at, expires_at, revoked_at, last_used_at"
)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token as it is kept: without its secret part.

    Attributes:
        id: The public part, by which it is listed and revoked.
        account: For the roles of accounts, whose namespace it opens.
        parent: The token with which a browser's session was opened.
    """

    id: str
    name: str
    role: Role
    account: str
    parent: str | None
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None


class AccessTokens:
    """The table of tokens.

    A token is `inv_<id>_<secret>`, the secret 256 random bits, of which only the SHA-256 digest is
    kept: nothing that can be guessed needs a slow hash.

    Args:
        store: Where the table is.
    """

    def __init__(self, store: Store) -> None:
        self._database = store.database
        self._clock: Clock = store.clock

    async def issue(
        self,
        name: str,
        role: Role,
        *,
        lifetime: timedelta,
        account: str = "",
        created_by: str,
        parent: str | None = None,
    ) -> tuple[str, AccessToken]:
        """Make a token.

        Args:
            name: What it is for, in words.
            role: What it may do.
            lifetime: How long it is valid.
            account: Whose namespace it opens; for the roles of accounts, and only for them.
            created_by: Who asked for it.
            parent: The token that it ends with.

        Returns:
            The token, which nobody can be told again, and what is kept of it.

        Raises:
            InvalidError: A part breaks a rule.
        """
        _check(name, role, account, lifetime)
        public, secret = random.token_hex(8), random.token_urlsafe(SECRET_BYTES)
        now = self._clock.now()
        rows = await self._database.fetch(
            "INSERT INTO access_tokens (id, name, digest, role, account, parent, created_by, "
            "created_at, expires_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) "
            f"RETURNING {COLUMNS}",
            public,
            name,
            _digest(secret),
            role,
            account,
            parent,
            created_by,
            now,
            now + lifetime,
        )
        return f"{PREFIX}_{public}_{secret}", AccessToken(**rows[0])

    async def verify(self, token: str) -> AccessToken | None:
        """What a token is, or None when it is none, has expired, or was revoked."""
        prefix, _, rest = token.partition("_")
        public, _, secret = rest.partition("_")
        if prefix != PREFIX or not secret:
            return None
        found = await self._find(public)
        if found is None or not hmac.compare_digest(bytes(found["digest"]), _digest(secret)):
            return None
        return await self._live(found)

    async def still_valid(self, public: str) -> bool:
        """Whether the token of this id is neither expired nor revoked."""
        found = await self._find(public)
        return found is not None and await self._live(found) is not None

    async def list(self) -> Sequence[AccessToken]:
        """Every token that is not a browser's session, newest first."""
        rows = await self._database.fetch(
            f"SELECT {COLUMNS} FROM access_tokens WHERE parent IS NULL ORDER BY created_at DESC, id"
        )
        return [AccessToken(**row) for row in rows]

    async def revoke(self, public: str) -> None:
        """Refuse a token, and the sessions opened with it, from this moment.

        Raises:
            NotFoundError: There is no such token.
        """
        revoked = await self._database.execute(
            "UPDATE access_tokens SET revoked_at = coalesce(revoked_at, %s) WHERE id = %s",
            self._clock.now(),
            public,
        )
        if not revoked:
            raise NotFoundError(f"token {public}")

    async def forget(self, age: timedelta) -> int:
        """Remove tokens that expired or were revoked longer ago than `age`; returns how many."""
        return await self._database.execute(
            "DELETE FROM access_tokens WHERE least(expires_at, revoked_at) < %s",
            self._clock.now() - age,
        )

    async def _find(self, public: str) -> DictRow | None:
        rows = await self._database.fetch(
            "SELECT t.*, p.revoked_at AS parent_revoked_at, p.expires_at AS parent_expires_at "
            "FROM access_tokens t LEFT JOIN access_tokens p ON p.id = t.parent WHERE t.id = %s",
            public,
        )
        return rows[0] if rows else None

    async def _live(self, row: DictRow) -> AccessToken | None:
        now = self._clock.now()
        expiries = [row["expires_at"], row["parent_expires_at"] or row["expires_at"]]
        if row["revoked_at"] or row["parent_revoked_at"] or min(expiries) <= now:
            return None
        if row["last_used_at"] is None or now - row["last_used_at"] >= USE_PRECISION:
            await self._database.execute(
                "UPDATE access_tokens SET last_used_at = %s WHERE id = %s", now, row["id"]
            )
        return AccessToken(**{name: row[name] for name in COLUMNS.split(", ")})


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _check(name: str, role: str, account: str, lifetime: timedelta) -> None:
    causes = []
    if not 1 <= len(name) <= 100 or not name.isprintable():  # noqa: PLR2004 - the rule says it
        causes.append(Cause("name", "must have 1 to 100 printable characters"))
    if role not in ROLES:
        causes.append(Cause("role", f"must be one of {', '.join(ROLES)}"))
    if (role in ROLES_OF_ACCOUNTS) != bool(account):
        of_accounts = ", ".join(each for each in ROLES if each in ROLES_OF_ACCOUNTS)
        causes.append(Cause("account", f"goes with the roles {of_accounts}, and only with them"))
    if not timedelta(0) < lifetime <= MAX_AGE:
        causes.append(Cause("lifetime", f"must be at most {MAX_AGE.days} days"))
    if causes:
        raise InvalidError(causes)
