"""Who is asking: users' tokens and the edge's word for them, verified offline."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import anyio
import httpx
import jwt

REFETCH_SECONDS: Final = 30.0
"""A token with an unknown key id makes us ask for the keys again, but not more often than this."""

MAX_AGE_SECONDS: Final = 600.0
"""Keys older than this are asked for again, so that a withdrawn one is forgotten."""

_ALGORITHMS: Final = {"EC": "ES256", "RSA": "RS256"}
"""The key's type decides the algorithm, never the token."""

EDGE_ISSUER: Final = "invoker-edge"


class IdentityError(Exception):
    """Why a caller is turned away; the message may be shown to them."""

    status = 401
    title = "Unauthorized"


class NotOwnerError(IdentityError):
    """A valid user, but not the machine's owner."""

    status = 403
    title = "Forbidden"


class KeysUnavailableError(IdentityError):
    """The issuer's keys cannot be had at the moment, so nobody can be verified."""

    status = 503
    title = "Service Unavailable"


@dataclass(frozen=True, slots=True)
class User:
    """A verified user."""

    id: str
    email: str | None


def usable_keys(keys: Iterable[dict[str, Any]]) -> dict[str, jwt.PyJWK]:
    """Index the signing keys of a JWK set by key id, leaving out what we would not accept."""
    found = {}
    for key in keys:
        algorithm = _ALGORITHMS.get(str(key.get("kty")))
        kid = key.get("kid")
        if algorithm is None or not isinstance(kid, str) or key.get("use", "sig") != "sig":
            continue
        try:
            found[kid] = jwt.PyJWK(key, algorithm)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
    return found


class KeySet:
    """An issuer's public keys, fetched when needed, kept when the issuer is away.

    Args:
        client: Fetches them.
        url: Where the JWK set is.
        clock: Monotonic seconds; the loop's time.
    """

    def __init__(
        self, client: httpx.AsyncClient, url: str, clock: Callable[[], float] = anyio.current_time
    ) -> None:
        self._client = client
        self._url = url
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = -math.inf
        self._asked_at = -math.inf
        self._lock = anyio.Lock()

    async def get(self, kid: str) -> jwt.PyJWK | None:
        """Return the key, asking the issuer when it is unknown or the keys are old.

        Raises:
            KeysUnavailableError: There are no keys at all, and the issuer does not answer.
        """
        if self._wants_fetch(kid):
            async with self._lock:
                if self._wants_fetch(kid):  # whoever held the lock may have fetched it
                    await self._fetch()
        if not self._keys:
            raise KeysUnavailableError("the issuer's keys are not available; try again")
        return self._keys.get(kid)

    def _wants_fetch(self, kid: str) -> bool:
        now = self._clock()
        if now - self._asked_at < REFETCH_SECONDS:
            # Without any key nobody gets in: then a short pause has to do.
            return not self._keys and now - self._asked_at >= 1.0
        return kid not in self._keys or now - self._fetched_at >= MAX_AGE_SECONDS

    async def _fetch(self) -> None:
        self._asked_at = self._clock()
        try:
            response = await self._client.get(self._url)
            response.raise_for_status()
            keys = usable_keys(response.json()["keys"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
            return  # the keys that we have stay good
        if keys:
            self._keys = keys
            self._fetched_at = self._clock()


class Verifier:
    """Lets the owner in, and nobody else.

    Args:
        keys: The user tokens' issuer's keys.
        edge_keys: The edge's public keys, by key id.
        issuer: `iss` of a user's token.
        audience: `aud` of a user's token.
        owner: `sub` of the machine's owner.
        machine: The machine's uid, which is `aud` of the edge's identity.
    """

    def __init__(
        self,
        *,
        keys: KeySet,
        edge_keys: dict[str, jwt.PyJWK],
        issuer: str,
        audience: str,
        owner: str,
        machine: str,
    ) -> None:
        self._keys = keys
        self._edge_keys = edge_keys
        self._issuer = issuer
        self._audience = audience
        self._owner = owner
        self._machine = machine

    async def owner(self, authorization: str | None, identity: str | None) -> User:
        """Return the caller, who is the owner.

        Args:
            authorization: The request's `Authorization` header.
            identity: The request's `x-invoker-identity` header.

        Raises:
            NotOwnerError: A valid token of somebody else.
            KeysUnavailableError: Nobody can be verified at the moment.
            IdentityError: No token, or an invalid one.
        """
        token = _bearer(authorization)
        vouched = None if identity is None else self._vouched(identity)
        if vouched is not None and _signed_with_a_shared_secret(token):
            # Only the edge holds such a project's secret: in a machine it would let a user forge
            # everybody's tokens. The edge verified the token, and its own word is verified here.
            user = vouched
        else:
            user = await self._user(token)
        if user.id != self._owner:
            raise NotOwnerError("this machine belongs to somebody else")
        if vouched is not None and vouched.id != self._owner:
            raise IdentityError("x-invoker-identity names another user")
        return user

    async def _user(self, token: str) -> User:
        key = await self._keys.get(_kid(token))
        claims = _claims(token, key, issuer=self._issuer, audience=self._audience)
        if claims.get("role") != "authenticated":
            raise IdentityError("the token's role is not authenticated")
        return _user_of(claims)

    def _vouched(self, identity: str) -> User:
        key = self._edge_keys.get(_kid(identity))
        return _user_of(_claims(identity, key, issuer=EDGE_ISSUER, audience=self._machine))


def _user_of(claims: dict[str, Any]) -> User:
    email = claims.get("email")
    return User(str(claims["sub"]), email if isinstance(email, str) else None)


def _signed_with_a_shared_secret(token: str) -> bool:
    try:
        return str(jwt.get_unverified_header(token).get("alg")).startswith("HS")
    except jwt.PyJWTError:
        raise IdentityError("invalid token") from None


def _bearer(authorization: str | None) -> str:
    if not authorization:
        raise IdentityError("missing authorization")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise IdentityError("invalid authorization format")
    return token.strip()


def _kid(token: str) -> str:
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except jwt.PyJWTError:
        raise IdentityError("invalid token") from None
    if not isinstance(kid, str):
        raise IdentityError("invalid token: no key id")
    return kid


def _claims(token: str, key: jwt.PyJWK | None, *, issuer: str, audience: str) -> dict[str, Any]:
    if key is None:
        raise IdentityError("invalid token: unknown key")
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            issuer=issuer,
            audience=audience,
            # A clock that is a second behind the issuer's must not lock the owner out.
            options={"require": ["exp", "iss", "aud", "sub"], "verify_iat": False},
        )
    except jwt.ExpiredSignatureError:
        raise IdentityError("the token has expired") from None
    except jwt.PyJWTError:
        raise IdentityError("invalid token") from None
    return claims
