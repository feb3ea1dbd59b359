"""Names and marks by which what we made outside is known as ours (docs/protocols.md)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from uuid import UUID

UID_LENGTH = 26
INSTANCE_NAME = "main"

INSTALLATION_MARK = "invoker_installation"
UID_MARK = "invoker_uid"
NAMESPACE_MARK = "invoker_namespace"
NAME_MARK = "invoker_name"


def encode_uid(uid: UUID) -> str:
    """A uid as 26 lowercase letters and digits: short enough for every provider's names."""
    return base64.b32encode(uid.bytes).decode().rstrip("=").lower()


def decode_uid(text: str) -> UUID | None:
    """The uid that a name carries, or None when it is not one."""
    try:
        return UUID(bytes=base64.b32decode(text.upper() + "======"))
    except ValueError:
        return None


def app_name(installation: str, uid: UUID, names_taken: int = 0) -> str:
    """The Fly app of a machine; another one for each name that somebody else had already."""
    suffix = f"-{names_taken + 1}" if names_taken else ""
    return f"inv-{installation}-{encode_uid(uid)}{suffix}"


def uid_of_app(installation: str, name: str) -> UUID | None:
    """The uid of the machine that an app of this installation belongs to, or None."""
    found = re.fullmatch(rf"inv-{re.escape(installation)}-([a-z2-7]{{{UID_LENGTH}}})(-\d+)?", name)
    return found and decode_uid(found[1])


def shared_instance_name(uid: UUID) -> str:
    """The Fly machine of a row that may share its app: unique in it, so made only once."""
    return f"m-{encode_uid(uid)}"


def volume_name(uid: UUID) -> str:
    """The volume of a machine; Fly's names are at most 30 of `[a-z0-9_]` and not unique."""
    return f"v_{encode_uid(uid)}"


def uid_of_volume(name: str) -> UUID | None:
    """The uid of the machine that a volume belongs to, or None."""
    return decode_uid(name.removeprefix("v_")) if name.startswith("v_") else None


def marks(installation: str, uid: UUID, namespace: str, name: str) -> dict[str, str]:
    """The metadata that says whose a Fly machine is."""
    return {
        INSTALLATION_MARK: installation,
        UID_MARK: str(uid),
        NAMESPACE_MARK: namespace,
        NAME_MARK: name,
    }


def marked_uid(installation: str, metadata: Mapping[str, str]) -> UUID | None:
    """The uid in a Fly machine's metadata if this installation made it, or None."""
    if metadata.get(INSTALLATION_MARK) != installation:
        return None
    try:
        return UUID(metadata.get(UID_MARK, ""))
    except ValueError:
        return None
