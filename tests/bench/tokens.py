"""Users' tokens as Supabase signs them: ES256, with the public key as a key set."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

KEY_ID = "bench"
LIFETIME_SECONDS = 3600


class Issuer:
    """Signs tokens.

    Args:
        issuer: The `iss` claim.
    """

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._key = ec.generate_private_key(ec.SECP256R1())

    def key_set(self) -> str:
        """The public key as a JWK set, in JSON."""
        return json.dumps({"keys": [self._jwk(private=False)]})

    def private_key(self) -> str:
        """The private key as a JWK, in JSON."""
        return json.dumps(self._jwk(private=True))

    def token(self, user: str) -> str:
        """A user's access token.

        Everybody has a name of their own: to find a free subdomain among namesakes takes longer
        with each of them.
        """
        name = f"user{user.replace('-', '')[:12]}"
        now = int(time.time())
        claims = {
            "sub": user,
            "iss": self._issuer,
            "aud": "authenticated",
            "role": "authenticated",
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
            "email": f"{name}@example.com",
            "user_metadata": {"first_name": name, "last_name": "Name"},
        }
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": KEY_ID})

    def _jwk(self, *, private: bool) -> dict[str, Any]:
        key = self._key if private else self._key.public_key()
        jwk = jwt.algorithms.ECAlgorithm.to_jwk(key, as_dict=True)
        return {**jwk, "kid": KEY_ID, "alg": "ES256", "use": "sig"}
