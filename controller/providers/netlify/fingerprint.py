"""What stands for a value that cannot be read back."""

import hashlib
import hmac
import json

from controller.providers.netlify.models import SiteRef

SHORTEST_KEY = 32
"""Bytes: the length of the hash, as RFC 2104 advises."""


class Fingerprints:
    """Keyed hashes of values, to be kept in place of them.

    A secret's value cannot be read back from Netlify, so what was last written there is
    remembered as HMAC-SHA256.
    The key keeps a reader of the hashes from trying out values; place and name are hashed as
    well, so that equal values in two places do not show.

    A matching fingerprint says what we wrote last, not that nobody wrote after us: compare the
    variable's `updated_at` too.

    Args:
        key: At least 32 bytes that are used for nothing else.

    Raises:
        ValueError: The key is too short.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < SHORTEST_KEY:
            raise ValueError(f"key: at least {SHORTEST_KEY} bytes")
        self._key = key

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def of(self, site: SiteRef, key: str, value: str) -> str:
        """Return the fingerprint of a variable's value on a site, as hex."""
        said = json.dumps([site.account, site.site, key, value]).encode()
        return hmac.new(self._key, said, hashlib.sha256).hexdigest()

    def matches(self, fingerprint: str, site: SiteRef, key: str, value: str) -> bool:
        """Whether a kept fingerprint is of this value; no fingerprint (empty) never is."""
        return hmac.compare_digest(fingerprint.encode(), self.of(site, key, value).encode())
