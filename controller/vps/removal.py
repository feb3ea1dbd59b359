"""Removal: what is in the droplet first, then the droplet, until it is gone; then its traces."""

from __future__ import annotations

from typing import Final

from controller.engine import Blocked, RetryLater
from controller.scope import awaited
from controller.vps.access import gain_access
from controller.vps.credentials import forget_tokens
from controller.vps.destruction import destroy
from controller.vps.intent import BUSY, await_evidence, busy, idle
from controller.vps.lookup import look
from controller.vps.tools import LISTING_GRACE, VpsScope, VpsTools, Wait
from crds.authorized_key import AuthorizedKey
from crds.session import Session

CHILDREN_LOOK: Final = 5.0


async def remove_children(scope: VpsScope, _: VpsTools) -> Wait | None:
    """Ask for the end of its sessions and keys, and wait until they are gone."""
    rows = [
        row
        for kind in (Session, AuthorizedKey)
        for row in await scope.store.rows(kind, namespace=scope.namespace, spec={"vps": scope.name})
    ]
    for row in rows:
        await scope.ask_deletion(row)
    return Wait(CHILDREN_LOOK, awaited(rows)) if rows else None


async def remove_droplets(scope: VpsScope, tools: VpsTools) -> Wait | None:
    """Destroy the droplet, and whatever else was made in its name without our hearing of it.

    Raises:
        Blocked: Its connection is gone, and something may be left there.
        RetryLater: The last try to make one may still show.
    """
    status = scope.object.status
    try:
        await gain_access(scope, tools, leaving=True)
    except (Blocked, RetryLater):
        if status.droplet is None and status.intent is None:
            return None
        raise
    if status.droplet is not None:
        if wait := await destroy(scope, status.droplet.id):
            return wait
        status.droplet = None
        await scope.save()
    found = await look(scope, tools)
    for droplet in found.there:
        if wait := await destroy(scope, droplet.id):
            return wait
    await_evidence(scope)
    if found.vanished:
        return _await_lists(scope)
    idle(scope)
    return None


def _await_lists(scope: VpsScope) -> Wait | None:
    """A 404 may be DigitalOcean's bad minute: lists have to agree, unless they are merely stale."""
    wait = busy(scope, "its droplet to be gone from DigitalOcean's lists")
    known = scope.object.status.condition(BUSY)
    if known is not None and scope.now < known.last_transition_time + LISTING_GRACE:
        return wait
    idle(scope)
    return None


async def forget(scope: VpsScope, tools: VpsTools) -> Wait | None:
    """Let its gateway in no more, and forget what it reported."""
    await forget_tokens(scope, tools)
    await scope.store.observations.forget(scope.uid)
    return None
