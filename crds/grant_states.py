"""Who was sent to a provider to grant, and may come back once."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Final, NamedTuple

from crds.cloud_connection import DIGITALOCEAN
from crds.grants import Consent, consent_name
from crds.secrets import Cipher
from crds.store import Store

STATE_LIFETIME: Final = timedelta(minutes=10)
MOST_STATES: Final = 20
"""Of an account at once: more tabs than anybody has open, and a bound for who asks in a loop."""


class Return(NamedTuple):
    """What a state says of whoever came back with it.

    Attributes:
        account: Whose it is.
        first: Whether it was not used before.
    """

    account: str
    first: bool


class GrantStates:
    """The table of states; it knows them by their digests only.

    Args:
        store: Where the table is.
        cipher: Encrypts the consents that come back.
    """

    def __init__(self, store: Store, cipher: Cipher) -> None:
        self._database, self._clock, self._cipher = store.database, store.clock, cipher

    async def begin(self, state: str, browser: str, account: str) -> None:
        """Note that a browser is sent out; what nobody came back with in time is forgotten.

        Args:
            state: Random; goes to the provider and comes back.
            browser: Random; stays in the browser.
            account: Whose consent is asked for.
        """
        now = self._clock.now()
        await self._database.execute(
            "DELETE FROM grant_states WHERE expires_at <= %s OR digest IN (SELECT digest "
            "FROM grant_states WHERE account = %s ORDER BY expires_at DESC OFFSET %s)",
            now,
            account,
            MOST_STATES - 1,
        )
        await self._database.execute(
            "INSERT INTO grant_states (digest, browser, account, expires_at) "
            "VALUES (%s, %s, %s, %s)",
            _digest(state),
            _digest(browser),
            account,
            now + STATE_LIFETIME,
        )

    async def consume(
        self, state: str, browser: str, consent: Consent | None, *, account: str | None = None
    ) -> Return | None:
        """Use a state up, and keep what came back with it, in one statement.

        Args:
            state: What the provider sent back.
            browser: What the browser has.
            consent: The consent; None when the user gave none.
            account: Who the browser's user is, where that is known.

        Returns:
            Whose it is; None for a state that is unknown, too old, another browser's or another
            user's.
        """
        rows = await self._database.fetch(
            "WITH used AS (UPDATE grant_states SET used_at = %s WHERE (digest, browser) = (%s, %s) "
            "AND expires_at > %s AND used_at IS NULL AND account = coalesce(%s, account) "
            "RETURNING account), "
            "kept AS (INSERT INTO secrets (namespace, name, ciphertext) "
            "SELECT account, %s, %s FROM used WHERE %s ON CONFLICT (namespace, name) DO UPDATE "
            "SET ciphertext = excluded.ciphertext, updated_at = now()) SELECT account FROM used",
            now := self._clock.now(),
            _digest(state),
            _digest(browser),
            now,
            account,
            consent_name(DIGITALOCEAN),
            b"" if consent is None else self._cipher.encrypt(consent.to_bytes()),
            consent is not None,
        )
        if rows:
            return Return(rows[0]["account"], first=True)
        rows = await self._database.fetch(
            "SELECT account FROM grant_states "
            "WHERE (digest, browser) = (%s, %s) AND expires_at > %s AND used_at IS NOT NULL "
            "AND account = coalesce(%s, account)",
            _digest(state),
            _digest(browser),
            now,
            account,
        )
        return Return(rows[0]["account"], first=False) if rows else None


def _digest(value: str) -> bytes:
    """What nobody can guess needs no slow hash."""
    return hashlib.sha256(value.encode()).digest()
