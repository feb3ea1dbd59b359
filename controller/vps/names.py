"""Tags by which a droplet is known as ours, and as whose."""

from __future__ import annotations

import re
from collections.abc import Iterable
from uuid import UUID

from controller.machine.names import UID_LENGTH, decode_uid, encode_uid

_UID = re.compile(rf"invoker-uid:([a-z2-7]{{{UID_LENGTH}}})")


def installation_tag(installation: str) -> str:
    """On every droplet of this installation; DigitalOcean takes letters, digits, `_`, `-`, `:`."""
    return f"invoker:{installation}"


def uid_tag(uid: UUID) -> str:
    """On the droplet of one Vps."""
    return f"invoker-uid:{encode_uid(uid)}"


def uid_of(tags: Iterable[str]) -> UUID | None:
    """The uid of the Vps that a droplet with these tags belongs to, or None."""
    found = next((match for tag in tags if (match := _UID.fullmatch(tag))), None)
    return found and decode_uid(found[1])


def droplet_name(name: str, uid: UUID) -> str:
    """What a droplet is called: its Vps' name, told apart by the beginning of its uid."""
    return f"{name[:50].strip('.-')}-{uid.hex[:8]}"
