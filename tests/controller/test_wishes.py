"""What the reconcilers make of wishes that are refused, contradict each other, or come by SQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import anyio
import pytest

from crds.account import Account
from crds.errors import ConflictError
from crds.machine import Machine
from crds.meta import Key, ObjectMeta
from crds.platform import PLATFORM, Caps, Incident, Platform, PlatformSpec
from crds.route import Route, RouteSpec
from crds.tracing import TRACEPARENT
from crds.workspace import WORKSPACE, Workspace, WorkspaceSpec
from tests.simulation.processes import USER
from tests.simulation.scenarios import sign_up
from tests.simulation.sweep import quiet
from tests.simulation.world import World, world
from tests.support.virtual_time import run

Play = Callable[[Callable[[World], Awaitable[None]]], None]


@pytest.fixture
def play(database_url: str) -> Play:
    """Runs a scene in a world of its own, on virtual time."""
    quiet()

    def runner(scene: Callable[[World], Awaitable[None]]) -> None:
        async def main() -> None:
            async with world(database_url) as here:
                await scene(here)
                here.watchman.check()

        run(main, limit_seconds=100_000)

    return runner


async def workspace(here: World) -> Workspace:
    """The user's workspace."""
    return await here.store.get(Workspace, WORKSPACE, USER)


async def until_retry(here: World, reason: str) -> Workspace:
    """Wait until the workspace says why it has not converged."""

    async def holds() -> bool:
        retry = (await workspace(here)).status.retry
        return retry is not None and retry.reason == reason

    await here.until(holds, f"retry {reason}")
    return await workspace(here)


def made(here: World) -> list[str]:
    """What was asked of the machines' provider."""
    return [effect for effect in here.plan.effects if "/v1/apps" in effect]


async def set_platform(here: World, spec: PlatformSpec) -> None:
    """Write the platform's row."""
    found = await here.store.find(Platform, PLATFORM)
    if found is None:
        await here.store.create(Platform(metadata=ObjectMeta(name=PLATFORM), spec=spec))
    else:
        found.spec = spec
        await here.store.update(found)


async def set_account(here: World, **changes: object) -> None:
    """Change the account, however often the controller writes to it meanwhile."""
    while True:
        account = await here.store.get(Account, USER)
        account.spec = account.spec.model_copy(update=changes)
        try:
            await here.store.update(account)
        except ConflictError:
            continue
        return


def test_machine_cap(play: Play) -> None:
    """A workspace over the cap is refused with the cap's number, and nothing is made for it."""

    async def scene(here: World) -> None:
        await set_platform(here, PlatformSpec(caps=Caps(machines=0)))
        await here.register()
        await here.wish()
        refused = await until_retry(here, "FleetCapReached")
        assert refused.status.retry is not None
        assert "0 machines" in refused.status.retry.message
        assert refused.status.phase == "Blocked"
        assert not made(here)

        await set_platform(here, PlatformSpec(caps=Caps(machines=1)))
        await here.until_phase("Running", within=1200)

    play(scene)


def test_what_stands_in_the_way_is_an_event_of_the_workspace(play: Play) -> None:
    """A workspace tells what held it up, once for as long as it did, and what became of it."""

    async def scene(here: World) -> None:
        await set_platform(here, PlatformSpec(caps=Caps(machines=0)))
        await here.register()
        await here.wish()
        refused = await until_retry(here, "FleetCapReached")
        await set_platform(here, PlatformSpec(caps=Caps(machines=1)))
        await here.until_phase("Running", within=1200)
        await anyio.sleep(5)
        events = await here.store.events.list(uid=refused.uid)

        told = [(event.type, event.reason, event.count) for event in events]
        assert ("Warning", "NotConverged", 1) == told[0]
        assert events[0].message.startswith("FleetCapReached: ")
        assert "Running, was Creating" == events[-1].message

    play(scene)


def test_spend_cap(play: Play) -> None:
    """A workspace that would cost more than the operator allows is refused."""

    async def scene(here: World) -> None:
        await set_platform(here, PlatformSpec(caps=Caps(monthly_spend_usd=1.0)))
        await here.register()
        await here.wish()
        refused = await until_retry(here, "SpendCapReached")

        assert refused.status.retry is not None
        assert refused.status.retry.kind == "Blocked"
        assert not made(here)

    play(scene)


def test_second_workspace_is_over_quota(play: Play) -> None:
    """One workspace a user; the older one stays."""

    async def scene(here: World) -> None:
        await sign_up(here)
        await here.store.create(
            Workspace(
                metadata=ObjectMeta(name="second", namespace=USER),
                spec=WorkspaceSpec(subdomain="second"),
            )
        )

        async def holds() -> bool:
            second = await here.store.get(Workspace, "second", USER)
            return second.status.retry is not None and second.status.retry.reason == "QuotaReached"

        await here.until(holds, "over quota")
        assert await here.phase() == "Running"

    play(scene)


def test_name_of_somebody_else(play: Play) -> None:
    """A name that another account holds is refused, and becomes free when that one lets go."""

    async def scene(here: World) -> None:
        await here.register()
        other = await here.store.create(
            Route(metadata=ObjectMeta(name="taken"), spec=RouteSpec(account="somebody"))
        )
        await here.wish(subdomain="taken")
        await until_retry(here, "SubdomainTaken")
        assert not made(here)

        await here.store.delete(Route, other.metadata.name)
        await here.until_phase("Running")

    play(scene)


