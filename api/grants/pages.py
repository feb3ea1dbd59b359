"""Pages for people on their way to a provider and back: small, plain, and without scripts."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Awaitable, Callable
from html import escape
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api.problems import Problem

Handler = Callable[[Request], Awaitable[Response]]

SIGN_IN: Final = "/auth/session"
STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}"
    "h1{font-size:1.5rem}"
    "a,button,input{font:inherit}a,button{display:inline-block;margin:1rem 1rem 0 0}"
    "button,input{padding:.5rem 1rem}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: browsers would then hide the origin of our own forms from us.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def wants_page(request: Request) -> bool:
    """Whether a browser asks, not a program."""
    return "text/html" in request.headers.get("accept", "")


def page(title: str, text: str, *, status: int = 200, more: str = "", again: int = 0) -> Response:
    """A page.

    Args:
        title: What it is about.
        text: What there is to say.
        status: The HTTP status.
        more: HTML of our own below the text.
        again: After so many seconds the browser asks again by itself; 0 for never.
    """
    refresh = f'<meta http-equiv="refresh" content="{again}">' if again else ""
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width">{refresh}'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1><p>{escape(text)}</p>{more}</main></body></html>",
        status,
        headers=HEADERS,
    )


def button(text: str, action: str) -> str:
    """A form that is nothing but a button."""
    return f'<form method="post" action="{escape(action)}"><button>{escape(text)}</button></form>'


def link(text: str, address: str) -> str:
    """A link."""
    return f'<a href="{escape(address)}">{escape(text)}</a>'


def paged(handler: Handler) -> Handler:
    """Have browsers shown a page in place of a problem's JSON."""

    @functools.wraps(handler)
    async def shown(request: Request) -> Response:
        try:
            return await handler(request)
        except Problem as problem:
            if not wants_page(request):
                raise
            title = problem.code.replace("-", " ").capitalize()
            more = link("Sign in", SIGN_IN) if problem.status == HTTPStatus.UNAUTHORIZED else ""
            response = page(title, problem.detail, status=problem.status, more=more)
            response.headers.update(problem.headers)
            return response

    return shown
