"""What is served beside resources: health, version, discovery, OpenAPI, metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from api.access import Identity, may_read_path
from api.kubernetes import discovery, openapi
from api.kubernetes.answers import answer
from api.kubernetes.door import PATHS, Door
from api.kubernetes.errors import forbidden, method_not_allowed, no_such_path, unauthorized
from api.observe import TEMPLATE


async def serve_path(request: Request, door: Door, identity: Identity) -> Response:
    """Answer at a path that names no resource.

    Raises:
        ApiError: 401 or 403, it is not for the client; 404, there is nothing; 405, it is read only.
    """
    path = "/" + request.scope["path"].strip("/")
    request.scope[TEMPLATE] = door.template(path)
    if path in FOR_EVERYBODY:
        return await FOR_EVERYBODY[path](door)
    if identity.role is None:
        raise unauthorized()
    if path not in door.documents and path not in PATHS:
        raise no_such_path()
    if request.method not in ("GET", "HEAD"):
        raise method_not_allowed(request.method, path)
    if path == "/metrics":
        return _metrics(request, identity)
    if path == "/openapi/v2":
        return Response(openapi.NO_MODELS, media_type=openapi.V2)
    return _document(path, door, discovery.content_type(request.headers.get("accept", "")))


def _document(path: str, door: Door, form: str) -> Response:
    if path in door.aggregated and form == discovery.AGGREGATED:
        return answer(door.aggregated[path], media_type=form)
    return answer(door.documents[path])


def _metrics(request: Request, identity: Identity) -> Response:
    if not may_read_path(identity, "get", "/metrics"):
        raise forbidden(f"User {identity.subject!r} cannot get path '/metrics'")
    text = generate_latest(request.app.state.metrics.registry)
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _alive(_: Door) -> Response:
    return PlainTextResponse("ok")


async def _ready(door: Door) -> Response:
    await door.api.store.database.fetch("SELECT 1")
    return PlainTextResponse("ok")


async def _version(_: Door) -> Response:
    return answer(discovery.version())


FOR_EVERYBODY: Final[Mapping[str, Callable[[Door], Awaitable[Response]]]] = {
    "/healthz": _alive,
    "/livez": _alive,
    "/readyz": _ready,
    "/version": _version,
}
