"""Tokens signed with the environment's one secret (HS256)."""

from collections.abc import Mapping
from typing import Any

# The library loads much of cryptography: with the first token, not at the start.
# ruff: noqa: PLC0415


class TokenError(ValueError):
    """A token does not hold; the message says why in the words of the library."""


class ExpiredError(TokenError):
    """A token is past its time."""


def bearer(header: str | None) -> str | None:
    """The token of an `Authorization` header; None when it carries none."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def verify(token: str, secret: str, audience: str | None = None) -> dict[str, Any]:
    """Return a token's claims.

    Args:
        token: The token.
        secret: What it has to be signed with.
        audience: What it has to be for, if that matters.

    Raises:
        ExpiredError: It is past its time.
        TokenError: It is not a token, or not signed with the secret, or for somebody else.
    """
    import jwt

    options: Any = {"verify_aud": audience is not None, "verify_sub": False, "verify_iat": False}
    try:
        claims: dict[str, Any] = jwt.decode(
            token, secret, algorithms=["HS256"], audience=audience, options=options
        )
    except jwt.ExpiredSignatureError:
        raise ExpiredError("JWT expired") from None
    except jwt.PyJWTError as error:
        raise TokenError(str(error)) from None
    return claims


def sign(claims: Mapping[str, Any], secret: str) -> str:
    """Return a token with these claims."""
    import jwt

    return jwt.encode(dict(claims), secret, algorithm="HS256")
