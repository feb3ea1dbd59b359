"""Lookup: which droplets are a Vps' own."""

from __future__ import annotations

from typing import NamedTuple

from controller.providers import NotFound
from controller.providers.digitalocean import Droplet
from controller.vps import names
from controller.vps.tools import VpsScope, VpsTools


class Found(NamedTuple):
    """What there is of a Vps' own.

    Attributes:
        there: Its droplets, oldest first; each was read directly.
        vanished: How many more a list shows that a direct read does not find.
    """

    there: list[Droplet]
    vanished: int


async def look(scope: VpsScope, tools: VpsTools) -> Found:
    """List the droplets that carry the Vps' tag, and read each: lists may be stale.

    Another installation with a copy of our rows has the same uids, and a mark of its own.
    """
    tag = names.uid_tag(scope.uid)
    listed = await scope.api.list_droplets(scope.access.connection, tag=tag, call=scope.call)
    found = [await read(scope, each.id) for each in listed]
    marks = {tag, names.installation_tag(tools.installation)}
    there = [each for each in found if each is not None and marks.issubset(each.tags)]
    ordered = sorted(there, key=lambda each: (each.created_at, each.id))
    return Found(ordered, sum(each is None for each in found))


async def ours(scope: VpsScope, tools: VpsTools) -> list[Droplet]:
    """The droplets that carry the Vps' marks, oldest first; each was read directly."""
    return (await look(scope, tools)).there


async def read(scope: VpsScope, droplet: int) -> Droplet | None:
    """A droplet; None when it is gone, whatever a stale list shows."""
    try:
        return await scope.api.get_droplet(scope.access.connection, droplet, call=scope.call)
    except NotFound:
        return None
