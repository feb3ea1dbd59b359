"""Accounts that must not run: whatever else is wrong with what they have."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import httpx

from crds.account import Account, AccountState
from crds.errors import ConflictError
from crds.meta import Key, ObjectMeta
from crds.platform import PLATFORM, Platform
from crds.route import Route, RouteSpec
from crds.workspace import WORKSPACE
from tests.simulation.monkeys import back_to_running, destroy
from tests.simulation.processes import USER
from tests.simulation.scenarios import Scenario, sign_up
from tests.simulation.world import World

LONG = timedelta(minutes=30)


async def set_state(world: World, state: AccountState) -> None:
    """Change the account's state."""
    while True:
        account = await world.store.get(Account, USER)
        account.spec.state = state
        try:
            await world.store.update(account)
        except ConflictError:
            continue
        return


async def edit(world: World, kind: str, **values: Any) -> None:
    """Change fields of a kind's specs by plain SQL, legal or not."""
    await world.store.database.execute(
        "UPDATE objects SET spec = spec || %s::jsonb WHERE kind = %s", json.dumps(values), kind
    )


async def until_stopped(world: World) -> None:
    """Let time pass until no machine runs."""

    async def holds() -> bool:
        return not world.fly.running_machines()

    await world.until(holds, "stopped", within=60)


async def quarantined_and_blocked(world: World) -> None:
    """A workspace that is blocked on a taken name is stopped by quarantine all the same."""
    await sign_up(world)
    await world.store.create(
        Route(metadata=ObjectMeta(name="taken"), spec=RouteSpec(account="somebody-else"))
    )
    await world.wish(subdomain="taken")
    await world.pass_time(timedelta(minutes=2))
    await set_state(world, "Quarantined")
    await until_stopped(world)
    await world.until_entry("alice", "quarantined")
    await set_state(world, "Active")
    await world.wish(subdomain="alice")
    await back_to_running(world)
    await world.store.delete(Route, "taken")


async def quarantined_and_broken(world: World) -> None:
    """So is one that an edit by SQL broke, or whose platform or machine."""
    await world.store.create(Platform(metadata=ObjectMeta(name=PLATFORM)))
    await sign_up(world)
    for kind, bad, good in (
        ("Workspace", {"volumeGb": 0}, {"volumeGb": None}),
        ("Platform", {"volumeGb": 0}, {"volumeGb": 1}),
        ("Machine", {"port": 0}, {}),
    ):
        await edit(world, kind, **bad)
        await set_state(world, "Quarantined")
        await until_stopped(world)
        await edit(world, kind, **good)
        await set_state(world, "Active")
        await back_to_running(world)
    await edit(world, "Account", state="Suspended", email="")
    await until_stopped(world)
    await edit(world, "Account", state="Active", email="alice@example.com")
    await back_to_running(world)


async def idle_and_blocked(world: World) -> None:
    """A workspace that is blocked goes to sleep when nobody uses it."""
    await sign_up(world)
    await world.store.create(
        Route(metadata=ObjectMeta(name="taken"), spec=RouteSpec(account="somebody-else"))
    )
    await world.wish(subdomain="taken")
    await world.pass_time(LONG + timedelta(minutes=5))
    await until_stopped(world)
    await world.store.delete(Route, "taken")
    await world.wish(subdomain="alice")
    await world.until_answered()
    await back_to_running(world)


async def quarantined_and_lost(world: World) -> None:
    """A quarantined account's machine that is lost is not started, not even for a moment."""
    await sign_up(world)
    await set_state(world, "Quarantined")
    await until_stopped(world)
    started = len(world.fly.machines)
    await destroy(world)
    # Of what rests, a full look and a resync tell, every ten minutes each; then it is believed.
    await world.until_event("MachineLost", within=1800)
    await world.pass_time(LONG)
    assert len(world.fly.machines) == started
    workspace = await world.store.find_row(Key("Workspace", USER, WORKSPACE))
    assert workspace is not None
    assert workspace["status"]["phase"] == "Quarantined"
    await set_state(world, "Active")
    await back_to_running(world)


async def quarantined_in_creation(world: World) -> None:
    """A machine whose creation nobody heard of is found and stopped."""
    deaf = [False]
    send = world.simulators.handle_async_request

    async def lose_answer(request: Any) -> Any:
        answer = await send(request)
        if request.method == "POST" and request.url.path.endswith("/machines") and not deaf[0]:
            deaf[0] = True
            await set_state(world, "Quarantined")
            raise httpx.ReadTimeout("timed out", request=request)
        return answer

    world.simulators.handle_async_request = lose_answer  # type: ignore[method-assign]  # a fault
    await world.register()
    await world.wish()

    async def stopped() -> bool:
        states = [machine.state for machine in world.fly.machines.values()]
        return states == ["stopped"]

    await world.until(stopped, "found and stopped")
    await world.quiesce()
    await set_state(world, "Active")
    await back_to_running(world)


async def stopped_from_birth(world: World) -> None:
    """What shall be stopped from the first is not started for it."""
    await world.register()
    await world.wish(power="Stopped")
    await world.until_phase("Stopped")
    assert not world.fly.machines
    await world.wish(power="Running")
    await back_to_running(world)


QUARANTINES: dict[str, Scenario] = {
    quarantine.__name__: quarantine
    for quarantine in (
        quarantined_and_blocked,
        quarantined_and_broken,
        quarantined_and_lost,
        quarantined_in_creation,
        idle_and_blocked,
        stopped_from_birth,
    )
}
