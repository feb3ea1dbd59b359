"""What Prometheus is told of dev environments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry
from psycopg.types.json import Jsonb

from controller.devenv.watch import Usage, UsageWatch
from controller.engine import Grip
from controller.metrics import FleetWatch, UsageMetrics
from controller.providers import Call, Unavailable
from crds.devenv import DevEnv, DevEnvSpec, DevEnvStatus, MoveStatus, RlsStatus, cost_of
from crds.machine import InstanceStatus, Machine, MachineSpec, MachineStatus, ServiceSpec
from crds.meta import ObjectMeta
from crds.store import LocalDoorbell, Store
from crds.store.database import Database, make_pool
from tests.support.virtual_time import clock, run

pytestmark = pytest.mark.anyio

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A store on an empty database."""
    async with Store.opened(database_url) as store:
        yield store


async def made(store: Store, name: str, status: DevEnvStatus) -> DevEnv:
    """A dev environment as it was told of last."""
    spec = DevEnvSpec(client="acme", app=name)
    meta = ObjectMeta(name=name, namespace="acme")
    return await store.create(DevEnv(metadata=meta, spec=spec, status=status))


async def service(store: Store, app: str, phase: str) -> None:
    """A service's Machine."""
    spec = ServiceSpec(app=app, network="inv-x")
    await store.create(
        Machine(
            metadata=ObjectMeta(name=app, namespace="acme"),
            spec=MachineSpec(account="acme", image="x", service=spec),
            status=MachineStatus(
                phase=phase, instance=InstanceStatus(id=app, state="started", since=NOW)
            ),
        )
    )


async def seen(store: Store) -> CollectorRegistry:
    """What a first look at the fleet shows."""
    registry = CollectorRegistry()
    fleet = FleetWatch(store, registry)
    await fleet.begin()
    await fleet.look()
    return registry


def samples(registry: CollectorRegistry, name: str) -> dict[tuple[str, ...], float]:
    """The samples of a metric by the values of their labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name
    }


async def test_the_view_is_true_to_the_rows(store: Store) -> None:
    """Services by phase, what users are told, moves, drift and cost are as the rows say."""
    cost = cost_of(DevEnvSpec(client="acme", app="erp"))
    drifted = RlsStatus(mode="production", generation=1, drift=["public.t"])
    move = MoveStatus(source="yyz", target="fra", step="Copy", since=NOW)
    await made(store, "a", DevEnvStatus(phase="Degraded", connection="Unsafe", cost=cost))
    await made(store, "b", DevEnvStatus(phase="Running", connection="Full", cost=cost, rls=drifted))
    await made(store, "c", DevEnvStatus(phase="Moving", move=move))
    for app, phase in (("a-pg", "Running"), ("b-pg", "Running"), ("a-kong", "Crashed")):
        await service(store, f"devenv-acme-{app}", phase)

    registry = await seen(store)
    assert {
        ("postgres", "Running"): 2,
        ("kong", "Crashed"): 1,
    } == samples(registry, "invoker_services")
    assert {("Unsafe",): 1, ("Full",): 1, ("None",): 1} == samples(
        registry, "invoker_devenv_connections"
    )
    assert {("Copy",): 1} == samples(registry, "invoker_devenv_moves")
    assert {(): 1} == samples(registry, "invoker_devenvs_rls_drifted")
    assert {
        ("always_on",): pytest.approx(2 * cost.always_on_usd),
        ("auto_stop",): pytest.approx(2 * cost.auto_stop_usd),
    } == samples(registry, "invoker_devenv_cost_usd_per_month")
    phases = samples(registry, "invoker_objects")
    assert [1, 1, 1] == [phases["DevEnv", each] for each in ("Degraded", "Running", "Moving")]


async def test_whatever_sql_left_there(store: Store) -> None:
    """Rows that break every rule neither stop the look nor make series of their own."""
    for number in range(20):
        await made(store, f"a{number}", DevEnvStatus())
        await service(store, f"devenv-acme-a{number}-kong", "Running")
    await store.database.execute(
        "UPDATE objects SET status = jsonb_build_object('connection', name, 'cost', name, "
        "'move', jsonb_build_object('step', name), 'rls', jsonb_build_object('drift', name))"
    )
    odd = Jsonb({"service": {"app": "x-odd"}})
    await store.database.execute("UPDATE objects SET spec = spec || %s WHERE name ~ '1'", odd)
    await store.database.execute(
        "UPDATE objects SET spec = '{\"service\": [1]}' WHERE name ~ '-a2'"
    )

    registry = await seen(store)
    assert {("Other",): 20} == samples(registry, "invoker_devenv_connections")
    assert {("Other",): 20} == samples(registry, "invoker_devenv_moves")
    assert {(): 0} == samples(registry, "invoker_devenvs_rls_drifted")
    assert {"kong", "Other"} == {name for name, _ in samples(registry, "invoker_services")}


class Provider:
    """The provider's metrics, which can be had every other hour."""

    async def usage(self, *, call: Call) -> Mapping[str, Usage]:
        """Nothing is used."""
        del call
        if clock().now().hour % 2:
            raise Unavailable(provider="fly-metrics", operation="usage", message="no")
        return {}

    async def requests(self, *, window_seconds: int, call: Call) -> Mapping[str, float]:
        """Nobody asked."""
        del window_seconds, call
        return {}


def test_when_usage_was_last_known(database_url: str) -> None:
    """The moment of the last look that succeeded is told, and stays what it was in an outage."""
    registry = CollectorRegistry()

    async def main() -> list[float | None]:
        async with make_pool(database_url, 1) as pool:
            store = Store(Database(pool), clock(), LocalDoorbell())
            await service(store, "devenv-acme-erp-kong", "Running")
            watch = UsageWatch(store, Provider())
            UsageMetrics(watch, registry)
            found = [registry.get_sample_value("invoker_usage_looked_timestamp_seconds")]
            task = asyncio.create_task(watch.run(Grip()))
            for _ in range(2):
                await asyncio.sleep(3590)
                found.append(registry.get_sample_value("invoker_usage_looked_timestamp_seconds"))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return found

    none, after_an_hour, after_an_outage = run(main, start=NOW, limit_seconds=10000)

    assert none is None
    assert after_an_hour == pytest.approx((NOW + timedelta(minutes=59)).timestamp(), abs=60)
    assert after_an_outage == after_an_hour
