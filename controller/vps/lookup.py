"""Lookup: which droplets are a Vps' own."""

from __future__ import annotations

from typing import NamedTuple

from controller.providers import NotFound
from controller.providers.digitalocean import Droplet
from controller.vps import names
from controller.vps.tools import VpsScope


class Found(NamedTuple):
    """What there is of a Vps' own.

    Attributes:
        there: Its droplets, oldest first; each was read directly.
        vanished: How many more a list shows that a direct read does not find.
    """

    there: list[Droplet]
    vanished: int


async def look(scope: VpsScope) -> Found:
    """List the droplets that carry the Vps' tag, and read each: lists may be stale."""
    tag = names.uid_tag(scope.uid)
    listed = await scope.api.list_droplets(scope.access.connection, tag=tag, call=scope.call)
    found = [await read(scope, each.id) for each in listed]
    there = [each for each in found if each is not None and tag in each.tags]
    ordered = sorted(there, key=lambda each: (each.created_at, each.id))
    return Found(ordered, sum(each is None for each in found))


async def ours(scope: VpsScope) -> list[Droplet]:
    """The droplets that carry the Vps' tag, oldest first; each was read directly."""
    return (await look(scope)).there


async def read(scope: VpsScope, droplet: int) -> Droplet | None:
    """A droplet; None when it is gone, whatever a stale list shows."""
    try:
        return await scope.api.get_droplet(scope.access.connection, droplet, call=scope.call)
    except NotFound:
        return None
