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
from controller.devenv.machines import is_ready, keep, lower, place_of, remove, rest
from controller.devenv.psql import Psql
from controller.devenv.tools import DevEnvScope, Tools, Wait
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
    if postgres is None or place_of(scope) == spec.region:
        return False
    status.moves += 1
    status.move = MoveStatus(
        source=place_of(scope),
        target=spec.region,
        since=scope.now,
        machines={
            service: f"{scope.name}-{SUFFIXES[service]}-{status.moves + 1}" for service in KEEPERS
        },
    )
    scope.event("Moving", f"from {status.move.source} to {status.move.target}")
    return True


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
    return None if is_ready(machine) else Wait(None, "the old database")


async def _create(scope: DevEnvScope, tools: Tools, moving: MoveStatus) -> Wait | None:
    """A database in the new place, in the same app."""
    name = moving.machines["postgres"]
    machine = await keep(scope, tools, "postgres", name=name, region=moving.target)
    if not is_ready(machine):
        return Wait(None, f"the new database in {moving.target}")
    await database.prepare(psql_of(scope, tools, machine), scope.keys)
    return None


async def _copy(scope: DevEnvScope, tools: Tools, moving: MoveStatus) -> Wait | None:
    """Have the new machine fetch everything from the old one; it goes on while nobody looks."""
    old, new = scope.machine("postgres"), scope.known.machines.get(moving.machines["postgres"])
    if old is None or new is None or not is_ready(old) or not is_ready(new):
        moving.step = "Stop"
        return Wait(0, "one of the databases went away")
    target = psql_of(scope, tools, new)
    progress = await move.progress(target)
    if progress.state == "Restored":
        return None
    if progress.state == "Failed":
        message = f"the copy failed: {progress.message}"
        if scope.condition(CONDITION, status=False, reason="CopyFailed", message=message):
            scope.event("CopyFailed", message, warning=True)
    if progress.state != "Running":
        await move.begin(target, source_host=_host_of(old), keys=scope.keys)
    return Wait(COPY_POLL_SECONDS, "the data to be copied")


async def _verify(scope: DevEnvScope, tools: Tools, moving: MoveStatus) -> Wait | None:
    """Every table has as many rows there as here."""
    old, new = scope.machine("postgres"), scope.known.machines.get(moving.machines["postgres"])
    if old is None or new is None or not is_ready(old) or not is_ready(new):
        moving.step = "Stop"
        return Wait(0, "one of the databases went away")
    source, target = psql_of(scope, tools, old), psql_of(scope, tools, new)
    moving.tables, moving.rows = await move.verify(source, target)
    scope.event("Verified", f"{moving.rows} rows in {moving.tables} tables are in both places")
    return None


async def _switch(scope: DevEnvScope, tools: Tools, moving: MoveStatus) -> Wait | None:
    """The new database takes over, and the files follow as a copy of their disk."""
    new = scope.known.machines.get(moving.machines["postgres"])
    if new is None or not is_ready(new):
        return Wait(None, "the new database")
    await move.switch(psql_of(scope, tools, new))
    if wait := await _copy_files(scope, tools, moving):
        return wait
    # From here on nobody may write to the old one.
    if wait := await rest(scope, scope.machine("postgres")):
        return wait
    status = scope.object.status
    status.region = moving.target
    status.services = [_taken_over(scope, service, moving) for service in status.services]
    status.starting_since = scope.now
    return None


async def _copy_files(scope: DevEnvScope, tools: Tools, moving: MoveStatus) -> Wait | None:
    old = scope.machine("storage")
    if old is None or old.status.volume is None:
        return None
    name, source = moving.machines["storage"], old.status.volume.id
    held = scope.known.machines.get(name)
    if held is None or held.status.volume is None:
        await keep(scope, tools, "storage", name=name, region=moving.target, source=source)
        return Wait(None, "a copy of the files")
    return None


def _taken_over(scope: DevEnvScope, service: ServiceStatus, moving: MoveStatus) -> ServiceStatus:
    taker = moving.machines.get(service.name)
    if taker is None or taker not in scope.known.machines:
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
        message = f"from {moving.source} to {moving.target}"
        scope.condition(CONDITION, status=True, reason=moving.step, message=message)


def psql_of(scope: DevEnvScope, tools: Tools, machine: Machine) -> Psql:
    """The database that runs on a service's Machine.

    Raises:
        ValueError: It does not run.
    """
    instance, service = machine.status.instance, machine.spec.service
    if instance is None or service is None:
        raise ValueError(f"{machine.key} runs nothing")
    return Psql(tools.fly, service.app, instance.id, scope.call)


def _host_of(machine: Machine) -> str:
    """Where a machine of the same network finds this one, past the provider's proxy."""
    instance, service = machine.status.instance, machine.spec.service
    if instance is None or service is None:
        raise ValueError(f"{machine.key} runs nothing")
    return f"{instance.id}.vm.{service.app}.internal"
