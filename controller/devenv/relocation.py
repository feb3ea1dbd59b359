"""A move to another region: stop, create there, copy and compare the data, switch, remove.

Each step finds out anew how far it is, so a move goes on wherever it was interrupted.
The old database is let go only after the new one has every row and every service is well again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from controller.devenv import database, move
from controller.devenv.connection import withdraw
from controller.devenv.machines import (
    is_ready,
    keep,
    lower,
    place_of,
    remove,
    rest,
)
from controller.devenv.prepared import ensure_prepared, is_prepared, psql_of
from controller.devenv.tools import SERVICE_LABEL, DevEnvScope, Tools, Wait
from crds.devenv import SUFFIXES, MoveStatus, MoveStep, Service, ServiceStatus
from crds.machine import Machine

CONDITION: Final = "Moving"
# What holds data; everything else is made anew where it is wished for.
KEEPERS: Final[tuple[Service, ...]] = ("postgres", "storage")
COPY_POLL_SECONDS: Final = 5.0
# A copy that failed is not begun anew at once: what ails it may pass.
COPY_AGAIN_AFTER: Final = timedelta(minutes=1)

Step = Callable[[DevEnvScope, Tools, MoveStatus], Awaitable[Wait | None]]


async def relocate(scope: DevEnvScope, tools: Tools) -> Wait | None:
    """Move the data to where it is wished for, as far as that goes without the services."""
    status = scope.object.status
    if status.move is None and not _begin(scope):
        return None
    if wait := await _reconsider(scope, tools):
        return wait
    while status.move is not None and status.move.step in STEPS:
        step, following = STEPS[status.move.step]
        if wait := await step(scope, tools, status.move):
            _tell(scope, status.move)
            return wait
        status.move.step = following
        await scope.save()
    return None


async def finish(scope: DevEnvScope, tools: Tools) -> Wait | None:
    """Let go of what was left behind, once every service is well in the new place."""
    status = scope.object.status
    if status.move is None or status.move.step != "Remove":
        return None
    if status.starting_since is None:
        # Something is away: what was left behind stays until all is well.
        return None
    if wait := await remove(scope, tools, keep=current(scope)):
        _tell(scope, status.move)
        return wait
    moved = status.move
    seconds = (scope.now - moved.since).total_seconds()
    scope.event(
        "Moved",
        f"from {moved.source} to {moved.target} with {moved.rows} rows in {moved.tables} tables "
        f"in {seconds:.0f} s",
    )
    status.move = None
    status.drop_condition(CONDITION)
    await scope.save()
    return None


def current(scope: DevEnvScope) -> frozenset[str]:
    """The names of the Machines that are the environment's services at present."""
    return frozenset(scope.machine_name(service) for service in scope.object.spec.services)


def _begin(scope: DevEnvScope) -> bool:
    """Whether there is data that is not where it is wished; then the move begins."""
    spec, status = scope.object.spec, scope.object.status
    postgres = scope.machine("postgres")
    if postgres is None or postgres.status.volume is None:
        status.region = spec.region
    elif status.region is None:
        status.region = postgres.spec.region
    if postgres is None or place_of(scope) == spec.region:
        return False
    status.move = MoveStatus(
        source=place_of(scope), target=spec.region, since=scope.now, machines=_new_names(scope)
    )
    scope.event("Moving", f"from {status.move.source} to {status.move.target}")
    return True


def _new_names(scope: DevEnvScope) -> dict[Service, str]:
    """Names of Machines that there are not."""
    status, known = scope.object.status, scope.known.machines
    while True:
        status.moves += 1
        number = status.moves + 1
        names = {service: f"{scope.name}-{SUFFIXES[service]}-{number}" for service in KEEPERS}
        if known.keys().isdisjoint(names.values()):
            return names


async def _reconsider(scope: DevEnvScope, tools: Tools) -> Wait | None:
    """Give up a move whose target is not wished for any more, while the old place still holds."""
    moving = scope.object.status.move
    if moving is None or moving.target == scope.object.spec.region:
        return None
    if moving.step in ("Switch", "Remove"):
        return None
    if wait := await remove(scope, tools, keep=current(scope)):
        return wait
    scope.event("MoveGivenUp", f"to {moving.target}: {scope.object.spec.region} is wished for")
    scope.object.status.move = None
    scope.object.status.drop_condition(CONDITION)
    scope.object.status.starting_since = scope.now
    if not _begin(scope):
        return None
    await scope.save()
    return Wait(0, "another region")


async def _stop(scope: DevEnvScope, tools: Tools, _: MoveStatus) -> Wait | None:
    """Nobody writes any more: all services are down but the database."""
    await withdraw(scope, tools)
    others = tuple(s for s in scope.object.spec.services if s != "postgres")
    if wait := await lower(scope, others):
        return wait
    machine = await keep(scope, tools, "postgres", region=place_of(scope))
    if not is_ready(machine):
        return Wait(None, "the old database")
    # Keys that were replaced on the way: the copy logs in with them.
    await ensure_prepared(scope, tools, machine)
    return None


async def _create(scope: DevEnvScope, tools: Tools, moving: MoveStatus) -> Wait | None:
    """A database in the new place, in the same app."""
    machine = await _keep_new(scope, tools, moving)
    if not is_ready(machine):
        return Wait(None, f"the new database in {moving.target}")
    await database.prepare(psql_of(scope, tools, machine), scope.keys)
    return None


