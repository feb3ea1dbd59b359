"""The services on their way up: in order, each well before the next; told as degraded later."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from controller.devenv import rls
from controller.devenv.connection import tell
from controller.devenv.keys import ensure_keys
from controller.devenv.machines import is_ready, keep
from controller.devenv.prepared import ensure_prepared, psql_of
from controller.devenv.relocation import source_of
from controller.devenv.tools import DevEnvScope, Tools, Wait
from crds.devenv import KeysStatus, RlsStatus, Service

DRIFT_CONDITION: Final = "RlsDrift"
# How often a running database is asked whether row-level security is as it was put there.
INSPECT_EVERY: Final = timedelta(minutes=10)


async def ensure(scope: DevEnvScope, tools: Tools) -> None:
    """See to the keys: made once, and anew when that is wished for."""
    status = scope.object.status
    keys = await ensure_keys(
        tools.secrets,
        scope.namespace,
        scope.name,
        scope.object.spec,
        now=scope.now,
        random=tools.random,
        replace_before=_replaced_before(scope),
        fence=scope.request.fence,
    )
    fingerprint = tools.fingerprint(keys.to_bytes())
    if status.keys is None or status.keys.fingerprint != fingerprint:
        if status.keys is not None:
            scope.event("KeysRotated", "the front end and every user need the new ones")
        applied = status.keys.applied if status.keys else ""
        status.keys = KeysStatus(fingerprint=fingerprint, made_at=keys.made_at, applied=applied)
        await scope.save()
    scope.known.keys = keys


def _replaced_before(scope: DevEnvScope) -> datetime | None:
    """The moment before which keys must not have been made."""
    spec, status = scope.object.spec, scope.object.status
    moments = [spec.rotate_at]
    if spec.rotate_on_restart:
        started = status.last_stopped_at if status.starting_since else None
        moments += [spec.restart_at, started]
    return max((m for m in moments if m is not None and m <= scope.now), default=None)


async def raise_services(scope: DevEnvScope, tools: Tools) -> Wait | None:
    """Have every service as wished; on the way up each is well before the next one is touched.

    One that was up and is away does not hold up the others: they go on, and it comes back.
    """
    status = scope.object.status
    for service in scope.object.spec.services:
        machine = await keep(
            scope,
            tools,
            service,
            source=source_of(scope, service),
            before_change=lambda: _begin_again(scope, tools),
        )
        if not is_ready(machine):
            if status.starting_since is not None:
                return Wait(None, f"{service} to be well")
            continue
        if service == "postgres":
            await ensure_prepared(scope, tools, machine)
    return None


async def _begin_again(scope: DevEnvScope, tools: Tools) -> None:
    """What is about to change has to come up in order, and until then nobody should count on it.

    On record before the change, so that whoever is interrupted between the two keeps the order.
    """
    status = scope.object.status
    if status.starting_since is None:
        status.starting_since = scope.now
    if status.connection != "Partial":
        await tell(scope, tools, "Partial")
    await scope.save()


def away(scope: DevEnvScope) -> list[Service]:
    """The services that do not answer."""
    return [s for s in scope.object.spec.services if not is_ready(scope.machine(s))]


async def secure_rows(scope: DevEnvScope, tools: Tools) -> None:
    """Apply the mode of row-level security once a wish or a start; then only look.

    What somebody changes by hand belongs to a developer: it is told, and left.
    """
    status, generation = scope.object.status, scope.object.metadata.generation
    postgres = scope.machine("postgres")
    if postgres is None or not is_ready(postgres):
        return
    mode, held = scope.object.spec.rls_mode, status.rls
    psql = psql_of(scope, tools, postgres)
    if held is None or (held.mode, held.generation) != (mode, generation) or status.starting_since:
        await rls.apply(psql, mode)
        status.rls = RlsStatus(mode=mode, generation=generation, checked_at=scope.now)
        scope.event("RlsApplied", f"row-level security: {mode}")
    elif held.checked_at is None or scope.now >= held.checked_at + INSPECT_EVERY:
        held.drift = await rls.inspect(psql, mode)
        held.checked_at = scope.now
    _tell_drift(scope)


def _tell_drift(scope: DevEnvScope) -> None:
    held = scope.object.status.rls
    if held is None or not held.drift:
        scope.object.status.drop_condition(DRIFT_CONDITION)
        return
    message = (
        f"row-level security is not {held.mode} any more on {', '.join(held.drift)}; "
        "any change of the wish, or a restart, applies it again"
    )
    if scope.condition(DRIFT_CONDITION, status=True, reason="ChangedByHand", message=message):
        scope.event(DRIFT_CONDITION, message, warning=True)
