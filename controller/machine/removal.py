"""Removal: routes first, then the machine, then its app and all in it; until it is gone.

An app that other rows' machines are in stays, so there a machine's volume goes by itself.
"""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from controller.machine import apps, names
from controller.machine.intent import await_evidence, await_evidence_of, effect, pending
from controller.machine.launch import find_unrecorded
from controller.machine.tools import MachineScope, Tools, Wait
from controller.providers import NotFound
from controller.providers.fly import GONE_VOLUME_STATES, TERMINAL_STATES, Volume
from crds.machine import VolumeStatus
from crds.route import Route

POLL_SECONDS = 2.0


async def await_withdrawal(scope: MachineScope, _: Tools) -> Wait | None:
    """Destroy nothing that the edge may still route to."""
    meta = scope.object.metadata
    routes = await scope.store.list(Route, spec={"account": meta.namespace})
    for route in routes.items:
        target, entry = route.spec.target, route.status.entry
        leads_here = target is not None and target.machine == meta.name
        held = entry is not None and entry.machine == str(scope.uid)
        if (leads_here and entry is not None and entry.state != "redirect") or held:
            return Wait(POLL_SECONDS)
        if leads_here and not route.status.published:
            return Wait(POLL_SECONDS)
    return None


async def await_unrouted(scope: MachineScope, _: Tools) -> Wait | None:
    """Wait until the edge leads no request to this one machine any more."""
    routes = await scope.store.list(Route, spec={"account": scope.object.metadata.namespace})
    for route in routes.items:
        entry = route.status.entry
        if entry is not None and entry.instance == scope.instance.id:
            return Wait(POLL_SECONDS)
        target = route.spec.target
        if target and target.machine == scope.object.metadata.name and not route.status.published:
            return Wait(POLL_SECONDS)
    return None


async def destroy_instance(scope: MachineScope, tools: Tools) -> Wait | None:
    """Destroy the machine, also one that was made without our hearing of it."""
    if scope.object.status.instance is None:
        await _look_for_instance(scope, tools)
    instance = scope.object.status.instance
    if instance is None:
        return None
    try:
        machine = await tools.fly.get_machine(scope.app, instance.id, call=scope.call)
    except NotFound:
        scope.object.status.instance = None
        return None
    if machine.state in TERMINAL_STATES:
        scope.object.status.instance = None
        return None
    if machine.state != "destroying":
        try:
            async with effect(scope, "machines.destroy"):
                await tools.fly.destroy_machine(scope.app, instance.id, force=True, call=scope.call)
        except NotFound:
            scope.object.status.instance = None
            return None
    instance.state, instance.since = "destroying", scope.now
    return Wait(POLL_SECONDS)


async def _look_for_instance(scope: MachineScope, tools: Tools) -> None:
    """Put on record what may have been made without our hearing of it.

    Raises:
        RetryLater: It may still show, in an app that does not go with it.
    """
    if not apps.is_shared(scope, tools):
        if pending(scope, "machines.create"):
            await find_unrecorded(scope, tools)
        return
    with suppress(NotFound):
        await find_unrecorded(scope, tools)
    if scope.object.status.instance is None:
        await_evidence_of(scope, "machines.create")


async def delete_own_volume(scope: MachineScope, tools: Tools) -> Wait | None:
    """Delete the volume where the app may stay, also one that was made without our hearing of it.

    Raises:
        RetryLater: It may still show.
    """
    status = scope.object.status
    if not apps.is_shared(scope, tools):
        return None
    await delete_volume(scope, tools)
    for left in await _volumes_left(scope, tools):
        status.volume = VolumeStatus(id=left.id, region=left.region, size_gb=left.size_gb)
        await delete_volume(scope, tools)
    await_evidence_of(scope, "volumes.create")
    return None


async def _volumes_left(scope: MachineScope, tools: Tools) -> list[Volume]:
    """The volumes in the app that carry this row's name."""
    try:
        listed = await tools.fly.list_volumes(scope.app, call=scope.call)
    except NotFound:
        return []
    name = names.volume_name(scope.uid)
    return [v for v in listed if v.name == name and v.state not in GONE_VOLUME_STATES]


async def delete_volume(scope: MachineScope, tools: Tools) -> Wait | None:
    """Delete the volume alone; it can still be bound for a while after its machine is gone."""
    volume = scope.object.status.volume
    if volume is None:
        return None
    try:
        async with effect(scope, "volumes.delete"):
            await tools.fly.delete_volume(scope.app, volume.id, call=scope.call)
    except NotFound:
        pass
    scope.object.status.volume = None
    return None


async def leave_app(scope: MachineScope, tools: Tools) -> Wait | None:
    """Leave the app to the other rows whose machines are in it, if there are any.

    Of several that go at once one stays to delete it.
    """
    if not apps.is_shared(scope, tools):
        return None
    others = await _others_in(scope, scope.app)
    if others and all(others.values()) and scope.uid < min(others):
        return Wait(POLL_SECONDS)
    if others:
        scope.object.status.app = None
    return None


async def delete_app(scope: MachineScope, tools: Tools) -> Wait | None:
    """Delete the app, and with it the volume and whatever a late request of ours made in it."""
    app = scope.object.status.app
    if app is None:
        return None
    if app.created_at is None and not pending(scope, "apps.create"):
        scope.object.status.app = None
        return None
    try:
        found = await tools.fly.get_app(app.name, call=scope.call)
    except NotFound:
        # A create that timed out may still arrive.
        if pending(scope, "apps.create"):
            await_evidence(scope)
        scope.object.status.app = None
        return None
    if not apps.is_ours(scope, tools, found):
        scope.object.status.app = None
        return None
    app.created_at = app.created_at or scope.now
    try:
        async with effect(scope, "apps.delete"):
            await tools.fly.delete_app(app.name, call=scope.call)
    except NotFound:
        pass
    return Wait(POLL_SECONDS)


async def _others_in(scope: MachineScope, app: str) -> dict[UUID, bool]:
    """The other rows whose machines are in an app, or shall be, and whether they are to go."""
    rows = await scope.store.database.fetch(
        "SELECT uid, deletion_timestamp IS NOT NULL AS going FROM objects "
        "WHERE kind = 'Machine' AND namespace = %s AND uid <> %s "
        "AND %s IN (spec #>> '{service,app}', status #>> '{app,name}')",
        scope.object.metadata.namespace,
        scope.uid,
        app,
    )
    return {row["uid"]: row["going"] for row in rows}