async def _keep_new(scope: DevEnvScope, tools: Tools, moving: MoveStatus) -> Machine:
    name = moving.machines["postgres"]
    return await keep(scope, tools, "postgres", name=name, region=moving.target)


async def _copy(scope: DevEnvScope, tools: Tools, moving: MoveStatus) -> Wait | None:
    """Have the new machine fetch everything from the old one; it goes on while nobody looks."""
    old, new = scope.machine("postgres"), scope.known.machines.get(moving.machines["postgres"])
    if old is None or new is None or not is_ready(old) or not is_ready(new):
        return _again(moving, "one of the databases went away")
    target = psql_of(scope, tools, new)
    progress = await move.progress(target)
    if progress.state == "Restored":
        return None
    if progress.state == "Failed" and (wait := _let_pass(scope, progress.message)):
        return wait
    if progress.state != "Running":
        if not is_prepared(scope, tools, old):
            return _again(moving, "the old database has other keys")
        await move.begin(target, source_host=_host_of(old), keys=scope.keys)
    scope.condition(CONDITION, status=True, reason="Copy", message=_course(moving))
    return Wait(COPY_POLL_SECONDS, "the data to be copied")


def _let_pass(scope: DevEnvScope, why: str) -> Wait | None:
    """Tell that a copy failed, and wait for a while before the next one."""
    told = scope.object.status.condition(CONDITION)
    message = f"the copy failed: {why}"
    if told is None or told.reason != "CopyFailed":
        scope.condition(CONDITION, status=False, reason="CopyFailed", message=message)
        scope.event("CopyFailed", message, warning=True)
        return Wait(COPY_AGAIN_AFTER.total_seconds(), message)
    left = (told.last_transition_time + COPY_AGAIN_AFTER - scope.now).total_seconds()
    return Wait(left, message) if left > 0 else None


def _again(moving: MoveStatus, why: str) -> Wait:
    """Begin anew with what is there; nothing was switched to yet."""
    moving.step = "Stop"
    return Wait(0, why)


async def _verify(scope: DevEnvScope, tools: Tools, moving: MoveStatus) -> Wait | None:
    """Every table has as many rows there as here; if not, it is copied once more."""
    old, new = scope.machine("postgres"), scope.known.machines.get(moving.machines["postgres"])
    if old is None or new is None or not is_ready(old) or not is_ready(new):
        return _again(moving, "one of the databases went away")
    source, target = psql_of(scope, tools, old), psql_of(scope, tools, new)
    try:
        moving.tables, moving.rows = await move.verify(source, target)
    except move.DataDiffersError as error:
        moving.step = "Copy"
        return Wait(0, str(error))
    scope.event("Verified", f"{moving.rows} rows in {moving.tables} tables are in both places")
    return None


async def _switch(scope: DevEnvScope, tools: Tools, moving: MoveStatus) -> Wait | None:
    """The new database takes over, and the old one, which nothing writes to, goes to rest.

    It is the only one that runs before any other service does.
    """
    new = await _keep_new(scope, tools, moving)
    if not is_ready(new):
        return Wait(None, "the new database")
    target = psql_of(scope, tools, new)
    if (await move.progress(target)).state != "Restored":
        # Its disk was lost; the old one has everything, for nobody wrote since.
        return _again(moving, "what was copied is gone")
    await move.switch(target)
    if wait := await rest(scope, scope.machine("postgres")):
        return wait
    status = scope.object.status
    status.region = moving.target
    status.services = [_taken_over(scope, service, moving) for service in status.services]
    status.starting_since = scope.now
    return None


def source_of(scope: DevEnvScope, service: Service) -> str | None:
    """The volume that a service's own begins as a copy of, when it is made anew during a move."""
    moving = scope.object.status.move
    if moving is None or service not in moving.machines or scope.machine(service) is not None:
        return None
    old = _left_behind(scope, service, moving)
    return old.status.volume.id if old is not None and old.status.volume is not None else None


def _left_behind(scope: DevEnvScope, service: Service, moving: MoveStatus) -> Machine | None:
    """The Machine that was a service before the move."""
    return next(
        (
            machine
            for name, machine in scope.known.machines.items()
            if machine.metadata.labels.get(SERVICE_LABEL) == service
            and name != moving.machines[service]
        ),
        None,
    )


def _taken_over(scope: DevEnvScope, service: ServiceStatus, moving: MoveStatus) -> ServiceStatus:
    taker, giver = moving.machines.get(service.name), scope.machine(service.name)
    if taker is None or giver is None or giver.status.volume is None:
        return service
    return service.model_copy(update={"machine": taker})


STEPS: Final[dict[MoveStep, tuple[Step, MoveStep]]] = {
    "Stop": (_stop, "Create"),
    "Create": (_create, "Copy"),
    "Copy": (_copy, "Verify"),
    "Verify": (_verify, "Switch"),
    "Switch": (_switch, "Remove"),
}


def _tell(scope: DevEnvScope, moving: MoveStatus) -> None:
    told = scope.object.status.condition(CONDITION)
    if told is None or told.reason != "CopyFailed":
        scope.condition(CONDITION, status=True, reason=moving.step, message=_course(moving))


def _course(moving: MoveStatus) -> str:
    return f"from {moving.source} to {moving.target}"


def _host_of(machine: Machine) -> str:
    """Where a machine of the same network finds this one, past the provider's proxy."""
    instance, service = machine.status.instance, machine.spec.service
    if instance is None or service is None:
        raise ValueError(f"{machine.key} runs nothing")
    return f"{instance.id}.vm.{service.app}.internal"
