"""The client of Supabase Auth: sign-up, sign-in, refresh, sign-out, keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crds.clock import Clock

log = structlog.get_logger(__name__)

# Sign-up hashes a password and may send a mail: it takes its time.
TIMEOUT = httpx.Timeout(10.0, connect=3.0)
API_VERSION: Final = "2024-01-01"
# The names of its endpoints in the log.
OPERATIONS: Final = {
    "/signup": "auth.sign_up",
    "/token": "auth.token",
    "/logout": "auth.sign_out",
    "/.well-known/jwks.json": "auth.keys",
}

# Servers before error codes existed said it in words only.
CODES_BY_WORDS: Final = {
    "invalid login credentials": "invalid_credentials",
    "user already registered": "user_already_exists",
    "email not confirmed": "email_not_confirmed",
    "invalid refresh token": "refresh_token_not_found",
    "signups not allowed for this instance": "signup_disabled",
}


class AuthError(Exception):
    """Supabase refused.

    Attributes:
        status: Its HTTP status.
        code: Its error code, such as `invalid_credentials`; empty when it gave none.
        retry_after: Seconds to wait, when it said so.
        reasons: Why a password is too weak.
    """

    def __init__(
        self,
        status: int,
        code: str,
        *,
        retry_after: int | None = None,
        reasons: tuple[str, ...] = (),
    ) -> None:
        super().__init__(f"Supabase Auth answered {status} {code}".rstrip())
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.reasons = reasons


class AuthUnavailableError(Exception):
    """Supabase cannot be reached, or answers nothing sensible."""


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore")


class AuthUser(_Read):
    """A user as Supabase tells of them."""

    id: str
    email: str = ""
    user_metadata: dict[str, Any] = Field(default_factory=dict)


class AuthSession(_Read):
    """Tokens with their user."""

    access_token: str
    refresh_token: str
    expires_in: int
    user: AuthUser


@dataclass(frozen=True, slots=True)
class Supabase:
    """Speaks to one project's Auth API.

    Attributes:
        client: An HTTP client whose base URL is the project's `/auth/v1`.
        anon_key: The project's public API key.
    """

    client: httpx.AsyncClient
    anon_key: str

    @classmethod
    def at(
        cls, url: str, anon_key: str, transport: httpx.AsyncBaseTransport | None = None
    ) -> Supabase:
        """A client for the project at `url`; the transport is given in tests."""
        client = httpx.AsyncClient(
            base_url=f"{url}/auth/v1", transport=transport, timeout=TIMEOUT, trust_env=False
        )
        return cls(client, anon_key)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.client.aclose()

    async def sign_up(
        self, email: str, password: str, data: Mapping[str, str]
    ) -> AuthSession | None:
        """Make a user.

        Returns:
            The session, or None when the e-mail address must be confirmed first;
            Supabase answers the same for an address that it knows and wants to hide.

        Raises:
            AuthError: It refused.
            AuthUnavailableError: It did not answer.
        """
        body = {"email": email, "password": password, "data": dict(data)}
        answer = await self._call("POST", "/signup", json=body)
        return _session(answer) if "access_token" in answer else None

    async def sign_in(self, email: str, password: str) -> AuthSession:
        """Make a session from a password; raises as `sign_up` does."""
        return await self._token("password", {"email": email, "password": password})

    async def refresh(self, refresh_token: str) -> AuthSession:
        """Make a session from a refresh token, which is spent by it; raises as `sign_up` does."""
        return await self._token("refresh_token", {"refresh_token": refresh_token})

    async def sign_out(self, access_token: str, scope: str) -> None:
        """End the session of a token (`local`) or all of its user's; raises as `sign_up` does."""
        await self._call("POST", "/logout", params={"scope": scope}, bearer=access_token)

    async def keys(self) -> dict[str, Any]:
        """The JWK set; raises as `sign_up` does."""
        return await self._call("GET", "/.well-known/jwks.json")

    async def _token(self, grant: str, body: Mapping[str, str]) -> AuthSession:
        return _session(
            await self._call("POST", "/token", params={"grant_type": grant}, json=dict(body))
        )

    async def _call(
        self, method: str, path: str, *, bearer: str | None = None, **how: Any
    ) -> dict[str, Any]:
        headers = {"apikey": self.anon_key, "X-Supabase-Api-Version": API_VERSION}
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        started = Clock.monotonic()
        try:
            answer = await self.client.request(method, path, headers=headers, **how)
        except httpx.HTTPError as error:
            # Its text may hold the address with credentials: only the kind of failure is told.
            _tell(method, path, started, error=type(error).__name__)
            raise AuthUnavailableError(type(error).__name__) from None
        _tell(method, path, started, answer)
        body = _json(answer)
        if answer.is_success:
            return body
        raise _error(answer, body)


def _tell(
    method: str,
    path: str,
    started: float,
    answer: httpx.Response | None = None,
    error: str | None = None,
) -> None:
    """A line for each call, as the controller has them (docs/observability.md)."""
    failed = answer is None or answer.is_error
    (log.info if method != "GET" or failed else log.debug)(
        "provider call",
        provider="supabase",
        operation=OPERATIONS[path],
        status=None if answer is None else answer.status_code,
        seconds=round(Clock.monotonic() - started, 4),
        attempt=1,
        provider_request_id=None if answer is None else answer.headers.get("sb-request-id"),
        error=error,
    )


def _json(answer: httpx.Response) -> dict[str, Any]:
    if not answer.content:
        return {}
    try:
        body = answer.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        return body
    if answer.is_success:
        raise AuthUnavailableError("the answer is not a JSON object")
    return {}


def _session(answer: dict[str, Any]) -> AuthSession:
    try:
        return AuthSession.model_validate(answer)
    except ValidationError:
        raise AuthUnavailableError("the answer is not a session") from None


def _error(answer: httpx.Response, body: dict[str, Any]) -> Exception:
    if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        return AuthUnavailableError(f"status {answer.status_code}")
    weak = body.get("weak_password")
    reasons = weak.get("reasons") if isinstance(weak, dict) else None
    return AuthError(
        answer.status_code,
        error_code(answer.headers, body),
        retry_after=_seconds(answer.headers.get("retry-after")),
        reasons=tuple(str(reason) for reason in reasons) if isinstance(reasons, list) else (),
    )


def error_code(headers: Mapping[str, str], body: Mapping[str, Any]) -> str:
    """The error's code, whichever of Supabase's three error shapes the body has.

    They are `{code: int, error_code, msg}`, `{code: str, message}` and OAuth's
    `{error, error_description}`; the header is the same for all.
    """
    for found in (headers.get("x-sb-error-code"), body.get("error_code"), body.get("code")):
        if isinstance(found, str) and found:
            return found
    words = str(body.get("msg") or body.get("message") or body.get("error_description") or "")
    for beginning, code in CODES_BY_WORDS.items():
        if words.lower().startswith(beginning):
            return code
    return str(body.get("error") or "")


def _seconds(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None
