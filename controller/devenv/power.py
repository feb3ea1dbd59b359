"""Up or down: by the wish, by the account, and by whether anybody uses it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from controller.devenv.tools import DevEnvScope
from crds.account import Account
from crds.devenv import StoppedFor
from crds.store.heartbeats import HeartbeatRecord

# Told when nobody knows whether there is traffic.
IDLE_UNKNOWN: Final = "IdleUnknown"
# What the provider's metrics told longer ago says nothing of now; they are asked every minute.
EVIDENCE_AGE: Final = timedelta(minutes=3)
# A start that takes longer comes to nothing, unless somebody says otherwise.
LONGEST_START: Final = timedelta(minutes=30)
# The largest disk is copied in a few hours; what fails for so long does not pass by itself.
LONGEST_MOVE: Final = timedelta(hours=24)
LOOK_AGAIN: Final = timedelta(minutes=1)


async def decide(scope: DevEnvScope, account: Account) -> StoppedFor | None:
    """Why the environment shall be down at present, None when it shall be up; noted on it.

    Raises:
        ConflictError: Somebody wished for something while it was found idle.
    """
    status = scope.object.status
    reason, before = await _reason(scope, account), status.stopped_for
    status.stopped_for = reason
    if reason is None and before is not None:
        status.starting_since = scope.now
    if reason is not None:
        status.starting_since = status.idle_at = None
        scope.object.status.drop_condition(IDLE_UNKNOWN)
    if reason is not None and before is None:
        status.last_stopped_at = scope.now
        if reason == "Idle":
            # Whoever asks for it from here on finds it stopped, and is not overlooked.
            await scope.save_if_unmoved()
    return reason


async def _reason(scope: DevEnvScope, account: Account) -> StoppedFor | None:
    spec, status = scope.object.spec, scope.object.status
    if account.spec.state != "Active":
        return "Account"
    if spec.power == "Stopped":
        return "Wish"
    if status.stopped_for == "Idle" or (status.stopped_for == "Account" and _slept(scope)):
        return None if _was_asked_for(scope) else "Idle"
    if status.stopped_for is not None:
        status.idle_at = None
        return None
    return "Idle" if await _is_for_nothing(scope) else None


async def _is_for_nothing(scope: DevEnvScope) -> bool:
    """Whether what is up, or on its way there, is of no use to anybody."""
    status = scope.object.status
    if status.move is not None and status.move.step != "Remove":
        return _comes_to_nothing(scope, status.move.since, LONGEST_MOVE)
    if status.starting_since is not None:
        return _comes_to_nothing(scope, status.starting_since, LONGEST_START)
    return await _is_idle(scope)


def _comes_to_nothing(scope: DevEnvScope, since: datetime, longest: timedelta) -> bool:
    """Whether what began then takes too long, and longer than it may be up unused.

    A move stops where it is, and goes on when somebody asks for the environment.
    """
    spec, status = scope.object.spec, scope.object.status
    if spec.auto_stop_minutes is None:
        status.idle_at = None
        return False
    last = _latest(since, status.starting_since, _past(scope, spec.wake_at)) or since
    status.idle_at = last + max(timedelta(minutes=spec.auto_stop_minutes), longest)
    if scope.now < status.idle_at:
        return False
    scope.event("DidNotComeUp", f"on its way up since {since:%Y-%m-%d %H:%M} UTC", warning=True)
    return True


def _was_asked_for(scope: DevEnvScope) -> bool:
    """Whether somebody asked for it since it was stopped for want of traffic.

    Every wish that was known then was older than the span without traffic: this holds whatever
    clock the wish was written by.
    """
    minutes, stopped_at = scope.object.spec.auto_stop_minutes, scope.object.status.last_stopped_at
    if minutes is None or stopped_at is None:
        return True
    wake_at = _past(scope, scope.object.spec.wake_at)
    return wake_at is not None and wake_at + timedelta(minutes=minutes) > stopped_at


def _slept(scope: DevEnvScope) -> bool:
    """Whether it was asleep already when its account was stopped: that ends by asking only."""
    status, minutes = scope.object.status, scope.object.spec.auto_stop_minutes
    asked_at = _past(scope, scope.object.spec.wake_at)
    last = _latest(status.last_activity_at, status.last_started_at, asked_at)
    if minutes is None or last is None or status.last_stopped_at is None:
        return False
    return last + timedelta(minutes=minutes) <= status.last_stopped_at


async def _is_idle(scope: DevEnvScope) -> bool:
    """Whether there has been no traffic for as long as is wished; only fresh evidence says so."""
    status = scope.object.status
    gateway = scope.machine("kong")
    beat = None if gateway is None else await scope.store.heartbeats.find(gateway.uid)
    status.idle_at = _idle_at(scope, beat)
    if status.idle_at is None or scope.now < status.idle_at:
        status.drop_condition(IDLE_UNKNOWN)
        return False
    told = await _told_at(scope)
    if told is not None and scope.now - told <= EVIDENCE_AGE:
        return True
    since = f"since {told:%Y-%m-%d %H:%M} UTC" if told else "yet"
    message = f"the provider's metrics have told nothing of traffic {since}; it is kept up"
    if scope.condition(IDLE_UNKNOWN, status=True, reason="NoMetrics", message=message):
        scope.event(IDLE_UNKNOWN, message, warning=True)
    return False


async def _told_at(scope: DevEnvScope) -> datetime | None:
    """When the provider's metrics last told of any service: whether one is away is another thing.

    They are asked for all machines at once, and for all gateways.
    """
    uids = [machine.uid for machine in scope.known.machines.values()]
    beats = await scope.store.heartbeats.get(uids)
    return _latest(*(beat.usage_at for beat in beats.values()))


def look_again_at(scope: DevEnvScope) -> datetime | None:
    """When it is looked at again whether it is to be stopped; None when nothing tells."""
    if scope.object.status.is_true(IDLE_UNKNOWN):
        return scope.now + LOOK_AGAIN
    return scope.object.status.idle_at


def _idle_at(scope: DevEnvScope, beat: HeartbeatRecord | None) -> datetime | None:
    """When it is to be stopped, unless there is traffic before that."""
    spec, status = scope.object.spec, scope.object.status
    status.last_activity_at = _latest(status.last_activity_at, beat and beat.last_activity_at)
    last = _latest(status.last_activity_at, status.last_started_at, _past(scope, spec.wake_at))
    if last is None or spec.auto_stop_minutes is None:
        return None
    return last + timedelta(minutes=spec.auto_stop_minutes)


def _past(scope: DevEnvScope, moment: datetime | None) -> datetime | None:
    """A moment, but none to come: nobody asks from the future."""
    return None if moment is None else min(moment, scope.now)


def _latest(*moments: datetime | None) -> datetime | None:
    return max((moment for moment in moments if moment is not None), default=None)
