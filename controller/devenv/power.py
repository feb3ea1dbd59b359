"""Up or down: by the wish, by the account, and by whether anybody uses it."""

from __future__ import annotations

from datetime import datetime, timedelta

from controller.devenv.tools import DevEnvScope
from crds.account import Account
from crds.devenv import StoppedFor


async def decide(scope: DevEnvScope, account: Account) -> StoppedFor | None:
    """Why the environment shall be down at present, None when it shall be up; noted on it."""
    status = scope.object.status
    reason = await _reason(scope, account)
    if reason is not None and status.stopped_for is None:
        status.last_stopped_at = scope.now
    if reason is None and status.stopped_for is not None:
        status.starting_since = scope.now
    if reason is not None:
        status.starting_since = status.idle_at = None
    status.stopped_for = reason
    return reason


async def _reason(scope: DevEnvScope, account: Account) -> StoppedFor | None:
    spec, status = scope.object.spec, scope.object.status
    if account.spec.state != "Active":
        return "Account"
    if spec.power == "Stopped":
        return "Wish"
    if status.stopped_for == "Idle":
        return None if _was_asked_for(scope) else "Idle"
    if status.stopped_for is not None or status.starting_since is not None or status.move:
        return None
    status.idle_at = await _idle_at(scope)
    return "Idle" if status.idle_at is not None and scope.now >= status.idle_at else None


def _was_asked_for(scope: DevEnvScope) -> bool:
    """Whether somebody asked for it since it was stopped for want of traffic."""
    wake_at, stopped_at = scope.object.spec.wake_at, scope.object.status.last_stopped_at
    never = scope.object.spec.auto_stop_minutes is None
    return never or (wake_at is not None and stopped_at is not None and wake_at > stopped_at)


async def _idle_at(scope: DevEnvScope) -> datetime | None:
    """When it is to be stopped, unless there is traffic before that."""
    spec, status = scope.object.spec, scope.object.status
    gateway = scope.machine("kong")
    beat = None if gateway is None else await scope.store.heartbeats.find(gateway.uid)
    status.last_activity_at = _latest(status.last_activity_at, beat and beat.last_activity_at)
    last = _latest(status.last_activity_at, status.last_started_at, spec.wake_at)
    if last is None or spec.auto_stop_minutes is None:
        return None
    return last + timedelta(minutes=spec.auto_stop_minutes)


def _latest(*moments: datetime | None) -> datetime | None:
    return max((moment for moment in moments if moment is not None), default=None)
