"""The fleet's metrics: true to the rows, cheap, and with few series however many rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry
from psycopg.types.json import Jsonb

from controller.engine import Grip
from controller.metrics import FleetWatch
from controller.metrics.journal import Facts, Journal, JournalGapError
from crds.annotations import PAUSED
from crds.compute import MachineSize, monthly_cost_usd
from crds.machine import (
    InstanceStatus,
    Intent,
    Machine,
    MachineSpec,
    MachineStatus,
    Power,
    Restarts,
    VolumeStatus,
)
from crds.meta import ObjectMeta
from crds.store import Store

pytestmark = pytest.mark.anyio

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A store on an empty database."""
    async with Store.opened(database_url) as store:
        yield store


async def made(store: Store, name: str, *, power: Power = "Running") -> Machine:
    """A new machine, of which nobody has looked after yet."""
    spec = MachineSpec(power=power, account=name, image="x")
    meta = ObjectMeta(name="main", namespace=name, finalizers=["x"])
    return await store.create(Machine(metadata=meta, spec=spec))


def running(machine: Machine, *, healthy: bool = True) -> MachineStatus:
    """The status of a machine that runs as wished, or runs and does not answer."""
    status = MachineStatus(
        phase="Running" if healthy else "Starting",
        observed_generation=machine.metadata.generation,
        instance=InstanceStatus(id=f"i-{machine.metadata.namespace}", state="started", since=NOW),
        volume=VolumeStatus(id="v", region="iad", size_gb=3),
        healthy_since=NOW if healthy else None,
    )
    status.set_condition("Ready", healthy, "x", now=NOW, generation=1)
    return status


async def told(store: Store, machine: Machine, status: MachineStatus) -> Machine:
    """Write a status."""
    return await store.update_status(
        machine.model_copy(update={"status": status}), if_unmoved=False
    )


async def watched(store: Store) -> tuple[FleetWatch, CollectorRegistry]:
    """A watch on the fleet that has looked once."""
    registry = CollectorRegistry()
    fleet = FleetWatch(store, registry)
    await fleet.begin()
    await fleet.look()
    return fleet, registry


async def seen(store: Store) -> CollectorRegistry:
    """What somebody sees who begins to look now."""
    return (await watched(store))[1]


async def test_the_view_is_true_to_the_rows(store: Store) -> None:
    """Phases, errors, loops, intents and what is up are counted as the rows say."""
    healthy = await made(store, "a")
    await told(store, healthy, running(healthy))
    broken = await made(store, "b")
    status = running(broken, healthy=False)
    status.restarts = Restarts(count=4)
    status.intent = Intent(operation="machines.start", since=NOW)
    await told(store, broken, status)
    await made(store, "c", power="Stopped")

    value = (await seen(store)).get_sample_value
    found = {
        name: value(f"invoker_{name}")
        for name in (
            "machines_wanted_running",
            "machines_healthy",
            "machines_crash_looping",
            "intents_pending",
        )
    }
    assert found == {
        "machines_wanted_running": 2,
        "machines_healthy": 1,
        "machines_crash_looping": 1,
        "intents_pending": 1,
    }
    phases = {
        phase: value("invoker_objects", {"kind": "Machine", "phase": phase})
        for phase in ("Running", "Starting", "Pending")
    }
    assert phases == {"Running": 1, "Starting": 1, "Pending": 1}
    assert value("invoker_unconverged_objects", {"kind": "Machine"}) == 2


async def test_what_runs_is_priced(store: Store) -> None:
    """Machines that are up cost their size, volumes cost whether or not theirs is up."""
    up, down = await made(store, "a"), await made(store, "b", power="Stopped")
    await told(store, up, running(up))
    status = running(down)
    assert status.instance is not None
    status.instance.state = "stopped"
    await told(store, down, status)

    value = (await seen(store)).get_sample_value
    machine = monthly_cost_usd(MachineSize(), 0)
    assert value("invoker_cost_usd_per_month", {"part": "machines"}) == machine
    assert value("invoker_cost_usd_per_month", {"part": "volumes"}) == pytest.approx(2 * 3 * 0.15)


