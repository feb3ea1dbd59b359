"""Identifiers in the providers' shapes, reproducible from a seed."""

import random
from typing import Any
from uuid import UUID

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VOLUME = "abcdefghijklmnopqrstuvwxyz0123456789"


class Ids:
    """Draws identifiers from one seeded generator."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def dump(self) -> list[Any]:
        """Return where the generator stands, as JSON."""
        return list(self.rng.getstate())

    def load(self, state: list[Any]) -> None:
        """Go on from where `dump` was."""
        version, internal, gauss = state
        self.rng.setstate((version, tuple(internal), gauss))

    def machine(self) -> str:
        """Return 14 hex digits, as Fly names machines."""
        return f"{self.rng.getrandbits(56):014x}"

    def volume(self) -> str:
        """Return `vol_` and 16 characters."""
        return "vol_" + "".join(self.rng.choices(_VOLUME, k=16))

    def snapshot(self) -> str:
        """Return `vs_` and 16 characters."""
        return "vs_" + "".join(self.rng.choices(_VOLUME, k=16))

    def ulid(self, at: float) -> str:
        """Return 26 characters that sort by time."""
        number = (int(at * 1000) << 80) | self.rng.getrandbits(80)
        return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))

    def hex(self, digits: int) -> str:
        """Return that many hex digits."""
        return f"{self.rng.getrandbits(4 * digits):0{digits}x}"

    def uuid(self) -> str:
        """Return a version 4 UUID."""
        return str(UUID(int=self.rng.getrandbits(128), version=4))
