"""Destruction: of a droplet that came to nothing, that is one too many, or whose Vps goes."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from controller.engine import RetryLater
from controller.providers import NotFound, NotReady
from controller.vps.droplet import forget_droplet
from controller.vps.intent import busy, effect, idle
from controller.vps.lookup import ours, read
from controller.vps.tools import VpsScope, VpsTools, Wait
from crds.vps import VpsIntent

# A deletion is accepted without an action to look at; what is still there then is asked again.
ASK_AGAIN_AFTER: Final = timedelta(seconds=60)
# A creation that failed may fail again at once.
ANEW_SECONDS: Final = 60.0


async def destroy(scope: VpsScope, droplet: int) -> Wait | None:
    """Destroy a droplet; None once a direct read does not find it."""
    intent = scope.object.status.intent
    seen = await read(scope, droplet)
    if seen is None:
        if intent is not None and intent.droplet == droplet:
            scope.object.status.intent = None
        idle(scope)
        return None
    what = f"the destruction of droplet {droplet}"
    if seen.locked or _was_asked(scope, intent, droplet):
        return busy(scope, what)
    try:
        async with effect(scope, "Destroy", droplet):
            await scope.api.delete_droplet(scope.access.connection, droplet, call=scope.call)
    except NotFound:
        return Wait(0, what)
    except NotReady:
        return busy(scope, f"another action, before {what}")
    scope.event("Destroyed", f"droplet {droplet}")
    return busy(scope, what)


def _was_asked(scope: VpsScope, intent: VpsIntent | None, droplet: int) -> bool:
    """Whether its destruction was accepted a moment ago."""
    if intent is None or (intent.operation, intent.droplet) != ("Destroy", droplet):
        return False
    return intent.accepted_at is not None and scope.now < intent.accepted_at + ASK_AGAIN_AFTER


async def settle_destruction(scope: VpsScope, tools: VpsTools) -> Wait | None:
    """See a destruction through that was begun; another droplet waits for it.

    Raises:
        RetryLater: The droplet on record came to nothing and is gone; soon there is another.
    """
    status = scope.object.status
    intent = status.intent
    if intent is None or intent.operation != "Destroy" or intent.droplet is None:
        return None
    wait = await destroy(scope, intent.droplet)
    if wait is None and status.droplet is not None and status.droplet.id == intent.droplet:
        await forget_droplet(scope, tools)
        status.phase = "Provisioning"
        text = "DigitalOcean could not make the droplet; another one is made soon"
        raise RetryLater("CreateFailed", text, after=ANEW_SECONDS)
    return wait


async def destroy_others(scope: VpsScope, tools: VpsTools) -> Wait | None:
    """Have no second droplet: a try that nobody heard of again may have made one after all."""
    status = scope.object.status
    if status.droplet is None or status.intent is not None:
        return None
    views = tools.observer.views(scope.namespace, scope.object.spec.connection, scope.uid) or ()
    if all(view.id == status.droplet.id for view in views):
        return None
    for other in await ours(scope, tools):
        if other.id != status.droplet.id:
            scope.event("Duplicate", f"droplet {other.id} is one too many", warning=True)
            return await destroy(scope, other.id)
    return None
