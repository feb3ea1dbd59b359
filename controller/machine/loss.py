"""Loss: what is on record and cannot be found is believed gone late, by reads and by lists.

A provider that has a bad minute answers 404 to everything; to begin anew then would leave its
user's data behind. So an absence counts only after minutes, when a direct read and a complete list
of the organisation agree on it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from controller.census import Noun
from controller.engine import RetryLater
from controller.machine import apps
from controller.machine.tools import ABSENCE_GRACE, MachineScope, Tools
from controller.providers import Forbidden, NotFound
from controller.providers.fly import GONE_VOLUME_STATES, TERMINAL_STATES
from crds.machine import AppStatus, InstanceStatus, VolumeStatus

# Fly's bad minutes are over by then; a user whose disk is really gone has lost more than this.
LOST_AFTER = timedelta(minutes=5)
LOOK_SECONDS = 15.0
CONDITION = "Missing"


class Thing(NamedTuple):
    """Something on record: what it is called, and whether a direct read finds it."""

    noun: Noun
    name: str
    record: AppStatus | VolumeStatus | InstanceStatus
    is_there: Callable[[], Awaitable[bool]]


async def take_stock(scope: MachineScope, tools: Tools) -> bool:
    """After a 404, look for everything on record, and forget what is surely gone.

    Returns:
        Whether something was forgotten; False when all of it is there.

    Raises:
        RetryLater: Something is missing, and that is not believed yet.
    """
    _trust_the_young(scope)
    things = _on_record(scope, tools)
    for thing in things:
        there = await thing.is_there()
        thing.record.missing_since = None if there else thing.record.missing_since or scope.now
    missing = [thing for thing in things if thing.record.missing_since is not None]
    if not missing:
        scope.object.status.drop_condition(CONDITION)
        return False
    _tell_missing(scope, missing)
    lost = {thing.noun for thing in missing if await _is_lost(scope, tools, thing)}
    if not _forget(scope, lost, {thing.noun for thing in things}):
        raise _await_certainty(scope, missing[0])
    return True


def found(scope: MachineScope) -> None:
    """Note that the machine was seen, and with it its volume and its app."""
    status = scope.object.status
    for record in (status.app, status.volume, status.instance):
        if record is not None and record.missing_since is not None:
            record.missing_since = None
    status.drop_condition(CONDITION)


def _trust_the_young(scope: MachineScope) -> None:
    """A new thing may answer 404 for a moment.

    Raises:
        RetryLater: The app or the machine is young.
    """
    app, instance = scope.app_status, scope.object.status.instance
    if app.created_at is None or scope.now < app.created_at + ABSENCE_GRACE:
        raise RetryLater("AppNotVisible", f"{app.name} does not answer yet", after=2)
    created = instance is not None and instance.state == "created"
    if instance is not None and created and scope.now < instance.since + ABSENCE_GRACE:
        raise RetryLater("MachineNotVisible", f"{instance.id} does not answer yet", after=2)


def _on_record(scope: MachineScope, tools: Tools) -> list[Thing]:
    """What should be there, the outermost first."""
    status, app = scope.object.status, scope.app_status
    things = [Thing("app", app.name, app, lambda: _has_app(scope, tools))]
    if (volume := status.volume) is not None:
        things.append(
            Thing("volume", volume.id, volume, lambda: _has_volume(scope, tools, volume.id))
        )
    if (instance := status.instance) is not None:
        things.append(
            Thing("machine", instance.id, instance, lambda: _has_instance(scope, tools, instance))
        )
    return things


async def _has_app(scope: MachineScope, tools: Tools) -> bool:
    try:
        found = await tools.fly.get_app(scope.app, call=scope.call)
    except (NotFound, Forbidden):
        return False
    return apps.is_ours(scope, tools, found)


async def _has_volume(scope: MachineScope, tools: Tools, volume: str) -> bool:
    try:
        found = await tools.fly.get_volume(scope.app, volume, call=scope.call)
    except NotFound:
        return False
    return found.state not in GONE_VOLUME_STATES


async def _has_instance(scope: MachineScope, tools: Tools, instance: InstanceStatus) -> bool:
    try:
        found = await tools.fly.get_machine(scope.app, instance.id, call=scope.call)
    except NotFound:
        return False
    return found.state not in TERMINAL_STATES


def _tell_missing(scope: MachineScope, missing: list[Thing]) -> None:
    first = missing[0]
    message = (
        f"{', '.join(f'{thing.noun} {thing.name}' for thing in missing)} cannot be found since "
        f"{first.record.missing_since:%H:%M:%S} UTC; nothing is made anew before "
        f"{LOST_AFTER.total_seconds() / 60:.0f} minutes and a complete list confirm it"
    )
    if scope.condition(CONDITION, status=True, reason=_reason(first), message=message):
        scope.event(CONDITION, message, warning=True)


async def _is_lost(scope: MachineScope, tools: Tools, thing: Thing) -> bool:
    """Whether a thing has been missing for minutes, and a list from after these agrees."""
    certain_at = _certain_at(scope, thing)
    return scope.now >= certain_at and await tools.observer.census.lacks(
        thing.noun, thing.name, since=certain_at, call=scope.call
    )


def _certain_at(scope: MachineScope, thing: Thing) -> datetime:
    return (thing.record.missing_since or scope.now) + LOST_AFTER


def _forget(scope: MachineScope, lost: set[Noun], recorded: set[Noun]) -> bool:
    """Strike from the record what is gone; nothing goes while something inside it is there."""
    status = scope.object.status
    if lost == recorded:
        app = scope.app_status
        scope.event("AppLost", f"{app.name} was deleted behind our back", warning=True)
        status.app = AppStatus(name=app.name, names_taken=app.names_taken)
        status.volume, status.intent = None, None
    elif "volume" in lost and lost >= recorded - {"app"}:
        scope.event("VolumeLost", f"{scope.volume.id} was deleted behind our back", warning=True)
        status.volume = None
    elif "machine" not in lost:
        return False
    if status.instance is not None:
        forget_instance(scope)
    status.drop_condition(CONDITION)
    return True


def forget_instance(scope: MachineScope) -> None:
    """Begin anew with a machine that was destroyed behind our back."""
    status, instance = scope.object.status, scope.instance
    scope.event("MachineLost", f"{instance.id} was destroyed behind our back", warning=True)
    status.instance = None
    status.healthy_since = status.unreachable_since = None
    status.phase = "Creating"
    scope.condition("Healthy", status=False, reason="MachineLost")


def _await_certainty(scope: MachineScope, thing: Thing) -> RetryLater:
    left = (_certain_at(scope, thing) - scope.now).total_seconds()
    told = scope.object.status.condition(CONDITION)
    return RetryLater(
        _reason(thing),
        "" if told is None else told.message,
        after=min(left, LOOK_SECONDS) if left > 0 else LOOK_SECONDS,
    )


def _reason(thing: Thing) -> str:
    return f"{thing.noun.capitalize()}Missing"
