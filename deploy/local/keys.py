"""Secrets of the local installation, made once and kept in files that only their owner reads."""

import json
import os
import secrets
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import ec


class Keys:
    """The installation's secrets.

    Args:
        directory: Where they are kept; made when missing.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        self._directory = directory
        self.encryption_keys = self._kept("encryption_keys", lambda: Fernet.generate_key().decode())
        self.edge_token = self._kept("edge_token", lambda: secrets.token_urlsafe(32))
        self.edge_signing_key = self._kept("edge_signing_key", _signing_key)
        self.anon_key = self._kept("anon_key", lambda: f"anon-{secrets.token_urlsafe(24)}")
        self.service_key = self._kept("service_key", lambda: f"service-{secrets.token_urlsafe(24)}")
        self.fly_token = self._kept("fly_token", lambda: f"fly-{secrets.token_urlsafe(24)}")
        self.installation = self._kept("installation", lambda: f"l{secrets.token_hex(4)}")
        self.netlify_token = self._kept("netlify_token", lambda: secrets.token_urlsafe(30))
        self.digitalocean_secret = self._kept(
            "digitalocean_secret", lambda: secrets.token_urlsafe(30)
        )
        self.cloudflare_token = self._kept("cloudflare_token", lambda: secrets.token_urlsafe(30))

    def _kept(self, name: str, make: Callable[[], str]) -> str:
        path = self._directory / name
        if not path.exists():
            new = path.with_suffix(".new")
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(make() + "\n")
            new.replace(path)
        return path.read_text().strip()


def public_keys(signing_key: str) -> str:
    """The public half of a private JWK, as a JWK set; both in JSON."""
    key: dict[str, Any] = json.loads(signing_key)
    public = {name: value for name, value in key.items() if name not in {"d", "key_ops"}}
    return json.dumps({"keys": [public]}, separators=(",", ":"))


def _signing_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = jwt.algorithms.ECAlgorithm.to_jwk(key, as_dict=True)
    jwk = {name: value for name, value in jwk.items() if name != "key_ops"}
    return json.dumps(
        {**jwk, "kid": uuid.uuid4().hex[:12], "alg": "ES256", "use": "sig"}, separators=(",", ":")
    )
