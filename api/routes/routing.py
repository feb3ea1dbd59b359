"""Where subdomains lead."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api import accounts
from api.answers import answer
from api.context import api_of
from api.models import Routing
from api.problems import Problem
from api.requests import is_edge, owning, store_of
from crds.names import subdomain_problem
from crds.route import RouteEntry


async def get_routing(request: Request) -> Response:
    """What a subdomain leads to: its state for everybody, the whole entry for the edge."""
    api = api_of(request)
    subdomain: str = request.path_params["subdomain"]
    entry: RouteEntry | None = None
    if subdomain_problem(subdomain) is None:
        entry = await api.routing.lookup(subdomain)
    if entry is None:
        raise Problem(404, "no-such-subdomain", "Nobody has this subdomain.")
    return answer(
        Routing(
            subdomain=subdomain,
            status=entry.state,
            url=api.settings.public_url(subdomain),
            entry=entry,
        ),
        without=None if is_edge(request) else {"entry"},
    )


async def release(request: Request) -> Response:
    """Give up one of the user's own subdomains that is not in use."""
    person = await owning(request)
    subdomain: str = request.path_params["subdomain"]
    if subdomain_problem(subdomain) is not None:
        raise Problem(404, "no-such-subdomain", "Nobody has this subdomain.")
    await accounts.release(store_of(api_of(request), person.id), person.id, subdomain)
    return Response(status_code=204)
