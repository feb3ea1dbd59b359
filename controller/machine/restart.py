"""Restart: a wish with a moment; what started before it is started once more."""

from __future__ import annotations

from controller.machine.tools import MachineScope, Tools
from crds.machine import Restarts

GAVE_UP = "CrashLoop"


def restart_due(scope: MachineScope) -> bool:
    """Whether the process started before the moment of the wish, and that moment has come.

    What has not started yet, or starts later for another reason, needs no restart.
    """
    wished, instance = scope.object.spec.restart_at, scope.object.status.instance
    if wished is None or wished > scope.now or instance is None or instance.started_at is None:
        return False
    return scope.object.spec.power == "Running" and instance.started_at < wished


def until_restart(scope: MachineScope) -> float | None:
    """Seconds until the moment of a wish that is still to come; None without one."""
    wished = scope.object.spec.restart_at
    if wished is None or wished <= scope.now:
        return None
    return (wished - scope.now).total_seconds()


async def heed_new_wish(scope: MachineScope, _: Tools) -> None:
    """Crashes are counted for one wish: who wishes otherwise may have put right what was wrong.

    To be put to sleep for idleness is nobody's wish.
    """
    restarts = scope.object.status.restarts
    if scope.object.spec.power == "Asleep":
        return
    if restarts.count and restarts.generation != scope.object.metadata.generation:
        forget_crash_loop(scope)


def forget_crash_loop(scope: MachineScope) -> None:
    """Begin to count anew: somebody has put right what they think was wrong."""
    status = scope.object.status
    restarts = status.restarts
    status.drop_condition(GAVE_UP)
    last = None if scope.seen is None else scope.seen.last_exit()
    status.restarts = Restarts(
        last_exit_code=restarts.last_exit_code,
        # The exit before the wish is not counted after it either.
        last_exit_at=restarts.last_exit_at if last is None else last.at,
    )
