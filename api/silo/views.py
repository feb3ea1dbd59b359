"""What agents are told of a dev environment, derived from the rows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from api.silo.models import CostView, Missing, RlsView, ServiceView, SiloStatus, SiloWish
from crds.devenv import DevEnv, Service, ServiceStatus, cost_of
from crds.machine import Machine
from crds.meta import Key
from crds.store import HeartbeatRecord, Store

# Older than this, usage says nothing of the present.
USAGE_AGE: Final = timedelta(minutes=3)
UP: Final = frozenset({"active", "degraded"})
DOWN: Final = frozenset({"Stopped", "Stopping"})


@dataclass(frozen=True, slots=True)
class Facts:
    """A dev environment with what was heard of its services.

    Attributes:
        devenv: Its row.
        beats: What was heard of each service's machine.
        now: The moment for which it is told.
    """

    devenv: DevEnv
    beats: Mapping[Service, HeartbeatRecord]
    now: datetime

    @property
    def last_request_at(self) -> datetime | None:
        """When there was last traffic: it all comes through the gateway."""
        gateway = self.beats.get("kong")
        return _latest(self.devenv.status.last_activity_at, gateway and gateway.last_activity_at)

    @property
    def inactive_since(self) -> datetime | None:
        """Since when nobody has used it: starting it, and asking for it, is use."""
        spec, status = self.devenv.spec, self.devenv.status
        # Who asks for a day to come asks now, too.
        asked_at = spec.wake_at and min(spec.wake_at, self.now)
        return _latest(self.last_request_at, status.last_started_at, asked_at)


async def facts_of(store: Store, devenv: DevEnv) -> Facts:
    """Read what was heard of a dev environment's services."""
    services = devenv.status.services
    rows = await asyncio.gather(
        *(
            store.find_row(Key(Machine.KIND, devenv.metadata.namespace, service.machine))
            for service in services
        )
    )
    uids = {s.name: row["uid"] for s, row in zip(services, rows, strict=True) if row is not None}
    known = await store.heartbeats.get(uids.values()) if uids else {}
    beats = {name: known[uid] for name, uid in uids.items() if uid in known}
    return Facts(devenv, beats, store.clock.now())


def overall_status(devenv: DevEnv) -> str:
    """The word for how it is; a wish that nobody has acted upon yet counts."""
    spec, phase = devenv.spec, devenv.status.phase
    if devenv.deleting:
        return "deleting"
    if devenv.status.observed_generation < devenv.metadata.generation:
        if spec.power == "Stopped" and phase not in DOWN:
            return "stopping"
        if spec.power == "Running" and phase in DOWN and asked_for(devenv):
            return "starting"
    return "active" if phase == "Running" else phase.lower()


def asked_for(devenv: DevEnv) -> bool:
    """Whether one that is down shall be up again."""
    spec, status = devenv.spec, devenv.status
    if status.stopped_for != "Idle":
        return status.stopped_for != "Account"
    stopped_at = status.last_stopped_at
    return spec.wake_at is not None and (stopped_at is None or spec.wake_at > stopped_at)


def reasons(devenv: DevEnv) -> list[str]:
    """Why it is not as it should be, in sentences; nothing when it is."""
    status = devenv.status
    ready = status.condition("Ready")
    found = [ready.message] if ready and ready.status != "True" and ready.message else []
    if status.retry is not None and status.retry.message not in found:
        found.append(status.retry.message)
    return [each for each in found if each]


def silo_wish(devenv: DevEnv, *, made: bool = False) -> SiloWish:
    """The short answer to a wish."""
    return SiloWish(
        silo_id=devenv.silo_id,
        name=devenv.metadata.name,
        account=devenv.metadata.namespace,
        overall_status=overall_status(devenv),
        power=devenv.spec.power,
        region=devenv.spec.region,
        wake_at=devenv.spec.wake_at,
        rotate_at=devenv.spec.rotate_at,
        made=made,
    )


def silo_status(facts: Facts) -> SiloStatus:
    """Everything about it that is no secret."""
    devenv = facts.devenv
    spec, status = devenv.spec, devenv.status
    cost = status.cost or cost_of(spec)
    idle = facts.inactive_since
    return SiloStatus(
        silo_id=devenv.silo_id,
        name=devenv.metadata.name,
        account=devenv.metadata.namespace,
        overall_status=overall_status(devenv),
        reasons=reasons(devenv),
        region=status.region or spec.region,
        services=_services(facts),
        connection=status.connection,
        last_request_at=facts.last_request_at,
        inactivity_seconds=None if idle is None else _seconds(facts.now - idle),
        auto_stop_minutes=spec.auto_stop_minutes,
        auto_stop_trigger_in_seconds=_trigger_in(facts),
        last_started_at=status.last_started_at,
        last_stopped_at=status.last_stopped_at,
        stopped_for=status.stopped_for and status.stopped_for.lower(),
        warm_up_seconds=status.warm_up_seconds,
        cost=CostView(always_on_usd=cost.always_on_usd, auto_stop_usd=cost.auto_stop_usd),
        rls=_rls(devenv),
        missing=[_missing(each) for each in status.missing],
    )


def _services(facts: Facts) -> dict[Service, ServiceView]:
    """Those that there are, and those that are wished for and not there yet."""
    devenv = facts.devenv
    there = {service.name: service for service in devenv.status.services}
    wished = {name: ServiceStatus(name=name, machine="") for name in devenv.spec.services}
    return {name: _service(facts, service) for name, service in {**wished, **there}.items()}


def _service(facts: Facts, service: ServiceStatus) -> ServiceView:
    beat = facts.beats.get(service.name)
    up = service.ready or service.phase == "Running"
    usage = beat if up and beat and _is_fresh(beat.usage_at, facts.now) else None
    started_at = service.started_at if up else None
    return ServiceView(
        status=service_status(service),
        machine_id=service.instance,
        cpu_percent=_rounded(usage.cpu_percent) if usage else None,
        memory_mb=_rounded(usage.memory_mb) if usage else None,
        uptime_seconds=None if started_at is None else _seconds(facts.now - started_at),
    )


def service_status(service: ServiceStatus) -> str:
    """The word for a service: one that runs without answering is unhealthy."""
    if service.ready:
        return "running"
    return "unhealthy" if service.phase == "Running" else service.phase.lower()


def _is_fresh(at: datetime | None, now: datetime) -> bool:
    return at is not None and now - at <= USAGE_AGE


def _trigger_in(facts: Facts) -> int | None:
    """Seconds until it is stopped if there is no traffic; None for one that is not."""
    minutes, idle = facts.devenv.spec.auto_stop_minutes, facts.inactive_since
    if minutes is None or idle is None or overall_status(facts.devenv) not in UP:
        return None
    return _seconds(idle + timedelta(minutes=minutes) - facts.now)


def _rls(devenv: DevEnv) -> RlsView:
    rls = devenv.status.rls
    return RlsView(
        mode=devenv.spec.rls_mode,
        applied=rls.mode if rls else None,
        checked_at=rls.checked_at if rls else None,
        drift=rls.drift if rls else [],
    )


def _missing(words: str) -> Missing:
    name, _, rule = words.partition(": ")
    return Missing(name=name, rule=rule)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _seconds(span: timedelta) -> int:
    return max(0, int(span.total_seconds()))


def _latest(*moments: datetime | None) -> datetime | None:
    return max((moment for moment in moments if moment is not None), default=None)
