"""AuthorizedKey: an SSH key that is let into a Vps, for ever or until a moment."""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from crds.meta import READY, REASON, Column, Model, Resource, Status
from crds.words import Line

KEY_TYPES: Final = frozenset(
    {
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    }
)
_LENGTH_BYTES: Final = 4
MOST_OF_SUPPORT: Final = timedelta(hours=24)
"""So long a key of support lets in at most, from when it was made."""


def _blob_of(line: str) -> bytes:
    """The key in a line of an `authorized_keys` file without options (sshd(8)).

    Raises:
        ValueError: It is not one.
    """
    parts = line.split(None, 2)
    if len(parts) < 2 or parts[0] not in KEY_TYPES:  # noqa: PLR2004 - a type and a key
        raise ValueError(f"must begin with one of {', '.join(sorted(KEY_TYPES))} and a key")
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except binascii.Error:
        raise ValueError("the key must be base64") from None
    # Each part of the key is its length and itself, and the first is the type (RFC 4253, 6.6).
    size = int.from_bytes(blob[:_LENGTH_BYTES], "big")
    if blob[_LENGTH_BYTES : _LENGTH_BYTES + size] != parts[0].encode():
        raise ValueError("the key is not of the type that stands before it")
    return blob


def _one_key(line: str) -> str:
    line = line.strip()
    if not line.isprintable() or not line.isascii():
        raise ValueError("must be one line of printable ASCII characters")
    _blob_of(line)
    return line


def fingerprint_of(public_key: str) -> str:
    """A key's fingerprint as `ssh-keygen -l` shows it.

    Raises:
        ValueError: It is no public key.
    """
    digest = hashlib.sha256(_blob_of(public_key)).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


PublicKey = Annotated[str, Field(max_length=16384), AfterValidator(_one_key)]


class AuthorizedKeySpec(Model):
    """What is wished for.

    Attributes:
        vps: The name of the Vps into which it lets; it never changes.
        public_key: One line as in an `authorized_keys` file, without options.
        label: What its user calls it.
        type: Whose key it is; support's end by themselves.
        expires_at: When it ends; None: never.
    """

    vps: str = Field(min_length=1, max_length=253)
    public_key: PublicKey
    label: Line = ""
    type: Literal["user", "support"] = "user"
    expires_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _support_ends(self) -> Self:
        if self.type == "support" and self.expires_at is None:
            raise ValueError("expiresAt: a key of support must end")
        return self

    @property
    def fingerprint(self) -> str:
        """The key's fingerprint as `ssh-keygen -l` shows it."""
        return fingerprint_of(self.public_key)


class AuthorizedKeyStatus(Status):
    """What there is.

    Attributes:
        fingerprint: The key's, as `ssh-keygen -l` shows it.
        hello: The number of the gateway's hello after which it was last put there.
        applied_generation: The generation of the wish that the gateway has; 0: none.
        authorized_at: When it was first let in.
        expired_at: When it was taken away because its time was over.
    """

    fingerprint: str = ""
    hello: int = 0
    applied_generation: int = 0
    authorized_at: datetime | None = None
    expired_at: datetime | None = None


class AuthorizedKey(Resource):
    """An SSH key that is let into a Vps."""

    KIND: ClassVar[str] = "AuthorizedKey"
    PLURAL: ClassVar[str] = "authorizedkeys"
    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("ak",)
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("Vps", ".spec.vps"),
        Column("Type", ".spec.type"),
        Column("Label", ".spec.label"),
        Column("Phase", ".status.phase"),
        READY,
        # An age would be shown as nothing: a `date` column holds past moments only.
        Column("Expires", ".spec.expiresAt"),
        Column("Fingerprint", ".status.fingerprint", priority=1),
        REASON,
    )
    SELECTABLE: ClassVar[tuple[str, ...]] = ("spec.vps", "spec.type", "status.phase")
    OWNER_FIELDS: ClassVar[frozenset[str]] = frozenset(
        {"vps", "publicKey", "label", "type", "expiresAt"}
    )
    SUPPORT_FIELDS: ClassVar[frozenset[str]] = frozenset()

    spec: AuthorizedKeySpec
    status: AuthorizedKeyStatus = Field(default_factory=AuthorizedKeyStatus)

    @property
    def ends_at(self) -> datetime | None:
        """When it lets nobody in any more; None: never.

        A key of support ends at most 24 hours after it was made, whenever it was told to.
        """
        wished, made = self.spec.expires_at, self.metadata.creation_timestamp
        if self.spec.type != "support" or wished is None or made is None:
            return wished
        return min(wished, made + MOST_OF_SUPPORT)
