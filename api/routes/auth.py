"""Sign-up, sign-in, refresh, sign-out."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from api.accounts import Person, claim_any, ensure_account
from api.answers import answer
from api.context import Api, api_of
from api.models import Login, Logout, Refresh, Register, Session, User
from api.problems import Problem, invalid, unauthenticated, unavailable
from api.requests import bearer, read_body, signed_in, store_of
from api.rows import revise
from api.supabase import AuthError, AuthSession
from api.tokens import names
from crds.account import Account
from crds.errors import NotFoundError

RETRY_AFTER_SECONDS = 30

# Supabase's error codes: our status, our problem code, the words for people.
REFUSALS: Final = {
    "email_address_invalid": (422, "email-refused", "This e-mail address is not accepted."),
    "email_address_not_authorized": (422, "email-refused", "This e-mail address is not accepted."),
    "email_not_confirmed": (403, "email-not-confirmed", "Confirm your e-mail address first."),
    "email_provider_disabled": (403, "sign-up-closed", "Nobody can sign up at present."),
    "signup_disabled": (403, "sign-up-closed", "Nobody can sign up at present."),
    "user_banned": (403, "account-banned", "This account may not sign in. Contact support."),
    "validation_failed": (422, "refused", "The authentication service did not accept the input."),
    "captcha_failed": (403, "captcha-failed", "The authentication service wants a captcha solved."),
}
EXISTS: Final = frozenset({"user_already_exists", "email_exists"})
WRONG_CREDENTIALS: Final = frozenset({"invalid_credentials", "invalid_grant", "user_not_found"})
ENDED_SESSION: Final = frozenset(
    {
        "refresh_token_not_found",
        "refresh_token_already_used",
        "session_expired",
        "session_not_found",
        "invalid_grant",
        "user_not_found",
    }
)


async def register(request: Request) -> Response:
    """Make a user, their account and their subdomain; completes what an earlier try left undone."""
    body = await read_body(request, Register)
    api = api_of(request)
    session = await _sign_up(api, body)
    if session is None:
        return answer(_unconfirmed(body), 201)
    person = Person(session.user.id, body.email, body.first_name, body.last_name)
    return answer(await _complete(api, person, session), 201)


async def login(request: Request) -> Response:
    """Sign in with a password; an account or subdomain that is missing is made."""
    body = await read_body(request, Login)
    api = api_of(request)
    session = await sign_in(api, body)
    return answer(await _complete(api, person_of(session), session))


async def sign_in(api: Api, body: Login) -> AuthSession:
    """A session at Supabase.

    Raises:
        Problem: There is none for this address and password.
        AuthUnavailableError: Supabase does not answer.
    """
    try:
        return await api.supabase.sign_in(body.email, body.password)
    except AuthError as error:
        raise _refusal(error) from None


async def refresh(request: Request) -> Response:
    """Exchange a refresh token, which is spent by it, for new tokens."""
    body = await read_body(request, Refresh)
    api = api_of(request)
    try:
        session = await api.supabase.refresh(body.refresh_token)
    except AuthError as error:
        if error.code in ENDED_SESSION:
            raise unauthenticated("The session has ended: sign in again.") from None
        raise _refusal(error) from None
    return answer(await _complete(api, person_of(session), session))


async def logout(request: Request) -> Response:
    """End the session; with scope `global` all of the user's, and their access tokens."""
    person = await signed_in(request)
    body = await read_body(request, Logout, optional=True)
    api = api_of(request)
    if body.scope == "global":
        await _revoke_tokens(api, person.id)
    try:
        await api.supabase.sign_out(bearer(request), body.scope)
    except AuthError as error:
        # 401, 403, 404: there is no such session any more, which is what was wanted.
        if error.status not in (401, 403, 404):
            raise _refusal(error) from None
    return Response(status_code=204)


async def _sign_up(api: Api, body: Register) -> AuthSession | None:
    """A session of the user, new or returning; None: the address must be confirmed first.

    Where addresses are confirmed, Supabase hides whether it knows one, and so do we:
    a wrong password for a known address and a new address get the same answer.
    """
    data = {"first_name": body.first_name, "last_name": body.last_name}
    exists = False
    try:
        session = await api.supabase.sign_up(body.email, body.password, data)
    except AuthError as error:
        if error.code not in EXISTS:
            raise _refusal(error) from None
        exists, session = True, None
    if session is not None:
        return session
    try:
        return await api.supabase.sign_in(body.email, body.password)
    except AuthError as error:
        if exists and error.code in WRONG_CREDENTIALS:
            detail = "There is an account with this e-mail address: sign in instead."
            raise Problem(409, "already-registered", detail) from None
        if error.code in WRONG_CREDENTIALS or error.code == "email_not_confirmed":
            return None
        raise _refusal(error) from None


async def _complete(api: Api, person: Person, session: AuthSession) -> Session:
    structlog.contextvars.bind_contextvars(user_id=person.id)
    store = store_of(api, person.id)
    await ensure_account(store, person)
    return Session(
        user=User(
            id=person.id,
            email=person.email,
            first_name=person.first_name,
            last_name=person.last_name,
        ),
        subdomain=await claim_any(store, person),
        access_token=session.access_token,
        refresh_token=session.refresh_token,
        expires_in=session.expires_in,
    )


def _unconfirmed(body: Register) -> Session:
    return Session(
        user=User(id=None, email=body.email, first_name=body.first_name, last_name=body.last_name),
        subdomain=None,
        access_token=None,
        refresh_token=None,
        expires_in=None,
        reason="email_confirmation_required",
    )


def person_of(session: AuthSession) -> Person:
    """Whom a session is of."""
    return Person(session.user.id, session.user.email, *names(session.user.user_metadata))


async def _revoke_tokens(api: Api, account: str) -> None:
    now = api.store.clock.now()

    def change(row: Account) -> bool:
        # Tokens tell their time in whole seconds: those of this second are refused too.
        row.spec.tokens_valid_after = now.replace(microsecond=0) + timedelta(seconds=1)
        return True

    with suppress(NotFoundError):
        await revise(store_of(api, account), Account, account, "", change)


def _refusal(error: AuthError) -> Problem:
    if error.code in WRONG_CREDENTIALS:
        return unauthenticated("E-mail address or password is wrong.", "wrong-credentials")
    if error.code == "weak_password":
        reasons = ", ".join(error.reasons) or "strength"
        return invalid([("password", f"is too weak: {reasons}")])
    if error.status == 429:  # noqa: PLR2004 - Too Many Requests
        wait = error.retry_after or RETRY_AFTER_SECONDS
        detail = "Too many attempts: wait a little."
        return Problem(429, "too-many-requests", detail, retry_after=wait)
    if error.code in REFUSALS:
        return Problem(*REFUSALS[error.code])
    # Not the user's doing: a wrong project key, or a refusal that we do not know.
    return auth_unavailable()


def auth_unavailable() -> Problem:
    """503: Supabase does not answer, or not sensibly."""
    detail = "The authentication service does not answer at present."
    return unavailable("auth-unavailable", detail, RETRY_AFTER_SECONDS)
