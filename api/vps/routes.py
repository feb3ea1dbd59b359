"""The routes about VPSs."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api.answers import answer
from api.context import api_of
from api.grants.visitors import Visitor, visited
from api.observe import request_id
from api.requests import read_body
from api.vps import wishes
from api.vps.admission import digest_of
from api.vps.finding import by_age, get_vps
from api.vps.models import MakeVps, VpsList
from api.vps.views import told
from crds.store import Store
from crds.vps import Vps

VIA = "api"


@visited
async def list_vps(request: Request, visitor: Visitor) -> Response:
    """The user's VPSs, the oldest first."""
    store = api_of(request).store
    page = await store.list(Vps, namespace=visitor.identity.account)
    return answer(VpsList(vps=await told(store, by_age(page.items))))


@visited
async def make_vps(request: Request, visitor: Visitor) -> Response:
    """Make a droplet on the user's own account at DigitalOcean, with a gateway in it."""
    digest, wish = digest_of(request), await read_body(request, MakeVps, optional=True)
    store = acting(request, visitor)
    made = await wishes.create(store, visitor.identity.account, wish, digest)
    response = await _shown(store, made, 202)
    response.headers["Location"] = f"/vps/{made.uid}"
    return response


@visited
async def get_one_vps(request: Request, visitor: Visitor) -> Response:
    """One of the user's VPSs, and how its machine is."""
    return await _shown(api_of(request).store, await named(request, visitor))


@visited
async def delete_vps(request: Request, visitor: Visitor) -> Response:
    """Have a VPS gone, with its droplet and everything on it."""
    digest_of(request)
    store = acting(request, visitor)
    return await _shown(store, await wishes.delete(store, await named(request, visitor)), 202)


@visited
async def power_on_vps(request: Request, visitor: Visitor) -> Response:
    """Switch a VPS on."""
    digest_of(request)
    store = acting(request, visitor)
    vps = await named(request, visitor)
    return await _shown(store, await wishes.power(store, vps, "Running"), 202)


@visited
async def power_off_vps(request: Request, visitor: Visitor) -> Response:
    """Switch a VPS off; its disk stays, and DigitalOcean charges for it all the same."""
    digest_of(request)
    store = acting(request, visitor)
    vps = await named(request, visitor)
    return await _shown(store, await wishes.power(store, vps, "Stopped"), 202)


async def named(request: Request, visitor: Visitor) -> Vps:
    """The VPS that the path names.

    Raises:
        Problem: The user has no such VPS.
    """
    called: str = request.path_params["vps"]
    return await get_vps(api_of(request).store, visitor.identity.account, called)


def acting(request: Request, visitor: Visitor) -> Store:
    """The store, with the visitor in the audit."""
    return api_of(request).store.acting_as(visitor.identity.actor(VIA, request_id()))


async def _shown(store: Store, vps: Vps, status: int = 200) -> Response:
    [view] = await told(store, [vps])
    return answer(view, status)
