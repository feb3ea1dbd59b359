"""The streams beside the pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from starlette.responses import Response, StreamingResponse

from api.console.detail import ObjectView
from api.console.limits import TooManyStreamsError
from api.console.live import EVENT_STREAM, View, Waker, updates
from api.console.objects import named
from api.console.pages import table_view
from api.console.views import FleetView
from api.console.web import Visit

HEADERS = {
    "Content-Type": EVENT_STREAM,
    "Cache-Control": "no-store, no-transform",
    # A proxy that gathers the answer would hold every update back.
    "X-Accel-Buffering": "no",
}
LATER = 429


async def fleet(visit: Visit) -> Response:
    """The first page's stream."""
    return _stream(visit, FleetView(visit.desk, visit.visitor))


async def table(visit: Visit) -> Response:
    """A table's stream."""
    return _stream(visit, table_view(visit))


async def detail(visit: Visit) -> Response:
    """An object's stream."""
    found = await named(visit)
    view = ObjectView(visit.desk, visit.visitor, found.kind, found.namespace, found.name)
    return _stream(visit, view)


def _stream(visit: Visit, view: View) -> Response:
    places = visit.desk.streams
    session = visit.visitor.identity.token or ""
    if places.full(session):
        return Response(status_code=LATER, headers={"Retry-After": "10"})
    seen = visit.request.headers.get("last-event-id") or visit.request.query_params.get("at", "")

    async def body() -> AsyncIterator[bytes]:
        waker = Waker(visit.desk.follow, visit.desk.store.log.newest, view.concerns)
        try:
            with places.one_more(session):
                async with (
                    waker.running(),
                    aclosing(
                        updates(view, waker, lambda: visit.desk.sessions.alive(visit.visitor), seen)
                    ) as parts,
                ):
                    async for part in parts:
                        yield part
        except TooManyStreamsError:
            return

    return StreamingResponse(body(), headers=HEADERS)
