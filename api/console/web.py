"""What every page of the console shares: headers, forms, refusals, and who asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api.access import Attributes, allows
from api.console.addresses import NO_NAMESPACE
from api.console.desk import Desk
from api.console.visitors import THEME, Visitor
from crds.meta import Resource
from crds.registry import KINDS
from crds.store import Actor

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: browsers would then hide the origin of our own forms from us.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
NO_STORE: Final = "no-store"
# A manifest may have annotations of 256 KiB; the edit form carries it twice, percent-encoded.
MAX_FORM_BYTES: Final = 3 * 1024 * 1024
MAX_FIELDS: Final = 50
THEMES: Final = ("auto", "light", "dark")
BY_PLURAL: Final[Mapping[str, type[Resource]]] = {kind.PLURAL: kind for kind in KINDS.values()}


class Refusal(Exception):  # noqa: N818 - it is an answer, and not every one is an error of ours
    """A page that says why not.

    Attributes:
        status: The HTTP status.
        title: What it is, in a few words.
        text: What to do about it.
        headers: Headers of the answer.
    """

    def __init__(
        self, status: int, title: str, text: str, *, retry_after: int = 0, allow: str = ""
    ) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.text = text
        self.headers = {"Retry-After": str(retry_after)} if retry_after else {}
        if allow:
            self.headers["Allow"] = allow


class SignInNeededError(Exception):
    """There is no session, or it has ended."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of somebody with a session.

    Attributes:
        request: The request.
        desk: What the console works with.
        visitor: Who asks.
        form: The fields of a form that was sent.
    """

    request: Request
    desk: Desk
    visitor: Visitor
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def actor(self) -> Actor:
        """Who they are to the audit."""
        request_id = structlog.contextvars.get_contextvars().get("request_id", "")
        return self.visitor.identity.actor("console", str(request_id))

    def page(self, template: str, status: int = 200, **context: Any) -> Response:
        """An answer with a page."""
        return page(self.request, self.desk, template, status, visitor=self.visitor, **context)

    def kind(self) -> type[Resource]:
        """The kind that the address names.

        Raises:
            Refusal: There is none.
        """
        kind = BY_PLURAL.get(self.request.path_params["plural"])
        if kind is None:
            raise missing()
        return kind

    def key(self) -> tuple[str, str]:
        """Namespace and name that the address names."""
        namespace = self.request.path_params["namespace"]
        return "" if namespace == NO_NAMESPACE else namespace, self.request.path_params["name"]

    def check(self, verb: str, kind: type[Resource], namespace: str = "", name: str = "") -> None:
        """Refuse what the visitor's role does not allow.

        Raises:
            Refusal: It does not.
        """
        asked = Attributes(verb, kind.PLURAL, namespace=namespace, name=name)
        if not allows(self.visitor.identity, asked):
            raise forbidden(f"{verb} {kind.PLURAL}")


def page(
    request: Request, desk: Desk, template: str, status: int = 200, **context: Any
) -> HTMLResponse:
    """An answer with a page."""
    theme = request.cookies.get(THEME, "auto")
    html = desk.templates.page(
        template,
        path=request.url.path,
        address=address_of(request),
        theme=theme if theme in THEMES else "auto",
        now=desk.store.clock.now(),
        kinds=list(KINDS.values()),
        **context,
    )
    return HTMLResponse(html, int(status))


def refuse(
    request: Request, desk: Desk, refusal: Refusal, visitor: Visitor | None, kept: str = ""
) -> Response:
    """The page of a refusal.

    Args:
        request: What was asked.
        desk: What the console works with.
        refusal: Why not.
        visitor: Who asked, if that is known.
        kept: What they had typed, so that it is not lost.
    """
    response = page(
        request, desk, "refusal.html", refusal.status, visitor=visitor, refusal=refusal, kept=kept
    )
    response.headers.update(refusal.headers)
    return response


def missing() -> Refusal:
    """404."""
    return Refusal(404, "There is nothing here", "It may have been deleted, or never have been.")


def forbidden(what: str) -> Refusal:
    """403."""
    return Refusal(403, "Your role does not allow this", f"It asked for: {what}.")


def gone_by(address: str) -> Response:
    """Go on to another page, by a fresh GET."""
    return RedirectResponse(address, 303)


def address_of(request: Request) -> str:
    """Path and query, as a link says them."""
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{request.url.path}{query}"


def check_origin(request: Request) -> None:
    """Refuse a form that another site sent.

    Raises:
        Refusal: The browser says so, or says nothing.
    """
    origin = request.headers.get("origin")
    if origin is not None:
        same = urlsplit(origin).netloc == request.headers.get("host")
    else:
        same = request.headers.get("sec-fetch-site") == "same-origin"
    if not same:
        raise Refusal(403, "This form came from another site", "Nothing was done.")


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form; of several with one name the last.

    Raises:
        Refusal: It is too large, or no form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Refusal(415, "This is not a form", "Send it from one of the console's pages.")
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > MAX_FORM_BYTES:
                raise Refusal(413, "This is too much at once", "Nothing was changed.")
    except ClientDisconnect:
        raise Refusal(400, "The form ended early", "Nothing was changed.") from None
    try:
        fields = parse_qsl(
            data.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except ValueError:
        raise Refusal(400, "The form cannot be read", "Nothing was changed.") from None
    return {name: value.replace("\r\n", "\n") for name, value in fields}
