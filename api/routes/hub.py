"""What machines call."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api.answers import answer
from api.context import api_of
from api.hub import NEXT_HEARTBEAT_SECONDS
from api.models import Heartbeat, HeartbeatAnswer
from api.requests import check_machine, read_body
from api.routes.machines import machine_id, no_such_machine


async def heartbeat(request: Request) -> Response:
    """Note that a machine lives, and tell it where it is reached."""
    machine = machine_id(request)
    check_machine(request, machine)
    body = await read_body(request, Heartbeat)
    api = api_of(request)
    known = await api.hub.report(machine, body.state, body.version, body.last_activity_at)
    if known is None:
        raise no_such_machine()
    url = api.settings.public_url(known.subdomain) if known.subdomain else None
    return answer(
        HeartbeatAnswer(
            subdomain=known.subdomain, url=url, next_heartbeat_seconds=NEXT_HEARTBEAT_SECONDS
        )
    )
