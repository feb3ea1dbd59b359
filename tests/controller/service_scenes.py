"""A service's Machine in a world in memory: what is wished for it and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from controller.machine import names
from crds.errors import ConflictError
from crds.machine import Machine, MachineSpec, SecretRef, ServiceSpec, VolumeSpec
from crds.meta import Key, ObjectMeta
from tests.simulation.invariants import GONE
from tests.simulation.processes import INSTALLATION, USER
from tests.simulation.sweep import quiet
from tests.simulation.world import World, world
from tests.support.virtual_time import run

Scene = Callable[[World], Awaitable[None]]
Play = Callable[[Scene], None]

DEVENV = UUID("00000000-0000-4000-8000-000000000001")
NETWORK = f"inv-{INSTALLATION}-{names.encode_uid(DEVENV)}"
APP = "devenv-acme-shop-pg"
SECRET = "machine/pg/variables"
DISK = VolumeSpec(size_gb=10, path="/data")


@pytest.fixture
def play(database_url: str) -> Play:
    """Runs a scene in a world of its own, on virtual time."""
    quiet()

    def runner(scene: Scene) -> None:
        async def main() -> None:
            async with world(database_url) as here:
                await scene(here)
                here.watchman.check()

        run(main, limit_seconds=100_000)

    return runner


async def keep(here: World, *, name: str = SECRET, **variables: str) -> SecretRef:
    """Keep secret variables; their number is fingerprint enough here."""
    await here.secrets.put(USER, name, json.dumps(variables).encode())
    return SecretRef(name=name, fingerprint="-".join(variables.values()))


async def wish(
    here: World, name: str = "pg", *, service: dict[str, Any] | None = None, **spec: Any
) -> None:
    """Write a service's Machine, making it when it is not there."""
    while True:
        found = await here.store.find(Machine, name, USER)
        if found is None:
            serves = ServiceSpec(**{"app": APP, "network": NETWORK, **(service or {})})
            usual = {"account": USER, "image": "postgres:15", "port": 5432, "volume": DISK}
            made = MachineSpec(**{**usual, **spec}, service=serves)
            await here.store.create(
                Machine(metadata=ObjectMeta(name=name, namespace=USER), spec=made)
            )
            return
        assert found.spec.service is not None
        serves = found.spec.service.model_copy(update=service or {})
        found.spec = found.spec.model_copy(update={**spec, "service": serves})
        try:
            await here.store.update(found)
        except ConflictError:
            continue
        return


async def found(here: World, name: str = "pg") -> Machine:
    """The row as it is."""
    return await here.store.get(Machine, name, USER)


async def until(here: World, phase: str, name: str = "pg") -> Machine:
    """Let time pass until the row is in a phase that is that of its present wish."""

    async def holds() -> bool:
        row = await here.store.find(Machine, name, USER)
        return (
            row is not None
            and row.status.phase == phase
            and row.status.observed_generation == row.metadata.generation
            and row.status.intent is None
        )

    await here.until(holds, f"{name} {phase}")
    return await found(here, name)


async def until_gone(here: World, name: str = "pg") -> None:
    """Delete a row and let time pass until it is gone."""
    await here.store.delete(Machine, name, USER)

    async def holds() -> bool:
        return await here.store.find_row(Key("Machine", USER, name)) is None

    await here.until(holds, f"{name} gone")


def config(here: World) -> dict[str, Any]:
    """The config of the one live Fly machine."""
    (machine,) = live(here)
    return dict(machine.config)


def live(here: World) -> list[Any]:
    """The Fly machines that there are."""
    return [machine for machine in here.fly.machines.values() if machine.state not in GONE]
