"""The console's routes: every answer has the same headers, every form its proof."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import urlencode

import psycopg
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from api.console import entrance, forms, pages, streams
from api.console.addresses import PATH
from api.console.desk import Desk
from api.console.live import EVENT_STREAM, SESSION_ENDED
from api.console.visitors import OPERATORS, Visitor, proves
from api.console.web import (
    HEADERS,
    NO_STORE,
    Refusal,
    SignInNeededError,
    Visit,
    address_of,
    check_origin,
    gone_by,
    missing,
    page,
    read_form,
    refuse,
)
from api.keys import KeysUnavailableError
from api.observe import TEMPLATE
from crds.errors import InvalidError, NotFoundError, StoreError

log = structlog.get_logger(__name__)

H = TypeVar("H")
DeskOf = Callable[[Request], Desk]
Page = Callable[[Visit], Awaitable[Response]]
Public = Callable[[Request, Desk], Awaitable[Response]]

OBJECT: Final = f"{PATH}/{{plural}}/{{namespace}}/{{name}}"
PAGES: Final[Mapping[str, Mapping[str, Page]]] = {
    PATH: {"GET": pages.fleet},
    f"{PATH}/": {"GET": pages.home},
    f"{PATH}/find": {"GET": pages.find_all},
    f"{PATH}/sign-out": {"POST": entrance.sign_out},
    f"{PATH}/theme": {"POST": forms.theme},
    f"{PATH}/live": {"GET": streams.fleet},
    f"{PATH}/live/{{plural}}": {"GET": streams.table},
    f"{PATH}/live/{{plural}}/{{namespace}}/{{name}}": {"GET": streams.detail},
    f"{PATH}/{{plural}}": {"GET": pages.table},
    OBJECT: {"GET": pages.detail},
    f"{OBJECT}/raw": {"GET": pages.raw},
    f"{OBJECT}/edit": {"GET": forms.edit, "POST": forms.save},
    f"{OBJECT}/do/{{action}}": {"GET": forms.confirm, "POST": forms.act},
}
PUBLIC: Final[Mapping[str, Mapping[str, Public]]] = {
    f"{PATH}/sign-in": {"GET": entrance.sign_in_page, "POST": entrance.sign_in},
    f"{PATH}/static/{{name}}": {"GET": pages.static},
}

UNAVAILABLE: Final = 503
MEANINGS: Final[Sequence[tuple[type[Exception], int, str, str]]] = (
    (NotFoundError, 404, "There is nothing here", "It may have been deleted meanwhile."),
    (
        StoreError,
        409,
        "Somebody else changed it at the same moment",
        "Nothing was changed. Look at the object again and repeat what you did.",
    ),
    (
        psycopg.OperationalError,
        UNAVAILABLE,
        "The database does not answer",
        "Machines go on running and routed. Try again in a moment.",
    ),
    (
        KeysUnavailableError,
        UNAVAILABLE,
        "The issuer of this token cannot be asked",
        "A token of the console's own works meanwhile.",
    ),
)


def routes(desk_of: DeskOf) -> Sequence[BaseRoute]:
    """The console's routes, under their whole paths.

    Args:
        desk_of: What the console works with, for a request.
    """
    doors = [Door(path, desk_of, public=handlers) for path, handlers in PUBLIC.items()]
    doors += [Door(path, desk_of, pages=handlers) for path, handlers in PAGES.items()]
    # Whatever else is below is answered here too, with the same headers.
    doors.append(Door(f"{PATH}/{{rest:path}}", desk_of))
    return [Route(door.path, door) for door in doors]


@dataclass(frozen=True)
class Door:
    """Everything at one path; an ASGI application.

    Attributes:
        path: The path's template.
        desk_of: What the console works with.
        pages: By method, what those with a session get.
        public: By method, what anybody gets.
    """

    path: str
    desk_of: DeskOf
    pages: Mapping[str, Page] | None = None
    public: Mapping[str, Public] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        scope[TEMPLATE] = self.path
        request = Request(scope, receive)
        response = await Answering(self, request, self.desk_of(request)).answer()
        for name, value in HEADERS.items():
            response.headers[name] = value
        response.headers.setdefault("Cache-Control", NO_STORE)
        await response(scope, receive, send)


class Answering:
    """The way from one request to its answer.

    Args:
        door: Where it came.
        request: The request.
        desk: What the console works with.
    """

    def __init__(self, door: Door, request: Request, desk: Desk) -> None:
        self._door = door
        self._request = request
        self._desk = desk
        self._visitor: Visitor | None = None
        self._form: Mapping[str, str] = {}

    async def answer(self) -> Response:
        """The answer, whatever happens."""
        try:
            return await self._serve()
        except SignInNeededError:
            return await self._ask_to_sign_in()
        except Exception as error:  # noqa: BLE001 - whatever it is, there is a page for it
            return self._refuse(_refusal_of(error, self._request.url.path))

    async def _serve(self) -> Response:
        method = "GET" if self._request.method == "HEAD" else self._request.method
        if self._door.public is not None:
            return await _chosen(self._door.public, method)(self._request, self._desk)
        self._visitor = await self._desk.sessions.find(self._request)
        if self._visitor is None:
            raise SignInNeededError
        if self._visitor.identity.role not in OPERATORS:
            raise Refusal(403, "This console is for operators", "Your role has no pages here.")
        if self._door.pages is None:
            raise missing()
        handler = _chosen(self._door.pages, method)
        if method == "POST":
            await self._take_form(self._visitor)
        return await handler(Visit(self._request, self._desk, self._visitor, self._form))

    async def _take_form(self, visitor: Visitor) -> None:
        check_origin(self._request)
        self._form = await read_form(self._request)
        if not proves(self._form.get("proof", ""), visitor.token):
            raise Refusal(
                403,
                "This form is not of your present session",
                "Nothing was done. Open the page again and repeat what you did.",
            )

    async def _ask_to_sign_in(self) -> Response:
        request = self._request
        if request.method == "POST":
            check_origin(request)
            self._form = await read_form(request)
            return entrance.interrupted(request, self._desk, self._form)
        if EVENT_STREAM in request.headers.get("accept", ""):
            # A page that lost its stream: it shall say so, and not try again.
            return Response(SESSION_ENDED, media_type=EVENT_STREAM)
        if request.headers.get("sec-fetch-mode", "navigate") != "navigate":
            # A script: a page would not help it.
            return Response(status_code=401)
        if request.headers.get("sec-fetch-site") == "cross-site":
            # The browser keeps the cookie back when another site led here: ask once more as us.
            return page(request, self._desk, "again.html", visitor=None)
        query = urlencode({"next": address_of(request)})
        return gone_by(f"{PATH}/sign-in?{query}")

    def _refuse(self, refusal: Refusal) -> Response:
        kept = self._form.get("yaml", "")
        return refuse(self._request, self._desk, refusal, self._visitor, kept)


def _chosen(handlers: Mapping[str, H], method: str) -> H:
    handler = handlers.get(method)
    if handler is None:
        allow = ", ".join(handlers)
        raise Refusal(405, "This page takes no such request", f"It takes {allow}.", allow=allow)
    return handler


def _refusal_of(error: Exception, path: str) -> Refusal:
    """What a page says of an error."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, InvalidError):
        rules = "; ".join(f"{cause.field}: {cause.message}" for cause in error.causes)
        return Refusal(422, "The object breaks rules of its kind", rules)
    for kind, status, title, text in MEANINGS:
        if isinstance(error, kind):
            return Refusal(status, title, text, retry_after=5 if status == UNAVAILABLE else 0)
    log.error("console page failed", path=path, exc_info=error)
    return Refusal(500, "Something went wrong on our side", "It has been noted.")
