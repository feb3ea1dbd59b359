"""Who asks: a browser with a session, or a program with a token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from api.access import Identity
from api.context import api_of
from api.problems import Problem, unauthenticated
from api.requests import identified
from api.sessions import Session

OWNER: Final = "account-owner"


class Visitor(NamedTuple):
    """Whoever asks.

    Attributes:
        identity: Who they are.
        session: The session of their browser; None for a program with a token.
    """

    identity: Identity
    session: Session | None


VisitorHandler = Callable[[Request, Visitor], Awaitable[Response]]
Handler = Callable[[Request], Awaitable[Response]]


def visited(handler: VisitorHandler) -> Handler:
    """Let in who has a session or shows a token; a session that gets old is renewed."""

    @wraps(handler)
    async def entered(request: Request) -> Response:
        visitor = await visitor_of(request)
        response = await handler(request, visitor)
        if visitor.session is not None:
            api_of(request).sessions.renew(request, response, visitor.session)
        return response

    return entered


async def visitor_of(request: Request) -> Visitor:
    """Whoever asks, by the Authorization header or else by the session's cookie.

    Raises:
        Problem: Neither proves anything, it is no account's owner, or another site sent a form.
    """
    if "authorization" in request.headers:
        visitor = Visitor(await identified(request), None)
    else:
        session = await api_of(request).sessions.find(request)
        if session is None:
            detail = "Sign in first: your browser has no session here, or it has ended."
            raise unauthenticated(detail, "no-session")
        if request.method not in ("GET", "HEAD"):
            check_origin(request)
        visitor = Visitor(session.identity, session)
    if visitor.identity.role != OWNER:
        raise Problem(403, "not-an-account", "Only an account's owner can do this.")
    return visitor


def check_origin(request: Request) -> None:
    """Refuse what another site had the browser send.

    The bare domain's own pages come through the Worker, which asks under another host.

    Raises:
        Problem: The browser says so, or says nothing.
    """
    origin = request.headers.get("origin")
    if origin is not None:
        front = urlsplit(api_of(request).settings.front_url).netloc
        own = (request.headers.get("host"), front, f"www.{front}")
        same = urlsplit(origin).netloc in own
    else:
        same = request.headers.get("sec-fetch-site") == "same-origin"
    if not same:
        raise Problem(403, "foreign-origin", "This came from another site. Nothing was done.")
