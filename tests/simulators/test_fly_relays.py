"""Private names between machines: Flycast by the proxy, 6PN past it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.proxy import FlyProxy
from deploy.local.simulators.fly.relays import Relays
from deploy.local.simulators.fly.runtime import InlineRuntime
from deploy.local.simulators.fly.state import FlyTimings
from deploy.local.simulators.transport import SimulatorTransport
from tests.simulators.helpers import APP, Fly, config, fly_client

pytestmark = pytest.mark.anyio

SERVICE = {
    "protocol": "tcp",
    "internal_port": 5432,
    "autostop": "off",
    "autostart": False,
    "ports": [{"port": 5432}],
}


class Listening(InlineRuntime):
    """Machines that run listen, each for itself."""

    def __init__(self, cloud: FlyCloud) -> None:
        super().__init__(cloud.now)
        self.on_exit = cloud.exited
        self.servers: dict[str, asyncio.Server] = {}

    async def listen(self, machine_id: str) -> None:
        """Answer with the machine's ID and what came, once everything has come."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            said = await reader.read()
            writer.write(machine_id.encode() + b":" + said)
            writer.close()

        self.servers[machine_id] = await asyncio.start_server(answer, "127.0.0.1", 0)

    def address(self, machine_id: str) -> tuple[str, int] | None:
        """Say where it listens while it runs."""
        server = self.servers.get(machine_id)
        if server is None or not self.machine(machine_id).running:
            return None
        return "127.0.0.1", server.sockets[0].getsockname()[1]


@pytest.fixture
async def cloud(anyio_backend: str) -> AsyncIterator[FlyCloud]:
    """A cloud whose machines listen."""
    del anyio_backend
    cloud = FlyCloud(timings=FlyTimings.instant())
    runtime = cloud.runtime = Listening(cloud)
    yield cloud
    await cloud.aclose()
    for server in runtime.servers.values():
        server.close()


@pytest.fixture
async def relays(cloud: FlyCloud) -> AsyncIterator[Relays]:
    """The private network of that cloud."""
    relays = Relays(FlyProxy(cloud))
    yield relays
    await relays.aclose()


@pytest.fixture
async def fly(cloud: FlyCloud) -> AsyncIterator[Fly]:
    """The app `alpha` on the network `inner` with an address there, and its neighbours."""
    async with fly_client(cloud, SimulatorTransport(fly=cloud)) as client:
        fly = Fly(client)
        await fly.app(network="inner")
        await fly.app("sibling", network="inner")
        await fly.app("stranger", network="outer")
        address = {"type": "private_v6", "network": "inner"}
        await client.post(f"{APP}/ip_assignments", json=address)
        yield fly


async def _database(fly: Fly, cloud: FlyCloud, **more: Any) -> str:
    machine_id = await fly.started(config=config(services=[SERVICE | more]))
    assert isinstance(cloud.runtime, Listening)
    await cloud.runtime.listen(machine_id)
    return machine_id


async def _asked(url: str) -> str:
    """Say `ping` and no more; return what came back, nothing from a closed door."""
    host, _, port = url.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    said = b""
    with anyio.fail_after(5), contextlib.suppress(ConnectionError):
        writer.write(b"ping")
        writer.write_eof()
        said = await reader.read()
    writer.close()
    return said.decode()


async def test_flycast_leads_to_a_machine(fly: Fly, cloud: FlyCloud, relays: Relays) -> None:
    """Bytes go both ways, and the end of what one says is passed on by itself."""
    machine_id = await _database(fly, cloud)
    text = "postgres://u:p@alpha.flycast:5432/postgres"
    named = await relays.named("sibling", text)
    again = await relays.named("sibling", text)
    url = named.removeprefix("postgres://u:p@").removesuffix("/postgres")

    assert named == again
    assert f"{machine_id}:ping" == await _asked(url)
    assert {machine_id: 0} == relays.proxy.load


@pytest.mark.parametrize("app", ["stranger", "nobody"])
async def test_another_network_has_no_way_in(
    fly: Fly, cloud: FlyCloud, relays: Relays, app: str
) -> None:
    """Neither Flycast nor 6PN crosses from one network to another."""
    machine_id = await _database(fly, cloud)
    flycast = await relays.named(app, "alpha.flycast:5432")
    internal = await relays.named(app, f"{machine_id}.vm.alpha.internal:5432")

    assert ["", ""] == [await _asked(flycast), await _asked(internal)]


