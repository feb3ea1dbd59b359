"""Cost: what a droplet's size costs its owner, and whether it can be had where they wish."""

from __future__ import annotations

from controller.engine import Blocked
from controller.providers.digitalocean import Size
from controller.vps.tools import VpsScope, VpsTools, Wait
from crds.vps import VpsCost

MOST_NAMED = 12


async def check_size(scope: VpsScope) -> None:
    """Ask for the price before anything is made that costs it.

    Raises:
        Blocked: DigitalOcean has no such size, or not in that region.
    """
    spec = scope.object.spec
    size = await _find(scope, spec.size)
    if size is None:
        raise Blocked("SizeUnknown", f"DigitalOcean has no size {spec.size}")
    if not size.available or spec.region not in size.regions:
        places = ", ".join(size.regions[:MOST_NAMED]) if size.available else ""
        where = f"but in {places}" if places else "nor anywhere else at present"
        raise Blocked("SizeNotInRegion", f"{spec.size} cannot be had in {spec.region}, {where}")
    _note(scope, size)


async def ensure_cost(scope: VpsScope, _: VpsTools) -> Wait | None:
    """Know the price of a droplet that was adopted or resized."""
    status = scope.object.status
    if status.cost is None and status.droplet is not None and scope.seen is not None:
        size = await _find(scope, status.droplet.size)
        if size is not None:
            _note(scope, size)
    return None


async def _find(scope: VpsScope, slug: str) -> Size | None:
    sizes = await scope.api.list_sizes(scope.access.connection, call=scope.call)
    return next((size for size in sizes if size.slug == slug), None)


def _note(scope: VpsScope, size: Size) -> None:
    scope.object.status.cost = VpsCost(monthly_usd=size.price_monthly, hourly_usd=size.price_hourly)
