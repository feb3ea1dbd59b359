"""Two kinds keep machines in one namespace: neither takes the other's for its own."""

from __future__ import annotations

import pytest

from crds.account import Account, AccountSpec
from crds.devenv import DevEnv, DevEnvSpec
from crds.machine import Machine
from crds.meta import ObjectMeta, Resource
from crds.workspace import Workspace, WorkspaceSpec
from tests.simulation.processes import USER
from tests.simulation.sweep import quiet
from tests.simulation.world import World, world
from tests.support.virtual_time import run

NAME = "acme-erp-pg"


async def register(here: World) -> None:
    """Make the account in which both live."""
    spec = AccountSpec(email="devops@acme.example")
    await here.store.create(Account(metadata=ObjectMeta(name=USER), spec=spec))


def workspace() -> Workspace:
    """One whose machine would be called like a database's."""
    meta = ObjectMeta(name=NAME, namespace=USER)
    return Workspace(metadata=meta, spec=WorkspaceSpec(subdomain="alice"))


def devenv() -> DevEnv:
    """One whose database's machine would be called like the workspace's."""
    meta = ObjectMeta(name="acme-erp", namespace=USER)
    return DevEnv(metadata=meta, spec=DevEnvSpec(client="acme", app="erp"))


@pytest.mark.parametrize("first", [workspace, devenv])
def test_nobody_takes_anothers_machine(database_url: str, first: object) -> None:
    """Who comes second says that the name is taken, and its end leaves the other's alone."""
    quiet()
    earlier, later = (workspace(), devenv()) if first is workspace else (devenv(), workspace())

    async def owner(here: World) -> str | None:
        machine = await here.store.find(Machine, NAME, USER)
        controller = None if machine is None else machine.controller()
        return None if controller is None else controller.kind

    async def main() -> None:
        async with world(database_url) as here:
            await register(here)
            await here.store.create(earlier)

            async def made() -> bool:
                return await owner(here) == earlier.KIND

            await here.until(made, "the first one's machine")
            await here.store.create(later)
            await here.until(lambda: refused(here, later), "a refusal")
            await here.store.delete(type(later), later.metadata.name, USER)
            await here.until(lambda: gone(here, later), "the second one's end")

            machine = await here.store.get(Machine, NAME, USER)
            assert (earlier.KIND, False) == (await owner(here), machine.deleting)

    run(main, limit_seconds=100_000)


async def refused(here: World, wished: Resource) -> bool:
    """Whether somebody was told that the machine is another's."""
    found = await here.store.find(type(wished), wished.metadata.name, USER)
    retry = found.status.retry if found else None
    return retry is not None and retry.reason == "MachineNotOurs"


async def gone(here: World, wished: Resource) -> bool:
    """Whether its row has gone."""
    return await here.store.find(type(wished), wished.metadata.name, USER) is None
