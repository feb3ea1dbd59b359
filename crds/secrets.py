"""Secrets: encrypted in the database, with keys that can be rotated."""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from crds.errors import FencedError
from crds.store import Store
from crds.store.leases import Fence


class SecretError(Exception):
    """A secret cannot be read or a key cannot be used; the message never repeats either."""


class Cipher:
    """Encrypts with the newest key and decrypts with any.

    Fernet is AES-128-CBC with HMAC-SHA256; the ciphertext is authenticated.
    """

    def __init__(self, fernets: list[Fernet]) -> None:
        self._fernet = MultiFernet(fernets)

    @classmethod
    def from_keys(cls, keys: str) -> Cipher:
        """Build the cipher.

        Args:
            keys: Fernet keys (32 bytes, URL-safe base64), separated by commas, newest first.

        Raises:
            SecretError: A key is not one; the message tells which by its position.
        """
        fernets = []
        for position, key in enumerate(keys.split(","), 1):
            try:
                fernets.append(Fernet(key.strip()))
            except ValueError:
                raise SecretError(
                    f"encryption key {position} is not 32 bytes in URL-safe base64"
                ) from None
        return cls(fernets)

    def encrypt(self, plain: bytes) -> bytes:
        """Encrypt with the newest key."""
        return self._fernet.encrypt(plain)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Decrypt with whichever key fits.

        Raises:
            SecretError: None does.
        """
        try:
            return self._fernet.decrypt(ciphertext)
        except InvalidToken:
            raise SecretError("no configured encryption key decrypts this secret") from None

    def rotate(self, ciphertext: bytes) -> bytes:
        """Encrypt anew with the newest key.

        Raises:
            SecretError: No key decrypts the old ciphertext.
        """
        return self.encrypt(self.decrypt(ciphertext))


class Secrets:
    """The table of secrets; what leaves the process is ciphertext."""

    def __init__(self, store: Store, cipher: Cipher) -> None:
        self._database = store.database
        self._cipher = cipher

    async def get(self, namespace: str, name: str) -> bytes | None:
        """A secret's plain value, or None.

        Raises:
            SecretError: No configured key decrypts it.
        """
        rows = await self._database.fetch(
            "SELECT ciphertext FROM secrets WHERE (namespace, name) = (%s, %s)", namespace, name
        )
        return self._cipher.decrypt(rows[0]["ciphertext"]) if rows else None

    async def put(
        self, namespace: str, name: str, value: bytes, *, fence: Fence | None = None
    ) -> None:
        """Store a secret, over whatever was there.

        Args:
            namespace: Whose it is.
            name: What it is called.
            value: What is secret.
            fence: The lease that must still be the writer's.

        Raises:
            FencedError: The lease is somebody else's.
        """
        written = await self._database.execute(
            "INSERT INTO secrets (namespace, name, ciphertext) "
            "SELECT %s, %s, %s WHERE check_fence(%s, %s) "
            "ON CONFLICT (namespace, name) DO UPDATE "
            "SET ciphertext = excluded.ciphertext, updated_at = now()",
            namespace,
            name,
            self._cipher.encrypt(value),
            *(fence or (None, None)),
        )
        if not written:
            raise FencedError

    async def ensure(
        self, namespace: str, name: str, value: bytes, *, fence: Fence | None = None
    ) -> bytes:
        """Store a secret unless there is one; returns the one that holds, whoever was first.

        Args:
            namespace: Whose it is.
            name: What it is called.
            value: What is secret.
            fence: The lease that must still be the writer's.

        Raises:
            FencedError: There is none, and the lease is somebody else's.
            SecretError: No configured key decrypts the one that holds.
        """
        await self._database.execute(
            "INSERT INTO secrets (namespace, name, ciphertext) "
            "SELECT %s, %s, %s WHERE check_fence(%s, %s) ON CONFLICT DO NOTHING",
            namespace,
            name,
            self._cipher.encrypt(value),
            *(fence or (None, None)),
        )
        held = await self.get(namespace, name)
        if held is None and fence is not None:
            raise FencedError
        if held is None:
            raise SecretError(f"{namespace}/{name} was removed at this moment")
        return held

    async def replace(
        self, namespace: str, name: str, old: bytes, new: bytes, *, fence: Fence | None = None
    ) -> bytes:
        """Store another value if the one read before still holds; returns the one that holds.

        Args:
            namespace: Whose it is.
            name: Its name.
            old: What was read.
            new: What is to hold instead.
            fence: The lease that must still be the writer's.

        Raises:
            FencedError: The old one holds, and the lease is somebody else's.
            SecretError: No configured key decrypts the one that holds, or it was removed.
        """
        rows = await self._database.fetch(
            "SELECT ciphertext FROM secrets WHERE (namespace, name) = (%s, %s)", namespace, name
        )
        if rows and self._cipher.decrypt(rows[0]["ciphertext"]) == old:
            await self._database.execute(
                "UPDATE secrets SET ciphertext = %s, updated_at = now() "
                "WHERE (namespace, name, ciphertext) = (%s, %s, %s) AND check_fence(%s, %s)",
                self._cipher.encrypt(new),
                namespace,
                name,
                rows[0]["ciphertext"],
                *(fence or (None, None)),
            )
        held = await self.get(namespace, name)
        if held is None:
            raise SecretError(f"{namespace}/{name} was removed at this moment")
        if held == old and fence is not None:
            [row] = await self._database.fetch("SELECT check_fence(%s, %s) AS holds", *fence)
            if not row["holds"]:
                raise FencedError
        return held

    async def delete(self, namespace: str, name: str, *, fence: Fence | None = None) -> None:
        """Remove a secret, if it is there and the fence's lease is still the writer's."""
        await self._database.execute(
            "DELETE FROM secrets WHERE (namespace, name) = (%s, %s) AND check_fence(%s, %s)",
            namespace,
            name,
            *(fence or (None, None)),
        )

    async def rotate(self) -> int:
        """Encrypt every secret anew with the newest key; returns how many.

        Readers and writers may go on meanwhile: a secret that changed since it was read is
        encrypted with the newest key already.

        Raises:
            SecretError: A secret cannot be decrypted; those before it are rotated.
        """
        rows = await self._database.fetch("SELECT namespace, name, ciphertext FROM secrets")
        for row in rows:
            await self._database.execute(
                "UPDATE secrets SET ciphertext = %s "
                "WHERE (namespace, name, ciphertext) = (%s, %s, %s)",
                self._cipher.rotate(row["ciphertext"]),
                row["namespace"],
                row["name"],
                row["ciphertext"],
            )
        return len(rows)
