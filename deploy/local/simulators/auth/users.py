"""Sign-up, sign-in, sessions and the administrator's hand."""

import hashlib
import hmac
import random
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import jwt

from deploy.local.simulators.auth.keys import Keys
from deploy.local.simulators.auth.state import AuthError, Session, User
from deploy.local.simulators.clock import Now, wall_anchored
from deploy.local.simulators.ids import Ids
from deploy.local.simulators.limits import AuthLimits

DEFAULT_ANON_KEY = "sim-anon-key"
DEFAULT_SERVICE_KEY = "sim-service-role-key"
DEFAULT_ISSUER = "https://invoker.supabase.co/auth/v1"
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+|[^@\s]+@localhost")
_BAN = re.compile(r"(\d+)([smh])")
_UNITS = {"s": 1, "m": 60, "h": 3600}
_MIN_PASSWORD = 6
_TOKEN_SECONDS = 3600
_REUSE_SECONDS = 10
_SCRYPT_COST = 2**10  # cheap on purpose: the simulator guards nothing


class SupabaseAuth:
    """One project's users.

    Args:
        anon_key: the public API key.
        service_key: the administrator's API key and bearer token.
        issuer: the `iss` claim.
        autoconfirm: sign up with a session at once; else the e-mail must be confirmed first.
        hs256_secret: sign with HS256 instead of ES256; the JWKS is empty then.
        now: clock, unix seconds; the running loop's by default.
        rng: where identifiers, tokens and keys come from.
        limits: rate limits, off by default.

    Attributes:
        on_change: called after every change; persistence hooks in here.
    """

    def __init__(
        self,
        *,
        anon_key: str = DEFAULT_ANON_KEY,
        service_key: str = DEFAULT_SERVICE_KEY,
        issuer: str = DEFAULT_ISSUER,
        autoconfirm: bool = True,
        hs256_secret: str = "",
        now: Now | None = None,
        rng: random.Random | None = None,
        limits: AuthLimits | None = None,
    ) -> None:
        self.anon_key = anon_key
        self.service_key = service_key
        self.issuer = issuer
        self.autoconfirm = autoconfirm
        self.now = now or wall_anchored()
        self.ids = Ids(rng or random.Random(2))  # noqa: S311 - reproducible, not secret
        self.keys = Keys(self.ids.rng, hs256_secret)
        self.limits = limits or AuthLimits()
        self.users: dict[str, User] = {}
        self.sessions: dict[str, Session] = {}
        self._by_email: dict[str, str] = {}
        self._by_token: dict[str, str] = {}
        self.on_change: Callable[[], None] | None = None

    def sign_up(
        self, email: str, password: str, data: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Make a user; return a session with autoconfirm, else only the user.

        Raises:
            AuthError: 400 or 422 for a bad or known address or a weak password.
        """
        address = email.strip().lower()
        self._check_new(address, password)
        known = self.users.get(self._by_email.get(address, ""))
        if known is not None and self.autoconfirm:
            raise AuthError(422, "user_already_exists", "User already registered")
        if known is not None:
            return self._obfuscated(known)
        user = self.add_user(address, password, data, confirmed=self.autoconfirm)
        return self._session(user) if self.autoconfirm else user.view()

    def add_user(
        self,
        email: str,
        password: str,
        data: dict[str, Any] | None = None,
        *,
        confirmed: bool = True,
    ) -> User:
        """Make a user without asking."""
        now = self.now()
        user = User(self.ids.uuid(), email, self._hash(password), now, now)
        user.confirmed_at = now if confirmed else None
        user.user_metadata = data or {}
        self.users[user.id] = user
        self._by_email[email] = user.id
        self._notify()
        return user

    def confirm(self, email: str) -> None:
        """Confirm an address, as its owner does by following the link."""
        self.users[self._by_email[email]].confirmed_at = self.now()
        self._notify()

    def sign_in(self, email: str, password: str) -> dict[str, Any]:
        """Begin a session.

        Raises:
            AuthError: 400 for a wrong pair, an unconfirmed address or a banned user.
        """
        user = self.users.get(self._by_email.get(email.strip().lower(), ""))
        if user is None or not _same(user.password, password):
            raise AuthError(400, "invalid_credentials", "Invalid login credentials")
        self._check_banned(user)
        if user.confirmed_at is None:
            raise AuthError(400, "email_not_confirmed", "Email not confirmed")
        user.last_sign_in_at = self.now()
        return self._session(user)

    def refresh(self, token: str) -> dict[str, Any]:
        """Exchange a refresh token for a new pair.

        A token that was used before ends its session, unless it is the last one used and
        that was under ten seconds ago.

        Raises:
            AuthError: 400 for an unknown or used token or a banned user.
        """
        session = self.sessions.get(self._by_token.get(token, ""))
        if session is None:
            raise AuthError(
                400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found"
            )
        self._check_banned(self.users[session.user])
        if token == session.tokens[-1]:
            return self._tokens(session)
        recent = self.now() - session.refreshed_at < _REUSE_SECONDS
        if recent and token in session.tokens[-2:]:
            return self._tokens(session, session.tokens[-1])
        self._end(session)
        raise AuthError(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")

    def sign_out(self, bearer: str, scope: str) -> None:
        """End all sessions (`global`), the others (`others`) or this one (`local`).

        Access tokens that are out stay valid until they expire.

        Raises:
            AuthError: as `whoami` does.
        """
        user, session = self.whoami(bearer)
        mine = [s for s in self.sessions.values() if s.user == user.id]
        for other in mine:
            same = other.id == session.id
            if scope == "global" or same == (scope == "local"):
                self._end(other)

    def whoami(self, bearer: str) -> tuple[User, Session]:
        """Return whose access token this is.

        Raises:
            AuthError: 401 without one, 403 for a bad one or one of an ended session.
        """
        if not bearer:
            raise AuthError(401, "no_authorization", "This endpoint requires a Bearer token")
        try:
            claims = self.keys.verify(bearer)
        except jwt.PyJWTError as error:
            raise AuthError(403, "bad_jwt", "invalid JWT: unable to parse or verify") from error
        if claims["exp"] <= self.now():
            raise AuthError(403, "bad_jwt", "invalid JWT: token is expired")
        session = self.sessions.get(claims["session_id"])
        if session is None:
            raise AuthError(
                403, "session_not_found", "Session from session_id claim in JWT does not exist"
            )
        return self.users[session.user], session

    def change(self, user: User, body: dict[str, Any]) -> dict[str, Any]:
        """Change a user's address, password or metadata."""
        if password := body.get("password"):
            _check_password(password)
            user.password = self._hash(password)
        if email := body.get("email"):
            self._by_email.pop(user.email, None)
            user.email = email.strip().lower()
            self._by_email[user.email] = user.id
        user.user_metadata |= body.get("data") or body.get("user_metadata") or {}
        user.updated_at = self.now()
        self._notify()
        return user.view()

    # The administrator's hand

    def admin_change(self, user_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """Change any user; `ban_duration` is a duration such as `24h`, or `none`.

        Raises:
            AuthError: 404 for an unknown user, 400 for a bad duration.
        """
        user = self.user(user_id)
        user.app_metadata |= body.get("app_metadata") or {}
        if duration := body.get("ban_duration"):
            user.banned_until = None if duration == "none" else self.now() + _seconds(duration)
        return self.change(user, body)

    def user(self, user_id: str) -> User:
        """Return a user.

        Raises:
            AuthError: 404 when there is none.
        """
        if user_id not in self.users:
            raise AuthError(404, "user_not_found", "User not found")
        return self.users[user_id]

    def delete_user(self, user_id: str) -> dict[str, Any]:
        """Delete a user with all sessions; return what it was."""
        user = self.user(user_id)
        for session in [s for s in self.sessions.values() if s.user == user_id]:
            self._end(session)
        del self.users[user_id]
        self._by_email.pop(user.email, None)
        self._notify()
        return user.view()

    # Persistence

    def dump(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "rng": self.ids.dump(),
            "keys": [str(number) for number in self.keys.numbers],
            "users": [asdict(user) for user in self.users.values()],
            "sessions": [asdict(session) for session in self.sessions.values()],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `dump` returned."""
        self.ids.load(state["rng"])
        self.keys.numbers = [int(number) for number in state["keys"]]
        self.users = {saved["id"]: User(**saved) for saved in state["users"]}
        self.sessions = {saved["id"]: Session(**saved) for saved in state["sessions"]}
        self._by_email = {user.email: user.id for user in self.users.values()}
        self._by_token = {t: s.id for s in self.sessions.values() for t in s.tokens}

    # Steps

    def _check_new(self, email: str, password: str) -> None:
        if not _EMAIL.fullmatch(email):
            raise AuthError(
                400, "validation_failed", "Unable to validate email address: invalid format"
            )
        _check_password(password)

    def _check_banned(self, user: User) -> None:
        if user.banned_until is not None and user.banned_until > self.now():
            raise AuthError(400, "user_banned", "User is banned")

    def _obfuscated(self, known: User) -> dict[str, Any]:
        if known.confirmed_at is None:
            return known.view()
        now = self.now()
        fake = User(self.ids.uuid(), known.email, "", now, now)
        return fake.view() | {"identities": [], "role": ""}

    def _session(self, user: User) -> dict[str, Any]:
        session = Session(self.ids.uuid(), user.id, self.now())
        self.sessions[session.id] = session
        return self._tokens(session)

    def _tokens(self, session: Session, refresh_token: str = "") -> dict[str, Any]:
        user, now = self.users[session.user], self.now()
        if not refresh_token:
            refresh_token = self.ids.hex(24)
            session.tokens.append(refresh_token)
            session.refreshed_at = now
            self._by_token[refresh_token] = session.id
        self._notify()
        return {
            "access_token": self.keys.sign(self._claims(user, session, now)),
            "token_type": "bearer",
            "expires_in": _TOKEN_SECONDS,
            "expires_at": int(now) + _TOKEN_SECONDS,
            "refresh_token": refresh_token,
            "user": user.view(),
        }

    def _claims(self, user: User, session: Session, now: float) -> dict[str, Any]:
        view = user.view()
        return {
            "iss": self.issuer,
            "sub": user.id,
            "aud": "authenticated",
            "exp": int(now) + _TOKEN_SECONDS,
            "iat": int(now),
            "email": user.email,
            "phone": "",
            "app_metadata": view["app_metadata"],
            "user_metadata": user.user_metadata,
            "role": "authenticated",
            "aal": "aal1",
            "amr": [{"method": "password", "timestamp": int(session.created_at)}],
            "session_id": session.id,
            "is_anonymous": False,
        }

    def _end(self, session: Session) -> None:
        self.sessions.pop(session.id, None)
        for token in session.tokens:
            self._by_token.pop(token, None)
        self._notify()

    def _hash(self, password: str) -> str:
        salt = self.ids.rng.getrandbits(128).to_bytes(16, "big")
        return f"{salt.hex()}${_scrypt(password, salt)}"

    def _notify(self) -> None:
        if self.on_change:
            self.on_change()


def _scrypt(password: str, salt: bytes) -> str:
    return hashlib.scrypt(password.encode(), salt=salt, n=_SCRYPT_COST, r=8, p=1).hex()


def _same(stored: str, password: str) -> bool:
    salt, _, expected = stored.partition("$")
    return hmac.compare_digest(expected, _scrypt(password, bytes.fromhex(salt)))


def _check_password(password: str) -> None:
    if len(password) < _MIN_PASSWORD:
        text = f"Password should be at least {_MIN_PASSWORD} characters."
        more = {"weak_password": {"reasons": ["length"]}}
        raise AuthError(422, "weak_password", text, more=more)


def _seconds(duration: str) -> int:
    found = _BAN.fullmatch(duration)
    if found is None:
        raise AuthError(400, "validation_failed", "invalid format for ban duration")
    return int(found[1]) * _UNITS[found[2]]
