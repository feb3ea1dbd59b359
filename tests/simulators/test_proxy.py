import httpx
import pytest

from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.proxy import FORCE_INSTANCE, fly_proxy
from deploy.local.simulators.fly.runtime import InlineRuntime
from deploy.local.simulators.transport import SimulatorTransport
from tests.simulators.helpers import Fly, config, turns

pytestmark = pytest.mark.anyio

URL = "https://alpha.fly.dev"


@pytest.fixture(autouse=True)
async def _app(fly: Fly) -> None:
    await fly.app()
    await fly.address()


async def test_an_app_without_an_address_has_no_name(fly: Fly) -> None:
    """The host does not resolve until an address is assigned; a private one is not enough."""
    await fly.app("beta")
    with pytest.raises(httpx.ConnectError):
        await fly.client.get("https://beta.fly.dev/")
    body = {"type": "private_v6"}
    await fly.client.post("/v1/apps/beta/ip_assignments", json=body)

    with pytest.raises(httpx.ConnectError):
        await fly.client.get("https://beta.fly.dev/")
    assert (await fly.client.get("http://beta.flycast/")).status_code == 503


async def test_a_request_wakes_a_stopped_machine(fly: Fly) -> None:
    """The proxy holds the request until the machine runs."""
    machine_id = await fly.stopped()
    answer = await fly.client.get(URL)

    assert (answer.status_code, answer.json()["machine"]) == (200, machine_id)
    assert (await fly.get(machine_id))["events"][1]["source"] == "proxy"


async def test_without_autostart_nothing_wakes(fly: Fly) -> None:
    """503 where the only machine is stopped and may not be started."""
    service = {"protocol": "tcp", "internal_port": 8080, "autostart": False}
    await fly.stopped(config=config(services=[service]))

    assert (await fly.client.get(URL)).status_code == 503


async def test_a_cordoned_machine_gets_nothing(fly: Fly) -> None:
    """Neither traffic nor a start, until it is uncordoned."""
    machine_id = await fly.stopped()
    await fly.do(machine_id, "cordon")
    refused = await fly.client.get(URL)
    state = (await fly.get(machine_id))["state"]
    await fly.do(machine_id, "uncordon")

    assert (refused.status_code, state) == (503, "stopped")
    assert (await fly.client.get(URL)).status_code == 200


async def test_one_machine_of_many_can_be_reached(fly: Fly) -> None:
    """`fly-force-instance-id` names the machine; an unknown one is a 503."""
    await fly.started("one")
    second = await fly.started("two")
    answer = await fly.client.get(URL, headers={FORCE_INSTANCE: second})
    unknown = await fly.client.get(URL, headers={FORCE_INSTANCE: "0" * 14})

    assert (answer.json()["machine"], unknown.status_code) == (second, 503)


async def test_a_machine_that_does_not_start_in_time_is_a_503(fly: Fly, cloud: FlyCloud) -> None:
    """The request is held for the autostart time at most."""
    await fly.stopped()
    cloud.timings.boot_seconds = 100
    cloud.timings.autostart_seconds = 0.01

    assert (await fly.client.get(URL)).status_code == 503


async def test_health_and_heartbeat_are_no_activity(fly: Fly, cloud: FlyCloud) -> None:
    """The control plane's requests leave the time of the last activity alone."""
    machine_id = await fly.started()
    inline = _inline(cloud).machine(machine_id)
    inline.last_activity_at = 0
    health = await fly.client.get(f"{URL}/health")
    path = f"{URL}/heartbeat"
    refused = await fly.client.post(path)
    headers = {"authorization": "Bearer machine-token"}
    heartbeat = await fly.client.post(path, headers=headers)
    quiet = inline.last_activity_at
    await fly.client.get(URL)

    assert (health.json()["status"], refused.status_code) == ("ok", 401)
    assert heartbeat.json()["last_activity_at"] == "1970-01-01T00:00:00.000000Z"
    assert (quiet, inline.last_activity_at > 0) == (0, True)


async def test_an_ill_machine_says_so(fly: Fly, cloud: FlyCloud) -> None:
    """A test can make a machine unhealthy."""
    _inline(cloud).machine(await fly.started()).healthy = False

    assert (await fly.client.get(f"{URL}/api/health")).status_code == 503


@pytest.mark.parametrize(("mode", "state"), [("stop", "stopped"), ("suspend", "suspended")])
async def test_idle_machines_are_put_to_sleep_one_a_pass(
    fly: Fly, cloud: FlyCloud, transport: SimulatorTransport, mode: str, state: str
) -> None:
    """At most one for each region and pass, and never below the minimum."""
    cloud.timings.autostop_seconds = 0
    service = {"protocol": "tcp", "internal_port": 8080, "autostop": mode}
    settings = config(services=[service | {"min_machines_running": 1}])
    ids = [await fly.started(name, config=settings) for name in ("one", "two", "three")]
    assert transport.proxy is not None
    passes = [transport.proxy.autostop_pass() for _ in range(3)]
    await turns()

    assert passes == [[ids[0]], [ids[1]], []]
    assert [(await fly.get(i))["state"] for i in ids] == [state, state, "started"]


async def test_the_asgi_application_routes_by_host(fly: Fly, cloud: FlyCloud) -> None:
    """The same proxy serves ASGI."""
    machine_id = await fly.started()
    through = httpx.ASGITransport(app=fly_proxy(cloud))
    async with httpx.AsyncClient(transport=through) as client:
        answer = await client.post("http://alpha.fly.dev/x", content=b"body")
        lost = await client.get("http://nowhere.fly.dev/")

    assert answer.json() == {"machine": machine_id, "method": "POST", "path": "/x"}
    assert lost.status_code == 404


def _inline(cloud: FlyCloud) -> InlineRuntime:
    assert isinstance(cloud.runtime, InlineRuntime)
    return cloud.runtime
