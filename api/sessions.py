"""Sessions of users' browsers: a short-lived signed token in a cookie that no script can read."""

from __future__ import annotations

import base64
import hmac
import json
import secrets as random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

import jwt
from jwt.types import Options
from starlette.requests import Request, cookie_parser
from starlette.responses import Response

from api.access import Authenticator, Identity
from crds.clock import Clock
from crds.credentials import KEY_BYTES, SYSTEM
from crds.secrets import Secrets

KEYS: Final = "session-keys"
"""The secret with the keys that sign sessions."""
ISSUER, AUDIENCE, ALGORITHM = "invoker", "invoker-session", "HS256"
COOKIE: Final = "control_session"
LIFETIME: Final = timedelta(minutes=30)
"""Of one token: whoever steals it has it no longer than that."""
ROTATE_AFTER: Final = timedelta(minutes=10)
"""An answer to an older one brings the next."""
LONGEST: Final = timedelta(hours=12)
"""Of a session: then its user signs in again."""
MAX_COOKIE_LENGTH: Final = 4096


@dataclass(frozen=True, slots=True)
class Session:
    """A browser's session.

    Attributes:
        account: Whose it is.
        subject: Who they are to the audit.
        began_at: When the proof was made that it was opened with.
        opened_at: When it was opened.
        issued_at: When the present token was made.
        token: The id of the token of ours that it was opened with, and ends with.
    """

    account: str
    subject: str
    began_at: datetime
    opened_at: datetime
    issued_at: datetime
    token: str | None = None

    @property
    def identity(self) -> Identity:
        """Who that is, as they were when they signed in."""
        return Identity(
            self.subject,
            "account-owner",
            self.account,
            self.token,
            issued_at=self.began_at,
            expires_at=self.opened_at + LONGEST,
        )


@dataclass(frozen=True, slots=True)
class Sessions:
    """Opens, finds and renews sessions.

    Attributes:
        keys: Keys that sign, by id; the last one signs, all of them verify.
        authenticator: Knows what was revoked since.
        clock: Judges the times.
    """

    keys: dict[str, bytes]
    authenticator: Authenticator
    clock: Clock

    @classmethod
    async def load(cls, secrets: Secrets, authenticator: Authenticator, clock: Clock) -> Self:
        """Read the keys, making the first one when there is none.

        Raises:
            SecretError: They cannot be decrypted with the configured keys.
        """
        first = {"1": base64.b64encode(random.token_bytes(KEY_BYTES)).decode()}
        held = json.loads(await secrets.ensure(SYSTEM, KEYS, json.dumps(first).encode()))
        keys = {key: base64.b64decode(value) for key, value in held.items()}
        return cls(keys, authenticator, clock)

    def open(self, request: Request, response: Response, identity: Identity) -> None:
        """Give a browser a session of somebody who has just proved who they are."""
        now = self.clock.now()
        began = identity.issued_at or now
        session = Session(identity.account, identity.subject, began, now, now, identity.token)
        _set_cookie(request, response, self._signed(session), LIFETIME)

    def close(self, request: Request, response: Response) -> None:
        """Take a browser's session away."""
        _set_cookie(request, response, "", timedelta(0))

    async def find(self, request: Request) -> Session | None:
        """The session of a browser, if it has one that is alive."""
        return await self.of_cookie(request.cookies.get(cookie_name(request), ""))

    async def of_cookie(self, cookie: str) -> Session | None:
        """The session that a cookie's value stands for, if it is alive."""
        session = self._read(cookie)
        if session is None or not await self.authenticator.still_valid(session.identity):
            return None
        return session

    async def of_header(self, cookies: str) -> Session | None:
        """The session that a `Cookie` header brings, if it is alive.

        No subdomain can plant the cookie of https, so it counts where both are there.
        """
        found = cookie_parser(cookies)
        return await self.of_cookie(found.get(f"__Host-{COOKIE}") or found.get(COOKIE, ""))

    def renew(self, request: Request, response: Response, session: Session) -> None:
        """Give a browser the next token of its session, once the present one is older."""
        now = self.clock.now()
        if now - session.issued_at < ROTATE_AFTER:
            return
        renewed = Session(
            session.account,
            session.subject,
            session.began_at,
            session.opened_at,
            now,
            session.token,
        )
        _set_cookie(request, response, self._signed(renewed), LIFETIME)

    def random_state(self) -> str:
        """What a browser is sent out with, from which `verifier_of` makes a proof."""
        return f"{self._newest}.{random.token_urlsafe(KEY_BYTES)}"

    def verifier_of(self, state: str) -> str:
        """The proof (RFC 7636) that belongs to a state: nobody can make it but we."""
        key = self.keys.get(state.partition(".")[0], b"\0" * KEY_BYTES)
        digest = hmac.digest(key, b"grant verifier:" + state.encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    @property
    def _newest(self) -> str:
        return next(reversed(self.keys))

    def _signed(self, session: Session) -> str:
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": session.account,
            "who": session.subject,
            "began": session.began_at.timestamp(),
            "opened": session.opened_at.timestamp(),
            "iat": session.issued_at.timestamp(),
            "exp": (session.issued_at + LIFETIME).timestamp(),
            "token": session.token,
        }
        newest = self._newest
        return jwt.encode(claims, self.keys[newest], ALGORITHM, headers={"kid": newest})

    def _read(self, cookie: str) -> Session | None:
        if not cookie or len(cookie) > MAX_COOKIE_LENGTH:
            return None
        try:
            key = self.keys.get(jwt.get_unverified_header(cookie).get("kid", ""))
            claims = None if key is None else _verified(cookie, key)
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        if claims is None or claims["exp"] <= self.clock.now().timestamp():
            return None
        return Session(
            claims["sub"],
            claims["who"],
            _moment(claims["began"]),
            _moment(claims["opened"]),
            _moment(claims["iat"]),
            claims["token"],
        )


def cookie_name(request: Request) -> str:
    """The cookie's name; over https one that no subdomain can set (RFC 6265bis, `__Host-`)."""
    return f"__Host-{COOKIE}" if came_by_https(request) else COOKIE


def came_by_https(request: Request) -> bool:
    """Whether the browser came by https, if only as far as the Worker.

    Who makes the header up does so to their own cookies.
    """
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))


def _verified(cookie: str, key: bytes) -> dict[str, Any]:
    # Times are judged by our own clock.
    times: Options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    return jwt.decode(
        cookie, key, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER, options=times
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _set_cookie(request: Request, response: Response, value: str, lifetime: timedelta) -> None:
    set_cookie(request, response, cookie_name(request), value, lifetime)


def set_cookie(
    request: Request, response: Response, name: str, value: str, lifetime: timedelta
) -> None:
    """Give the browser a cookie that no script can read and no other site's form brings along.

    It is not `Strict`: the way back from a provider begins on another site.

    Args:
        request: Tells whether the browser came by https.
        response: The answer that carries it.
        name: Its name.
        value: Its value; empty to take it away.
        lifetime: How long it is kept.
    """
    response.set_cookie(
        name,
        value,
        max_age=int(lifetime.total_seconds()),
        path="/",
        secure=came_by_https(request),
        httponly=True,
        samesite="lax",
    )