def test_quarantine_stops_and_says_so(play: Play) -> None:
    """Quarantine stops the machine, keeps it stopped, and shows at the edge; it can be lifted."""

    async def scene(here: World) -> None:
        await sign_up(here)
        await set_account(here, state="Quarantined")
        await here.until_entry("alice", "quarantined")

        async def stopped() -> bool:
            machine = await here.machine()
            return machine is not None and machine.status.phase == "Stopped"

        await here.until(stopped, "stopped")
        entry = here.entry("alice")
        assert entry is not None
        assert entry["target"] is None
        assert not here.fly.running_machines()

        await set_account(here, state="Active")
        await here.until_phase("Running")

    play(scene)


def test_incident_switch(play: Play) -> None:
    """The operator's switch raises the page and takes it down."""

    async def scene(here: World) -> None:
        space = here.kv.namespaces[here.kv.default].entries

        async def told() -> bool:
            return "platform:status" in space

        async def untold() -> bool:
            return "platform:status" not in space

        await set_platform(here, PlatformSpec(incident=Incident(active=True, message="Storm")))
        await here.until(told, "told")
        assert b"Storm" in space["platform:status"].value

        page = await here.store.get(Platform, PLATFORM)
        page.spec = PlatformSpec()
        await here.store.update(page)
        await here.until(untold, "untold")

    play(scene)


def test_broken_spec_by_sql_is_shown_and_harmless(play: Play) -> None:
    """A spec that breaks its kind's rules is shown with the field; the machine is left alone."""

    async def scene(here: World) -> None:
        await sign_up(here)
        effects, key = len(here.plan.effects), Key("Workspace", USER, WORKSPACE)
        await here.store.database.execute(
            'UPDATE workspaces SET spec = spec || \'{"region": "yul"}\''
        )
        here.store.doorbell.ring()

        async def shown() -> bool:
            row = await here.store.find_row(key)
            return row is not None and (row["status"].get("retry") or {}).get("kind") == "Terminal"

        await here.until(shown, "shown")
        row = await here.store.find_row(key)
        assert row is not None
        assert "spec.region" in row["status"]["retry"]["message"]
        assert len(here.plan.effects) == effects

        await here.store.database.execute("UPDATE workspaces SET spec = spec - 'region'")
        here.store.doorbell.ring()
        await here.until_phase("Running")

    play(scene)


def test_broken_spec_does_not_hold_up_deletion(play: Play) -> None:
    """What is to go goes, whatever an edit by SQL did to its wish."""

    async def scene(here: World) -> None:
        await sign_up(here)
        await here.store.database.execute(
            'UPDATE objects SET spec = spec || \'{"power": "?"}\' '
            "WHERE kind IN ('Workspace', 'Machine')"
        )
        await here.delete()

        async def gone() -> bool:
            return await here.store.find_row(Key("Workspace", USER, WORKSPACE)) is None

        await here.until(gone, "gone")
        here.watchman.check_nothing_left()

    play(scene)


def test_account_deletion_takes_everything_along(play: Play) -> None:
    """The account's row goes last: after workspace, machine, and names."""

    async def scene(here: World) -> None:
        await sign_up(here)
        await here.store.delete(Account, USER)

        async def gone() -> bool:
            return await here.store.find(Account, USER) is None

        await here.until(gone, "account gone")
        here.watchman.check_nothing_left()
        assert (await here.store.list(Route)).items == []
        assert (await here.store.list(Machine)).items == []

    play(scene)


def test_old_name_is_free_after_its_redirect(play: Play) -> None:
    """A renamed workspace's old name redirects for thirty days and is released after that."""

    async def scene(here: World) -> None:
        await sign_up(here)
        await here.wish(subdomain="alicia")
        await here.until_entry("alice", "redirect")
        old = await here.store.get(Route, "alice")
        assert old.spec.redirect_until is not None
        left = old.spec.redirect_until - here.store.clock.now()
        assert timedelta(days=29, hours=23) < left <= timedelta(days=30)

        # Nobody waits for thirty days of polls: the time is nearly over.
        old.spec.redirect_until = here.store.clock.now() + timedelta(minutes=10)
        await here.store.update(old)
        await here.pass_time(timedelta(minutes=9))
        assert here.entry("alice") is not None

        async def released() -> bool:
            return await here.store.find(Route, "alice") is None and here.entry("alice") is None

        await here.until(released, "released")
        assert here.entry("alicia") is not None

    play(scene)


def test_paused_object_is_left_alone(play: Play) -> None:
    """An operator can take a machine out of the loop's hands."""

    async def scene(here: World) -> None:
        await sign_up(here)
        machine = await here.machine()
        assert machine is not None
        machine.metadata.annotations["invoker.dev/paused"] = "true"
        await here.store.update(machine)
        await here.crash_machine()
        effects = len(here.plan.effects)
        await here.pass_time(timedelta(minutes=5))

        assert len(here.plan.effects) == effects

    play(scene)


def test_trace_travels_to_the_machine(play: Play) -> None:
    """What a wish makes belongs to the trace of the request that made the wish."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    async def scene(here: World) -> None:
        await here.register()
        meta = ObjectMeta(name=WORKSPACE, namespace=USER, annotations={TRACEPARENT: trace})
        await here.store.create(Workspace(metadata=meta, spec=WorkspaceSpec(subdomain="alice")))
        await here.until_phase("Running")
        machine = await here.machine()

        assert machine is not None
        assert machine.metadata.annotations[TRACEPARENT] == trace

    play(scene)
