"""The droplet: found or made, once; looked at; made again when it is surely gone."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from controller.providers import InsufficientCapacity, NotFound, RateLimited, Unavailable
from controller.providers.digitalocean import Droplet
from controller.vps import names
from controller.vps.cloud_init import user_data
from controller.vps.cost import check_size
from controller.vps.credentials import new_token
from controller.vps.gateway import forget_gateway
from controller.vps.intent import await_evidence, effect, idle
from controller.vps.lookup import look, ours
from controller.vps.quota import check_quota
from controller.vps.tools import VpsScope, VpsTools, Wait
from crds.vps import DropletStatus

MISSING: Final = "Missing"
"""The condition that DigitalOcean does not find the droplet on record."""
ADDRESSED: Final = "Addressed"
"""The condition that the droplet has a public address; told of only while it has none."""
# A 404 is not believed for so long: a new droplet may not be visible yet, and to begin anew by
# mistake costs its user money.
LOST_AFTER: Final = timedelta(minutes=2)
MISSING_LOOK: Final = 15.0
# While DigitalOcean cannot be asked, what is as wished on record is left as it is for so long.
OUTAGE_LOOK: Final = 60.0
FIRST_LOOK: Final = 5.0
# What each wish looks like at DigitalOcean when it has come true.
REACHED: Final = {"Running": "active", "Stopped": "off"}


async def ensure_droplet(scope: VpsScope, tools: VpsTools) -> Wait | None:
    """One droplet: the one on record, or one that carries our tag, or a new one.

    What shall be off needs none: to make it would be to start it.

    Raises:
        RetryLater: A try whose outcome is unknown may still show.
        Blocked: The account has its quota, or the size cannot be had.
    """
    status = scope.object.status
    if status.droplet is not None:
        return None
    tried = status.intent is not None and status.intent.operation == "Create"
    if scope.power == "Stopped" and not tried:
        return None
    if found := await ours(scope, tools):
        await _adopt(scope, found[0])
        return None
    await_evidence(scope)
    if scope.power == "Stopped":
        status.intent = None
        return None
    await _create(scope, tools)
    return Wait(FIRST_LOOK, "its creation")


async def _adopt(scope: VpsScope, found: Droplet) -> None:
    """Take over the droplet that an earlier try made."""
    status = scope.object.status
    status.droplet, status.intent = _record(scope, found), None
    scope.event("Adopted", f"droplet {found.id}")
    await scope.save()


async def _create(scope: VpsScope, tools: VpsTools) -> None:
    """Make a droplet; whatever becomes of the answer, its gateway can prove itself."""
    spec, status = scope.object.spec, scope.object.status
    await check_quota(scope)
    await check_size(scope)
    token = await new_token(scope, tools)
    try:
        async with effect(scope, "Create") as intent:
            made = await scope.api.create_droplet(
                scope.access.connection,
                name=names.droplet_name(scope.name, scope.uid),
                region=spec.region,
                size=spec.size,
                image=spec.image,
                tags=[names.installation_tag(tools.installation), names.uid_tag(scope.uid)],
                user_data=user_data(scope.uid, token, tools.gateways.release),
                call=scope.call,
            )
            intent.droplet, intent.action = made.droplet.id, made.action_id
            status.droplet = _record(scope, made.droplet)
            status.phase = "Provisioning"
    except InsufficientCapacity:
        # It passes by itself, other than what it may have been blocked by before.
        status.phase = "Provisioning"
        raise
    scope.event("Created", f"droplet {made.droplet.id} in {status.droplet.region}")


def _record(scope: VpsScope, seen: Droplet) -> DropletStatus:
    spec = scope.object.spec
    return DropletStatus(
        id=seen.id,
        status=seen.status,
        ipv4=seen.public_ipv4,
        region=seen.region or spec.region,
        size=seen.size or spec.size,
        image=seen.image or spec.image,
        team=scope.access.team,
        created_at=seen.created_at,
        active_since=scope.now if seen.status == "active" else None,
    )


async def observe(scope: VpsScope, tools: VpsTools) -> Wait | None:
    """Read the droplet, unless the last look over the team shows it as recorded.

    Raises:
        ProviderError: It cannot be read, and something has to be done about it.
    """
    status = scope.object.status
    if status.droplet is None or at_rest(scope, tools):
        return None
    try:
        seen = await scope.api.get_droplet(
            scope.access.connection, status.droplet.id, call=scope.call
        )
    except NotFound:
        return await _miss(scope, tools)
    except (Unavailable, RateLimited):
        if status.intent is not None or status.droplet.status != REACHED[scope.power]:
            raise
        scope.look_again(OUTAGE_LOOK)
        return None
    _note(scope, seen)
    return None


def at_rest(scope: VpsScope, tools: VpsTools) -> bool:
    """Whether the droplet is as wished, and the look over the whole team still agrees."""
    status, droplet = scope.object.status, scope.droplet
    if status.intent is not None or droplet.missing_since is not None or status.cost is None:
        return False
    if droplet.status != REACHED[scope.power] or status.condition(ADDRESSED) is not None:
        return False
    views = tools.observer.views(scope.namespace, scope.object.spec.connection, scope.uid)
    recorded = (droplet.id, droplet.status, droplet.ipv4, droplet.size)
    return views is not None and [*views] == [recorded]


def _note(scope: VpsScope, seen: Droplet) -> None:
    """Write down what was read."""
    status, droplet = scope.object.status, scope.droplet
    scope.seen = seen
    droplet.missing_since = None
    status.drop_condition(MISSING)
    if seen.status != "active":
        droplet.active_since = None
    elif droplet.active_since is None:
        droplet.active_since = scope.now
    droplet.status, droplet.ipv4 = seen.status, seen.public_ipv4
    if seen.size and seen.size != droplet.size:
        droplet.size, status.cost = seen.size, None


async def _miss(scope: VpsScope, tools: VpsTools) -> Wait:
    """What is not found is looked for again, and counts as gone when no list shows it either."""
    droplet = scope.droplet
    droplet.missing_since = droplet.missing_since or scope.now
    message = f"DigitalOcean does not find droplet {droplet.id}"
    if scope.now < droplet.missing_since + LOST_AFTER:
        scope.condition(MISSING, status=True, reason="NotFound", message=message)
        scope.condition("Ready", status=False, reason=MISSING, message=message)
        return Wait(MISSING_LOOK, message)
    found = await look(scope, tools)
    if found.vanished or droplet.id in [each.id for each in found.there]:
        return Wait(MISSING_LOOK, f"{message}, and lists it")
    scope.event("DropletLost", f"{message}; another one is made in its place", warning=True)
    await forget_droplet(scope, tools)
    return Wait(0, message)


async def forget_droplet(scope: VpsScope, _: VpsTools) -> None:
    """Begin anew: nothing that was in the droplet is left, its gateway and agents neither."""
    status = scope.object.status
    status.droplet = status.intent = status.cost = None
    status.drop_condition(MISSING)
    status.drop_condition(ADDRESSED)
    idle(scope)
    status.phase = "Pending"
    await forget_gateway(scope)
