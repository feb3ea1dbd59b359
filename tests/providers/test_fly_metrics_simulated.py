"""The client of Fly's Prometheus against the simulated one, through virtual minutes."""

import anyio

from controller.providers import Call, Priority
from controller.providers.fly.metrics import FlyMetrics, Usage
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.runtime import InlineMachine, InlineRuntime
from deploy.local.simulators.limits import FlyLimits
from deploy.local.simulators.transport import SimulatorTransport
from tests.providers.clock import run

CALL = Call(Priority.RESYNC)
KONG = """\
# TYPE kong_http_requests_total counter
kong_http_requests_total{{service="rest",code="200",consumer="invoker-probe"}} {probes}
kong_http_requests_total{{service="rest",code="200",consumer="anon"}} {users}
kong_http_requests_total{{service="auth",code="200",consumer=""}} {others}
"""


class Gateway:
    """A cloud with one machine that counts requests, and the client."""

    def __init__(self) -> None:
        self.cloud = FlyCloud(limits=FlyLimits(enabled=True))
        self.metrics = FlyMetrics(
            SimulatorTransport(fly=self.cloud), token=self.cloud.token, org=self.cloud.org
        )
        self.inline = InlineMachine()

    async def start(self) -> str:
        """Start the machine; return its ID."""
        self.cloud.create_app({"name": "gate", "org_slug": self.cloud.org})
        guest = {"cpu_kind": "shared", "cpus": 2, "memory_mb": 512}
        config = {"image": "kong", "guest": guest, "metrics": {"port": 8100, "path": "/metrics"}}
        made: str = self.cloud.create_machine("gate", {"config": config})["id"]
        await self.cloud.wait_machine("gate", made, ["started"], "", "60")
        assert isinstance(self.cloud.runtime, InlineRuntime)
        self.inline = self.cloud.runtime.machine(made)
        return made

    async def count(self, probes: int, users: int, others: int = 0) -> dict[str, float]:
        """Let a minute pass, set what the gateway counted, and ask."""
        await anyio.sleep(60)
        self.inline.metrics = KONG.format(probes=probes, users=users, others=others)
        return await self.metrics.requests(window_seconds=120, call=CALL)


def test_requests_of_users_are_counted_for_each_app() -> None:
    """Those of the window, whoever made them but our probes; a restarted counter goes on."""

    async def life() -> list[dict[str, float]]:
        gateway = Gateway()
        await gateway.start()
        silent = await gateway.count(5, 0)
        busy = await gateway.count(6, 3, others=1)
        still = [await gateway.count(7, 3, others=1) for _ in range(3)]
        restarted = await gateway.count(0, 2)
        await gateway.cloud.aclose()
        return [silent, busy, still[0], still[2], restarted]

    silent, busy, lately, quiet, restarted = run(life)

    assert {"gate": 0.0} == silent
    assert {"gate": 4.0} == busy
    assert {"gate": 4.0} == lately
    assert {"gate": 0.0} == quiet
    assert {"gate": 2.0} == restarted


def test_usage_is_told_of_machines_that_run() -> None:
    """Processor time as a share of all processors, memory in MiB; a stopped one is not there."""

    async def life() -> tuple[str, dict[str, Usage], dict[str, Usage]]:
        gateway = Gateway()
        machine_id = await gateway.start()
        gateway.inline.cpu_percent, gateway.inline.memory_mb = 50.0, 100.0
        await anyio.sleep(300)
        running = await gateway.metrics.usage(call=CALL)
        gateway.cloud.begin_stop(gateway.cloud.machines[machine_id])
        await anyio.sleep(300)
        stopped = await gateway.metrics.usage(call=CALL)
        await gateway.cloud.aclose()
        return machine_id, running, stopped

    machine_id, running, stopped = run(life)

    assert [machine_id] == list(running)
    assert Usage(25.0, 100.0) == Usage(
        round(running[machine_id].cpu_percent, 1), running[machine_id].memory_mb
    )
    assert {} == stopped
