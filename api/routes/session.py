"""Sessions of browsers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api.accounts import ensure_account
from api.context import api_of
from api.grants.routes import OWNER, check_origin
from api.problems import Problem
from api.requests import identified, signed_in, store_of


async def open_session(request: Request) -> Response:
    """Give the browser a session of whoever's token it shows, in a cookie."""
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
