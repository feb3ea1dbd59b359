"""A team's account and keys, and what it can order."""

import base64
import binascii
import hashlib
from typing import Any

from deploy.local.simulators.digitalocean.catalogue import (
    IMAGES,
    REGIONS,
    SIZES,
    image_view,
    region_view,
    size_view,
)
from deploy.local.simulators.digitalocean.core import CloudCore, not_found
from deploy.local.simulators.digitalocean.state import Key, Team, refused
from deploy.local.simulators.digitalocean.views import account_view, key_view

_PARTS = 2


class Teams(CloudCore):
    """Everything that is not about one droplet."""

    def get_account(self, team: Team) -> dict[str, Any]:
        """Return the account."""
        return {"account": account_view(team)}

    def list_regions(self) -> list[dict[str, Any]]:
        """Return the regions."""
        return [region_view(slug, full=slug in self.full_regions) for slug in REGIONS]

    def list_sizes(self) -> list[dict[str, Any]]:
        """Return the sizes."""
        return [size_view(slug) for slug in SIZES]

    def get_image(self, slug: str) -> dict[str, Any]:
        """Return an image.

        Raises:
            DigitalOceanError: 404.
        """
        if slug not in IMAGES:
            raise not_found()
        return {"image": image_view(slug)}

    def list_keys(self, team: Team) -> list[dict[str, Any]]:
        """Return the keys."""
        return [key_view(key) for key in team.keys.values()]

    def create_key(self, team: Team, body: dict[str, Any]) -> dict[str, Any]:
        """Add a key; droplets can be made with it a little later.

        Raises:
            DigitalOceanError: 422 for what is no key, and for a key that is there.
        """
        public = str(body.get("public_key") or "").strip()
        fingerprint = _fingerprint(public)
        if any(key.fingerprint == fingerprint for key in team.keys.values()):
            raise refused("SSH Key is already in use on your account")
        known_at = self.now() + self.timings.key_seconds
        key = Key(self.number(), str(body.get("name") or ""), public, fingerprint, known_at)
        team.keys[key.id] = key
        self.changed()
        return {"ssh_key": key_view(key)}

    def delete_key(self, team: Team, asked: str) -> None:
        """Forget a key, by its number or its fingerprint.

        Raises:
            DigitalOceanError: 404.
        """
        for key in team.keys.values():
            if asked in {str(key.id), key.fingerprint}:
                del team.keys[key.id]
                return self.changed()
        raise not_found()


def _fingerprint(public: str) -> str:
    """Return the MD5 fingerprint, which is what the API shows.

    Raises:
        DigitalOceanError: 422: it is not a key.
    """
    parts = public.split()
    try:
        blob = base64.b64decode(parts[1], validate=True) if len(parts) >= _PARTS else b""
    except binascii.Error:
        blob = b""
    if not blob:
        raise refused("Key invalid, key should be of the format `type key [comment]`")
    return hashlib.md5(blob, usedforsecurity=False).digest().hex(":")
