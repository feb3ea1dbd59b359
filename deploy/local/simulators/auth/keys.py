"""The signing keys: ES256 with rotation, or a project's old HS256 secret."""

import base64
import random
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

_COORDINATE_BYTES = 32


class Keys:
    """Signs and verifies access tokens.

    Args:
        rng: where keys come from.
        secret: sign with HS256 and this secret, as projects without asymmetric keys do.
    """

    def __init__(self, rng: random.Random, secret: str = "") -> None:
        self.rng = rng
        self.secret = secret
        self.numbers: list[int] = []
        self.rotate()

    def rotate(self) -> None:
        """Sign with a new key from now on; tokens of the former ones stay valid."""
        self.numbers.append(self.rng.getrandbits(255) + 1)

    def revoke_former(self) -> None:
        """Forget every key but the present one."""
        del self.numbers[:-1]

    def jwks(self) -> dict[str, Any]:
        """Return the public keys, newest first; none for an HS256 project."""
        return {"keys": [] if self.secret else [_jwk(number) for number in self.numbers[::-1]]}

    def sign(self, claims: dict[str, Any]) -> str:
        """Return a token."""
        if self.secret:
            return jwt.encode(claims, self.secret, algorithm="HS256")
        number = self.numbers[-1]
        headers = {"kid": _kid(number)}
        return jwt.encode(claims, _key(number), algorithm="ES256", headers=headers)

    def verify(self, token: str) -> dict[str, Any]:
        """Return a token's claims; its expiry is the caller's to check.

        Raises:
            jwt.PyJWTError: it is not one of ours.
        """
        options: Any = {"verify_exp": False, "verify_aud": False, "verify_iat": False}
        if self.secret:
            return jwt.decode(token, self.secret, algorithms=["HS256"], options=options)
        kid = jwt.get_unverified_header(token).get("kid")
        number = next((n for n in self.numbers if _kid(n) == kid), None)
        if number is None:
            raise jwt.InvalidKeyError("unknown kid")
        return jwt.decode(token, _key(number).public_key(), algorithms=["ES256"], options=options)


def _key(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(number, ec.SECP256R1())


def _kid(number: int) -> str:
    return f"{number & (1 << 64) - 1:016x}"


def _jwk(number: int) -> dict[str, Any]:
    point = _key(number).public_key().public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "alg": "ES256",
        "use": "sig",
        "key_ops": ["verify"],
        "kid": _kid(number),
        "x": _coordinate(point.x),
        "y": _coordinate(point.y),
    }


def _coordinate(value: int) -> str:
    raw = value.to_bytes(_COORDINATE_BYTES, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
