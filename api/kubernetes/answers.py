"""Writing answers."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.responses import JSONResponse, Response

from api.kubernetes.errors import NO_STORE
from api.kubernetes.served import Json


def answer(
    body: Json, code: int = 200, *, media_type: str | None = None, warnings: Iterable[str] = ()
) -> Response:
    """An answer of JSON.

    Args:
        body: What to say.
        code: The HTTP status.
        media_type: Its type, if it is a special form of JSON.
        warnings: What the client should show its user (RFC 7234, 5.5).
    """
    response = JSONResponse(body, code, NO_STORE, media_type=media_type)
    for words in warnings:
        quoted = words.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.append("Warning", f'299 - "{quoted}"')
    return response
