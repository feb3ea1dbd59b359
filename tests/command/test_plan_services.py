"""What a plan assumes outside of machines that run no agent of ours."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast
from uuid import UUID

from controller.machine import names
from controller.machine.tools import Tools
from crds.machine import (
    AppStatus,
    InstanceStatus,
    Machine,
    MachineSpec,
    MachineStatus,
    ServiceSpec,
    VolumeSpec,
    VolumeStatus,
)
from crds.meta import ObjectMeta
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.kv.store import KV
from deploy.plan.known import STAND_IN
from deploy.plan.outside import Outside, seeded

if TYPE_CHECKING:
    from controller.machine.agent import AgentClient
    from controller.observer import Observer
    from controller.providers.fly import Fly
    from crds.secrets import Secrets

AT = datetime(2030, 1, 1, tzinfo=UTC)
APP, NETWORK = "devenv-acme-shop-pg", "inv-plan-" + "a" * 26


def _machine(number: int, volume: str | None) -> Machine:
    """One that runs, with a disk or without one."""
    held = volume and VolumeStatus(id=volume, region="iad", size_gb=10, used=True)
    return Machine(
        metadata=ObjectMeta(name=f"m{number}", namespace="acct", uid=UUID(int=number)),
        spec=MachineSpec(
            account="acct",
            image="image",
            region="yyz",
            volume=VolumeSpec(size_gb=10) if volume else None,
            service=ServiceSpec(app=APP, network=NETWORK),
        ),
        status=MachineStatus(
            app=AppStatus(name=APP, created_at=AT, addresses=True, assigned=["private_v6"]),
            volume=held or None,
            instance=InstanceStatus(id=f"i{number}", region="yyz", state="started", since=AT),
        ),
    )


def test_services_are_where_their_rows_say() -> None:
    """Two rows share an app with one private address; what has no disk is there all the same."""

    async def seed() -> FlyCloud:
        fly = FlyCloud(now=lambda: 0.0, rng=seeded(0))
        kv = KV(now=lambda: 0.0, rng=seeded(1))
        # Of the tools these two go into a service's configuration.
        tools = Tools(
            fly=cast("Fly", None),
            agent=cast("AgentClient", None),
            observer=cast("Observer", None),
            tokens=STAND_IN,
            installation="plan",
            agent_env={},
            secrets=cast("Secrets", None),
        )
        Outside(fly, kv, tools, exact=True).seed([_machine(1, None), _machine(2, "vol_2")], {})
        return fly

    fly = asyncio.run(seed())

    app = fly.apps[APP]
    assert (NETWORK, ["private_v6"]) == (app.network, [a.type for a in app.addresses])
    assert [("yyz", None), ("iad", "vol_2")] == [
        (machine.region, machine.volume) for machine in fly.machines.values()
    ]
    assert [names.shared_instance_name(UUID(int=number)) for number in (1, 2)] == [
        machine.name for machine in fly.machines.values()
    ]
    assert ["i1", "i2"] == list(app.machines)
