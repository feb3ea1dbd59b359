"""A dev environment as rows, in whatever state a test needs it."""

from __future__ import annotations

from typing import Any, Final

from crds.devenv import (
    SERVICES,
    SUFFIXES,
    DevEnv,
    DevEnvSpec,
    DevEnvStatus,
    KeysStatus,
    RlsStatus,
    ServiceStatus,
    cost_of,
)
from crds.machine import InstanceStatus, Machine, MachineSpec, MachineStatus, ServiceSpec
from crds.meta import ObjectMeta
from crds.store import Heartbeat, Store
from tests.console.seeds import Citizen

CLIENT: Final = Citizen("acme")
NAME: Final = "acme-erp"
DEVENV: Final = f"/console/devenvs/{CLIENT.account}/{NAME}"
SERVICE: Final = f"/console/machines/{CLIENT.account}/{NAME}-kong"
TOLD: Final = "https://devenv-acme-erp-studio.fly.dev"


async def settle_devenv(store: Store, phase: str = "Running", **status: Any) -> DevEnv:
    """Write a dev environment and its six Machines as the controllers would.

    Args:
        store: The rows.
        phase: Its phase.
        status: Fields of its status other than those of one that is well.
    """
    now = store.clock.now()
    spec = DevEnvSpec(client="acme", app="erp", silo_id="silo-7")
    services = [
        ServiceStatus(
            name=each,
            machine=f"{NAME}-{SUFFIXES[each]}",
            phase="Running",
            ready=True,
            started_at=now,
        )
        for each in SERVICES
    ]
    told = {
        "phase": phase,
        "services": services,
        "connection": "Full",
        "observed_generation": 1,
        "keys": KeysStatus(fingerprint="0a1b2c", made_at=now),
        "rls": RlsStatus(mode="production", generation=1, checked_at=now),
        "cost": cost_of(spec),
        "warm_up_seconds": 61.0,
        **status,
    }
    wished = DevEnvStatus.model_validate(told)
    wished.set_condition("Ready", status=phase == "Running", reason=phase, now=now, generation=1)
    devenv = await store.create(
        DevEnv(
            metadata=ObjectMeta(name=NAME, namespace=CLIENT.account, finalizers=["x"]),
            spec=spec,
            status=wished,
        )
    )
    for each in services:
        await _service(store, devenv, each)
    return devenv


async def _service(store: Store, devenv: DevEnv, service: ServiceStatus) -> None:
    now = store.clock.now()
    status = MachineStatus(
        phase=service.phase,
        observed_generation=1,
        instance=InstanceStatus(id=f"i-{service.name}", state="started", since=now),
    )
    status.set_condition("Ready", status=service.ready, reason=service.phase, now=now, generation=1)
    machine = await store.create(
        Machine(
            metadata=ObjectMeta(
                name=service.machine,
                namespace=CLIENT.account,
                owner_references=[devenv.owner_reference()],
            ),
            spec=MachineSpec(
                account=CLIENT.account,
                image="x",
                service=ServiceSpec(app=devenv.spec.app_of(service.name), network="inv-x"),
            ),
            status=status,
        )
    )
    await store.heartbeats.record([Heartbeat(machine.uid, now, "running", "", now)])