async def test_flycast_has_the_ports_of_services_only(
    fly: Fly, cloud: FlyCloud, relays: Relays
) -> None:
    """A port that no service has outside leads nowhere; a range counts."""
    ports = [{"start_port": 6000, "end_port": 6002}]
    machine_id = await _database(fly, cloud, ports=ports)
    answers = [
        await _asked(await relays.named("sibling", f"alpha.flycast:{port}"))
        for port in (5432, 6001, 6003)
    ]

    assert ["", f"{machine_id}:ping", ""] == answers


async def test_a_cordoned_machine_is_reached_past_the_proxy_only(
    fly: Fly, cloud: FlyCloud, relays: Relays
) -> None:
    """Flycast passes it by, its own name does not."""
    machine_id = await _database(fly, cloud)
    await fly.do(machine_id, "cordon")
    flycast = await _asked(await relays.named("sibling", "alpha.flycast:5432"))
    name = f"{machine_id}.vm.alpha.internal:5432"

    assert "" == flycast
    assert f"{machine_id}:ping" == await _asked(await relays.named("sibling", name))


async def test_flycast_wakes_where_it_may_and_6pn_never(
    fly: Fly, cloud: FlyCloud, relays: Relays
) -> None:
    """Autostart is the service's; a machine's own name wakes nothing."""
    machine_id = await _database(fly, cloud, autostart=True)
    await fly.do(machine_id, "stop")
    await fly.wait(machine_id, "stopped")
    internal = await relays.named("sibling", f"{machine_id}.vm.alpha.internal:5432")
    asleep = await _asked(internal)
    woken = await _asked(await relays.named("sibling", "alpha.flycast:5432"))

    assert ("", f"{machine_id}:ping") == (asleep, woken)


async def test_without_autostart_flycast_wakes_nothing(
    fly: Fly, cloud: FlyCloud, relays: Relays
) -> None:
    """The order of starting is somebody else's."""
    machine_id = await _database(fly, cloud)
    await fly.do(machine_id, "stop")
    await fly.wait(machine_id, "stopped")

    assert "" == await _asked(await relays.named("sibling", "alpha.flycast:5432"))
    assert "stopped" == (await fly.get(machine_id))["state"]


async def test_a_connection_keeps_a_machine_awake(
    fly: Fly, cloud: FlyCloud, relays: Relays
) -> None:
    """What is under way counts as load; its end is when the idle time begins."""
    cloud.timings.autostop_seconds = 0
    machine_id = await _database(fly, cloud, autostop="stop", autostart=True)
    host, port = (await relays.named("sibling", "alpha.flycast:5432")).split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"x")
    with anyio.fail_after(5):
        while not relays.proxy.load.get(machine_id):
            await anyio.lowlevel.checkpoint()
    busy = relays.proxy.autostop_pass()
    writer.write_eof()
    await reader.read()
    writer.close()
    with anyio.fail_after(5):
        while relays.proxy.load[machine_id]:
            await anyio.lowlevel.checkpoint()

    assert [] == busy
    assert [machine_id] == relays.proxy.autostop_pass()


async def test_which_names_are_led_anywhere(fly: Fly, relays: Relays) -> None:
    """By host and port; without a port only in an http address; words around them stay."""
    del fly
    kept = [
        "alpha.flycast",
        "https://alpha.flycast/",
        "alpha.flycastle:1",
        "alpha.internal:5432",
        "x.y.flycast:80",
        "Grüße, 127.0.0.1:80",
        "",
    ]
    web = await relays.named("sibling", '{"url": "http://alpha.flycast", "path": "/"}')
    other = await relays.named("sibling", "http://alpha.flycast:80/a")
    lines = await relays.named("sibling", "alpha.flycast\n80\npassword\n")
    port = web.split(":")[3].removesuffix('", "path"')

    assert kept == [await relays.named("sibling", text) for text in kept]
    assert f'{{"url": "http://127.0.0.1:{port}", "path": "/"}}' == web
    assert f"http://127.0.0.1:{port}/a" == other
    assert f"127.0.0.1\n{port}\npassword\n" == lines
