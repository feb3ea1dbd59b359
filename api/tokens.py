"""Who a caller is: Supabase access tokens, verified offline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NoReturn
from uuid import UUID

import jwt
from jwt.types import Options

from api.keys import KeySet
from crds.clock import Clock

AUDIENCE = "authenticated"
ROLE = "authenticated"
# Clocks of Supabase and ours may differ by this much.
LEEWAY_SECONDS = 5
MAX_TOKEN_LENGTH = 16384
REQUIRED = ("sub", "role")
ALWAYS_REQUIRED = ["iss", "aud", "exp", "iat"]
# Times are judged by our own clock; everything else is pyjwt's work.
OPTIONS: Final[Options] = {
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "enforce_minimum_key_length": True,
}


class InvalidTokenError(Exception):
    """The token proves nothing; the message says why, without the token."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a valid token names.

    Attributes:
        account: The account's name: the `sub` claim.
        issued_at: The `iat` claim.
        expires_at: The `exp` claim.
        anonymous: Whether Supabase knows nobody behind the token.
        invoker_role: The role among operators that the issuer gave, unchecked; usually none.
    """

    account: str
    email: str
    first_name: str
    last_name: str
    issued_at: datetime
    expires_at: datetime
    anonymous: bool
    invoker_role: str | None = None


@dataclass(frozen=True, slots=True)
class Verifier:
    """Verifies access tokens.

    Attributes:
        keys: Supabase's public keys.
        clock: Judges `exp`, `nbf` and `iat`.
        issuer: What `iss` must be.
        secret: The shared secret of projects that still sign with HS256.
    """

    keys: KeySet
    clock: Clock
    issuer: str
    secret: str | None = None

    async def verify(self, token: str) -> Caller:
        """Verify a token.

        Raises:
            InvalidTokenError: It is not valid, with the reason.
            KeysUnavailableError: Nothing can be said, Supabase's keys are not to be had.
        """
        return _caller(await self.claims(token, audience=AUDIENCE, require=REQUIRED))

    async def claims(
        self, token: str, *, audience: str, require: Iterable[str], one_audience: bool = True
    ) -> dict[str, Any]:
        """Verify a token and return what it claims.

        Args:
            token: The token.
            audience: What `aud` must be.
            require: Claims that must be there, beside those of every token.
            one_audience: Whether `aud` must be nothing but that; else it may be a list with it.

        Raises:
            InvalidTokenError: It is not valid, with the reason.
            KeysUnavailableError: Nothing can be said, the issuer's keys are not to be had.
        """
        if len(token) > MAX_TOKEN_LENGTH:
            _refuse("is too long")
        algorithm, key = await self._key(_header(token))
        required = [*ALWAYS_REQUIRED, *require]
        options: Options = {**OPTIONS, "require": required, "strict_aud": one_audience}
        claims = self._decode(token, algorithm, key, audience, options)
        self._check_times(claims)
        return claims

    async def _key(self, header: dict[str, Any]) -> tuple[str, Any]:
        algorithm = header.get("alg")
        if "crit" in header:
            _refuse("demands extensions")
        if algorithm == "HS256":
            # The secret is never a public key: a key set's entry cannot become an HMAC key.
            if self.secret is None:
                _refuse("is signed with an algorithm that is not accepted")
            return "HS256", self.secret
        if algorithm not in ("ES256", "RS256"):
            _refuse("is signed with an algorithm that is not accepted")
        kid = header.get("kid")
        if not isinstance(kid, str):
            _refuse("names no signing key")
        found = await self.keys.find(kid)
        if found is None or found.algorithm != algorithm:
            _refuse("is signed with an unknown key")
        return found.algorithm, found.key

    def _decode(
        self, token: str, algorithm: str, key: Any, audience: str, options: Options
    ) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=audience,
                issuer=self.issuer,
                options=options,
            )
        except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
            _refuse("was not issued for this service")
        except jwt.MissingRequiredClaimError as error:
            _refuse(f"has no claim {error.claim!r}")
        except (jwt.PyJWTError, ValueError, TypeError):
            _refuse("is not validly signed")

    def _check_times(self, claims: dict[str, Any]) -> None:
        now = self.clock.now().timestamp()
        if _time(claims, "exp") + LEEWAY_SECONDS <= now:
            _refuse("has expired")
        if max(_time(claims, "iat"), _time(claims, "nbf", 0)) - LEEWAY_SECONDS > now:
            _refuse("is not valid yet")


def _refuse(reason: str) -> NoReturn:
    raise InvalidTokenError(f"The access token {reason}.") from None


def _header(token: str) -> dict[str, Any]:
    try:
        return jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError):
        _refuse("is not a JSON Web Token")


def _time(claims: dict[str, Any], name: str, default: float | None = None) -> float:
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 40:
        _refuse(f"has a broken claim {name!r}")
    return value


def _caller(claims: dict[str, Any]) -> Caller:
    if claims["role"] != ROLE:
        _refuse("has another role")
    subject = claims["sub"]
    metadata = claims.get("user_metadata")
    first, last = names(metadata if isinstance(metadata, dict) else {})
    if not isinstance(subject, str) or not _is_lowercase_uuid(subject):
        _refuse("has a broken claim 'sub'")
    email = claims.get("email")
    return Caller(
        account=subject,
        email=email if isinstance(email, str) else "",
        first_name=first,
        last_name=last,
        issued_at=datetime.fromtimestamp(_time(claims, "iat"), UTC),
        expires_at=datetime.fromtimestamp(_time(claims, "exp"), UTC),
        anonymous=claims.get("is_anonymous") is True,
        invoker_role=_invoker_role(claims.get("app_metadata")),
    )


def _invoker_role(app_metadata: object) -> str | None:
    """What only the issuer's service role may write; users write `user_metadata`."""
    role = app_metadata.get("invoker_role") if isinstance(app_metadata, dict) else None
    return role if isinstance(role, str) else None


def _is_lowercase_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def names(metadata: dict[str, Any]) -> tuple[str, str]:
    """First and last name from Supabase's user metadata: our sign-up's, or Google's."""
    full = _text(metadata, "full_name") or _text(metadata, "name")
    first, _, last = full.partition(" ")
    return _text(metadata, "first_name") or first, _text(metadata, "last_name") or last.strip()


def _text(metadata: dict[str, Any], key: str) -> str:
    value = metadata.get(key)
    if not isinstance(value, str):
        return ""
    # Users may write what they like at Supabase; our rows take no control characters, no novels.
    return "".join(c for c in value if c.isprintable()).strip()[:100]
