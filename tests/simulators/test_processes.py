"""Machines as real processes: a tiny server stands in for the agent."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx
import pytest

from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.front import Front
from deploy.local.simulators.fly.process import ProcessRuntime
from deploy.local.simulators.fly.proxy import FlyProxy
from deploy.local.simulators.fly.state import FlyTimings, Machine
from deploy.local.simulators.transport import SimulatorTransport
from tests.simulators.helpers import Fly, config, fly_client

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SERVER = """
import os, pathlib, socket
home = pathlib.Path(os.environ["INVOKER_DATA_DIR"])
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    peer, _ = listener.accept()
    data = b""
    while b"\\r\\n\\r\\n" not in data and (more := peer.recv(65536)):
        data += more
    if not data:
        peer.close()
        continue
    if b"/crash" in data:
        os._exit(3)
    if b"pgrade: websocket" in data:
        peer.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\n"
                     b"Upgrade: websocket\\r\\n\\r\\n")
        peer.sendall(b"echo:" + peer.recv(100))
    elif b" /metrics " in data:
        peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 9\\r\\n\\r\\nserved 7\\n")
    elif b" /missing " in data:
        peer.sendall(b"HTTP/1.1 404 Not Found\\r\\nContent-Length: 0\\r\\n\\r\\n")
    else:
        (home / "seen").open("a").write("x")
        body = (home / "seen").read_bytes()
        peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
    peer.close()
"""


def _command(machine: Machine) -> list[str]:
    del machine
    return [sys.executable, "-I", "-S", "-c", SERVER]


@pytest.fixture
async def cloud(tmp_path: Path, anyio_backend: str) -> AsyncIterator[FlyCloud]:
    """A cloud that starts processes."""
    del anyio_backend
    runtime = ProcessRuntime(tmp_path, command=_command)
    cloud = FlyCloud(timings=FlyTimings.instant(), runtime=runtime)
    yield cloud
    await cloud.aclose()
    await runtime.aclose()


@pytest.fixture
async def fly(cloud: FlyCloud) -> AsyncIterator[Fly]:
    """The Machines API of that cloud."""
    async with fly_client(cloud, SimulatorTransport(fly=cloud)) as client:
        fly = Fly(client)
        await fly.app()
        await fly.address()
        yield fly


async def test_a_volume_outlives_its_machine_s_process(fly: Fly) -> None:
    """What a machine wrote is there after a stop and a start; slow: starts processes."""
    mounts = [{"volume": await fly.volume(), "path": "/data"}]
    machine_id = await fly.started(config=config(mounts=mounts))
    first = await fly.client.get("http://alpha.fly.dev/")
    await fly.do(machine_id, "stop")
    await fly.wait(machine_id, "stopped")
    second = await fly.client.get("http://alpha.fly.dev/")

    assert (first.content, second.content) == (b"x", b"xx")


async def test_a_process_that_dies_is_restarted(fly: Fly, cloud: FlyCloud) -> None:
    """The exit code stands in the events; slow: starts processes."""
    machine_id = await fly.started()
    lost = await fly.client.get("http://alpha.fly.dev/crash")
    while not cloud.machines[machine_id].restarts:
        await cloud.changed(cloud.machines[machine_id], 5)
    again = await fly.client.get("http://alpha.fly.dev/")
    events = (await fly.get(machine_id))["events"]
    exits = [e["request"]["exit_event"]["exit_code"] for e in events if e["type"] == "exit"]

    assert (lost.status_code, again.status_code, exits) == (502, 200, [3])


async def test_a_process_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    """SIGKILL follows when the machine's own time for a stop is up; slow: waits for it."""
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    runtime = ProcessRuntime(tmp_path, command=lambda _: [sys.executable, "-c", deaf])
    machine = Machine("m", "a", "n", "iad", {"stop_config": {"timeout": "10ms"}}, "v", "", 0)
    await runtime.boot(machine)
    with anyio.fail_after(5):
        await runtime.stop(machine)

    assert runtime.address("m") is None
    assert list((tmp_path / "run").iterdir()) == []


async def test_what_a_killed_simulator_left_is_ended(tmp_path: Path) -> None:
    """A new runtime ends the processes of the PID files it finds; slow: starts processes."""
    machine = Machine("m", "a", "n", "iad", {}, "v", "", 0)
    first = ProcessRuntime(tmp_path, command=_command)
    await first.boot(machine)
    process = first._running["m"].process
    ended = ProcessRuntime(tmp_path).end_leftovers()
    await process.wait()
    await first.aclose()

    assert ended == [process.pid]


async def test_the_front_relays_requests_and_upgrades(fly: Fly, cloud: FlyCloud) -> None:
    """HTTP by Host, and a WebSocket as bytes; slow: starts processes."""
    await fly.started()
    front = Front(FlyProxy(cloud))
    port = await front.start("127.0.0.1", 0)
    url, host = f"http://127.0.0.1:{port}/", {"host": "alpha.fly.dev"}
    async with httpx.AsyncClient() as client:
        answer = await client.post(url, headers=host, content=b"body")
        lost = await client.get(url, headers={"host": "nowhere.fly.dev"})
    upgraded = await _upgrade(port)
    await front.aclose()

    assert (answer.status_code, answer.content, lost.status_code) == (200, b"x", 404)
    assert upgraded == b"echo:ping"


async def test_checks_really_ask_the_process(fly: Fly) -> None:
    """TCP connects, HTTP wants a 2xx, and a process that is gone fails both; slow: processes."""
    often = {"port": 8080, "grace_period": "0s", "interval": "1ms"}
    checks = {
        "listens": {"type": "tcp", **often},
        "answers": {"type": "http", "method": "GET", "path": "/", **often},
        "refuses": {"type": "http", "path": "/missing", **often},
    }
    machine_id = await fly.started(config=config(checks=checks))
    await fly.client.get("http://alpha.fly.dev/")  # the proxy waits until it listens
    found = (await fly.get(machine_id))["checks"]

    assert ["passing", "passing", "critical"] == [check["status"] for check in found]
    assert ["Success", "GET /: 200 OK", "GET /missing: 404 Not Found"] == [
        check["output"] for check in found
    ]


async def test_a_process_is_scraped_and_measured(fly: Fly) -> None:
    """Its own metrics and what it uses are found by a query; slow: starts processes."""
    machine_id = await fly.started(config=config(metrics={"port": 8080, "path": "/metrics"}))
    await fly.client.get("http://alpha.fly.dev/")
    url = "https://api.fly.io/prometheus/invoker/api/v1/query"
    answers = [
        (await fly.client.get(url, params={"query": query})).json()["data"]["result"]
        for query in ("served", "fly_instance_memory_mem_total - fly_instance_memory_mem_available")
    ]
    served, used = ({entry["metric"]["instance"]: entry["value"][1]} for (entry,) in answers)

    assert {machine_id: "7"} == served
    assert float(used[machine_id]) > 1_000_000


async def _upgrade(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET /ws HTTP/1.1\r\nHost: alpha.fly.dev\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"ping")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer
