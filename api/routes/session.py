"""Sessions of browsers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.access import UnauthenticatedError
from api.accounts import ensure_account
from api.context import api_of
from api.grants.pages import page, paged
from api.grants.visitors import OWNER, check_origin
from api.models import Login
from api.problems import Problem, unauthenticated
from api.requests import identified, is_form, read_form, signed_in, store_of
from api.routes.auth import person_of, sign_in

AFTERWARDS = "/auth/do/connection"
FORM = (
    '<form method="post" action="/auth/session">'
    '<p><label>E-mail address<br><input type="email" name="email" required '
    'autocomplete="username"></label></p>'
    '<p><label>Password<br><input type="password" name="password" required '
    'autocomplete="current-password"></label></p><button>Sign in</button></form>'
)


async def sign_in_page(_: Request) -> Response:
    """A form by which somebody has a session without a program of their own."""
    return page("Sign in", "Sign in with the password of your account.", more=FORM)


@paged
async def open_session(request: Request) -> Response:
    """Give the browser a session of whoever's token it shows, in a cookie; or whose password."""
    if is_form(request):
        return await _by_password(request)
    api, identity = api_of(request), await identified(request)
    if identity.role != OWNER:
        raise Problem(403, "not-an-account", "Only an account's owner has a session here.")
    if identity.token is None:
        person = await signed_in(request)
        await ensure_account(store_of(api, person.id), person)
    response = Response(status_code=204, headers={"Cache-Control": "no-store"})
    api.sessions.open(request, response, identity)
    return response


async def close_session(request: Request) -> Response:
    """Take the browser's session away."""
    check_origin(request)
    response = Response(status_code=204, headers={"Cache-Control": "no-store"})
    api_of(request).sessions.close(request, response)
    return response


async def _by_password(request: Request) -> Response:
    check_origin(request)
    api, body = api_of(request), await read_form(request, Login)
    session = await sign_in(api, body)
    try:
        identity = await api.authenticator.identify(session.access_token)
    except UnauthenticatedError as error:
        raise unauthenticated(str(error)) from None
    if identity.role != OWNER:
        raise Problem(403, "not-an-account", "Only an account's owner has a session here.")
    person = person_of(session)
    await ensure_account(store_of(api, person.id), person)
    response = RedirectResponse(AFTERWARDS, 303, {"Cache-Control": "no-store"})
    api.sessions.open(request, response, identity)
    return response
