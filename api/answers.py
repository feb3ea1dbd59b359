"""Writing answers."""

from __future__ import annotations

from starlette.responses import Response

from api.models import Answer


def answer(body: Answer, status: int = 200, *, without: set[str] | None = None) -> Response:
    """A JSON answer that no cache may keep: all of them are somebody's, or may be stale at once.

    Args:
        body: What to say.
        status: The HTTP status.
        without: Fields that are not for this client.
    """
    return Response(
        body.model_dump_json(by_alias=True, exclude=without),
        status,
        headers={"Cache-Control": "no-store"},
        media_type="application/json",
    )