async def test_whatever_sql_left_there(store: Store) -> None:
    """Rows that break every rule neither stop the look nor make series of their own."""
    for number in range(40):
        await made(store, f"n{number}")
    await store.database.execute(
        "UPDATE objects SET status = jsonb_build_object('phase', 'p' || namespace, 'retry', "
        "jsonb_build_object('kind', namespace), 'restarts', '[]'::jsonb, 'volume', '7'::jsonb, "
        "'healthySince', 'yesterday', 'unreachableSince', '2030-01-01', 'conditions', '3'::jsonb)"
    )
    await store.database.execute(
        "UPDATE objects SET spec = %s WHERE namespace < 'n2'", Jsonb({"size": ["x"], "power": 7})
    )
    registry = await seen(store)

    value = registry.get_sample_value
    assert value("invoker_objects", {"kind": "Machine", "phase": "Other"}) == 40
    assert value("invoker_objects_by_retry", {"kind": "Machine", "retry": "Other"}) == 40
    assert sum(len(family.samples) for family in registry.collect()) < 50


async def test_the_journal_tells_lives(store: Store) -> None:
    """Births, wishes, statuses and deaths come in order, as they were; other writes do not come."""
    journal = Journal(store.database)
    await journal.open()
    machine = await made(store, "a")
    machine = await told(store, machine, running(machine))
    machine.metadata.labels["x"] = "y"
    machine = await store.update(machine)
    machine.spec.power = "Stopped"
    machine = await store.update(machine)
    await store.delete(Machine, "main", "a")
    machine = await store.get(Machine, "main", "a")
    machine.metadata.finalizers = []
    await store.update(machine)

    changes = (await journal.read()).changes
    fresh = Facts(1, converged=False, deleting=False, refused=False)
    since = running(machine).to_json()["healthySince"]
    up = fresh._replace(converged=True, healthy_since=since, crashes=0, instance="i-a")
    asked = up._replace(generation=2, converged=False)
    going = asked._replace(generation=3, deleting=True)
    unasked = fresh._replace(crashes=0)
    lives = [None, unasked, up, asked, going, None]
    assert [(change.before, change.after) for change in changes] == [*pairwise(lives)]
    assert (await journal.read()).changes == []


async def test_what_is_paused_is_not_waited_for(store: Store) -> None:
    """An object that an operator took out of the loop's hands is not told as unconverged."""
    machine = await made(store, "a")
    fleet, registry = await watched(store)
    before = registry.get_sample_value("invoker_unconverged_objects", {"kind": "Machine"})
    machine.metadata.annotations[PAUSED] = "true"
    await store.update(machine)
    await fleet.look()
    registry_anew = await seen(store)

    assert before == 1
    for each in (registry, registry_anew):
        assert each.get_sample_value("invoker_unconverged_objects", {"kind": "Machine"}) is None


async def test_a_gap_is_noticed(store: Store) -> None:
    """What the log forgot before it was read cannot be made up: somebody has to begin anew."""
    journal = Journal(store.database)
    await journal.open()
    await made(store, "a")
    await made(store, "b")
    await store.log.compact(store.clock.now() + timedelta(hours=1))

    with pytest.raises(JournalGapError):
        await journal.read()


async def test_only_the_leader_shows_the_fleet(store: Store) -> None:
    """When another replica looks, this one shows nothing old."""
    await made(store, "a")
    fleet, registry = await watched(store)
    during = registry.get_sample_value("invoker_machines_wanted_running")
    duty = asyncio.create_task(fleet.run(Grip()))
    await asyncio.sleep(0)
    duty.cancel()
    await asyncio.gather(duty, return_exceptions=True)

    assert during == 1
    assert registry.get_sample_value("invoker_machines_wanted_running") is None


async def test_a_machines_history(store: Store) -> None:
    """What happens between two looks is counted: made, crashed, recovered, out of reach."""
    fleet, registry = await watched(store)
    value = registry.get_sample_value
    machine = await made(store, "a")
    machine = await told(store, machine, running(machine))
    crashed = running(machine, healthy=False)
    crashed.restarts = Restarts(count=1)
    crashed.unreachable_since = datetime.now(UTC) - timedelta(minutes=7)
    machine = await told(store, machine, crashed)
    await fleet.look()
    away = value("invoker_machine_unreachable_longest_seconds")
    back = running(machine)
    back.restarts = Restarts(count=1)
    await told(store, machine, back)
    await fleet.look()

    counted = {
        name: value(f"invoker_{name}")
        for name in (
            "machines_created_total",
            "machine_crashes_total",
            "machine_recoveries_total",
            "machine_uptime_seconds_count",
            "machines_unreachable",
        )
    }
    assert [1, 1, 1, 1, 0] == list(counted.values())
    assert away == pytest.approx(420, abs=30)
    assert value("invoker_drift_total", {"kind": "Machine"}) == 1
