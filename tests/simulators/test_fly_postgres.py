"""A real PostgreSQL in a simulated machine, as a dev environment has it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.process import ProcessRuntime
from deploy.local.simulators.fly.proxy import FlyProxy
from deploy.local.simulators.fly.relays import Relays
from deploy.local.simulators.fly.state import FlyTimings
from deploy.local.simulators.transport import SimulatorTransport
from tests.simulators.helpers import APP, Fly, fly_client

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PSQL = "psql -X -q --csv -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -U supabase_admin -d postgres -f -"
READY = "until pg_isready -q -h 127.0.0.1; do sleep 0.1; done"


@pytest.fixture
async def fly(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Fly]:
    """An app with a database's password, in a cloud of processes and private names."""
    del anyio_backend
    runtime = ProcessRuntime(tmp_path)
    cloud = FlyCloud(timings=FlyTimings.instant(), runtime=runtime)
    runtime.secrets = lambda app: dict(cloud.apps[app].secrets)
    relays = Relays(FlyProxy(cloud))
    runtime.names = relays.named
    async with fly_client(cloud, SimulatorTransport(fly=cloud)) as client:
        fly = Fly(client)
        await fly.app(network="inner")
        await client.post(f"{APP}/secrets", json={"values": {"POSTGRES_PASSWORD": "p" * 16}})
        yield fly
    await relays.aclose()
    await cloud.aclose()
    await runtime.aclose()


def _settings(volume: str) -> dict[str, Any]:
    check = {"type": "tcp", "port": 5432, "grace_period": "0s"}
    return {
        "image": "supabase/postgres:15.8.1.085",
        "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 1024},
        "mounts": [{"volume": volume, "path": "/var/lib/postgresql/data"}],
        "checks": {"listens": check},
        "stop_config": {"signal": "SIGINT", "timeout": "30s"},
    }


async def _ready(fly: Fly, name: str, volume: str, region: str) -> str:
    made = await fly.machine(name, region=region, config=_settings(volume))
    machine_id: str = made.raise_for_status().json()["id"]
    (await fly.wait(machine_id, "started", 30)).raise_for_status()
    waited = await fly.exec(machine_id, "sh", "-c", READY, timeout=30)
    assert 0 == waited.raise_for_status().json()["exit_code"]
    return machine_id


async def _sql(fly: Fly, machine_id: str, sql: str) -> str:
    ran = (await fly.exec(machine_id, *PSQL.split(), stdin=sql)).json()
    assert ("", 0) == (ran["stderr"], ran["exit_code"])
    out: str = ran["stdout"]
    return out


async def test_a_database_lives_forks_and_is_reached_by_its_private_name(fly: Fly) -> None:
    """Checks pass, commands get in, a fork is another database; slow: starts PostgreSQL twice."""
    volume = await fly.volume()
    first = await _ready(fly, "one", volume, "iad")
    made = "create table t (a int); insert into t values (1); checkpoint; select a from t"
    before = await _sql(fly, first, made)
    fork = await fly.volume(source_volume_id=volume, region="ams")
    second = await _ready(fly, "two", fork, "ams")
    await _sql(fly, first, "insert into t values (2)")
    copied = await _sql(fly, second, "select count(*) from t")
    url = f"postgresql://supabase_admin:{'p' * 16}@{first}.vm.alpha.internal:5432/postgres"
    asked = await fly.exec(second, "psql", "-Atc", "select count(*) from t", url)
    status = (await fly.get(first))["checks"][0]["status"]
    stopped = await fly.do(first, "stop")
    await fly.wait(first, "stopped", 30)
    state = (await fly.get(first))["state"]

    assert ("1\n", "1\n") == (before, copied)
    assert "2\n" == asked.json()["stdout"]
    assert ("passing", 200, "stopped") == (status, stopped.status_code, state)
