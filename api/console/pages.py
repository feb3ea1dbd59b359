"""The pages that only show."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from mimetypes import guess_type
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from api.console import tables
from api.console.actions import BY_NAME
from api.console.addresses import PATH, object_path
from api.console.desk import Desk
from api.console.detail import ObjectView
from api.console.objects import named
from api.console.rendering import as_yaml
from api.console.rendering import query as query_of
from api.console.views import FleetView, TableView
from api.console.web import Visit, gone_by, missing
from crds.meta import Resource
from crds.registry import KINDS

# Static files are asked for by the digest of their content.
FOR_EVER: Final = "public, max-age=31536000, immutable"
FOUND_OF_A_KIND: Final = 8
DONE: Final[Mapping[str, str]] = {
    "edit": "The object was saved.",
    **{name: action.done for name, action in BY_NAME.items()},
}


async def fleet(visit: Visit) -> Response:
    """The fleet at a glance."""
    # Whoever loads the page sees what they have just done.
    rendering = await FleetView(visit.desk, visit.visitor, fresh=0.0).render()
    return visit.page(
        "fleet.html", rendering=rendering, stream=f"{PATH}/live?at={rendering.fingerprint}"
    )


async def home(visit: Visit) -> Response:
    """The first page, for those who end its address with a slash."""
    del visit
    return gone_by(PATH)


def table_view(visit: Visit) -> TableView:
    """The table that the address names.

    Raises:
        Refusal: There is no such kind, or the visitor may not.
    """
    kind = visit.kind()
    visit.check("list", kind)
    query = tables.Query.of(kind, visit.request.query_params)
    return TableView(visit.desk, visit.visitor, kind, query)


async def table(visit: Visit) -> Response:
    """A table of a kind."""
    view = table_view(visit)
    rendering = await view.render()
    at = query_of(view.query.parameters(), at=rendering.fingerprint)
    return visit.page(
        "table.html",
        kind=view.kind,
        query_of=view.query,
        columns=tables.columns(view.kind, wide=view.query.wide),
        base=f"{PATH}/{view.kind.PLURAL}",
        only=tables.ONLY,
        sizes=tables.SIZES,
        rendering=rendering,
        done=DONE.get(visit.request.query_params.get("done", ""), ""),
        stream=f"{PATH}/live/{view.kind.PLURAL}?{at}",
    )


async def find_all(visit: Visit) -> Response:
    """What a search finds among all kinds; a single thing found is gone to."""
    text = visit.request.query_params.get("q", "")
    queries = {kind: tables.Query.of(kind, {"q": text, "sort": "name"}) for kind in KINDS.values()}
    for kind in queries:
        visit.check("list", kind)
    results = await asyncio.gather(
        *(tables.read(visit.desk.store, kind, query) for kind, query in queries.items())
    )
    found = [
        (kind, query, result.rows[:FOUND_OF_A_KIND], result.total)
        for (kind, query), result in zip(queries.items(), results, strict=True)
        if result.total
    ]
    if len(found) == 1 and found[0][3] == 1:
        row = found[0][2][0].object["metadata"]
        return gone_by(_path(found[0][0], row))
    return visit.page("find.html", text=text.strip()[: tables.MAX_TEXT], found=found)


def _path(kind: type[Resource], metadata: Mapping[str, str]) -> str:
    return object_path(kind.PLURAL, metadata.get("namespace", ""), metadata["name"])


async def detail(visit: Visit) -> Response:
    """One object's page."""
    found = await named(visit)
    view = ObjectView(visit.desk, visit.visitor, found.kind, found.namespace, found.name)
    rendering = await view.render()
    path = found.path().removeprefix(PATH)
    return visit.page(
        "object.html",
        found=found,
        rendering=rendering,
        done=DONE.get(visit.request.query_params.get("done", ""), ""),
        stream=f"{PATH}/live{path}?at={rendering.fingerprint}",
    )


async def raw(visit: Visit) -> Response:
    """One object as YAML, without what looks like a secret."""
    found = await named(visit)
    return PlainTextResponse(as_yaml(found.shown))


async def static(request: Request, desk: Desk) -> Response:
    """A file of ours.

    Raises:
        Refusal: There is none of this name.
    """
    name = request.path_params["name"]
    asset = desk.templates.assets.get(name)
    if asset is None:
        raise missing()
    digest, content = asset
    headers = {"ETag": f'"{digest}"'}
    if request.query_params.get("v") == digest:
        headers["Cache-Control"] = FOR_EVER
    return Response(content, media_type=guess_type(name)[0], headers=headers)
