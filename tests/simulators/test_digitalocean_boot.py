"""Droplets that run: the gateway of their cloud-init, as a real process."""

import asyncio
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
import yaml

from deploy.local.simulators.digitalocean import DigitalOceanCloud, DropletTimings
from deploy.local.simulators.digitalocean.boot import (
    GATEWAY_FILE,
    Boots,
    booted,
    gateway_settings,
)
from deploy.local.simulators.fly.groups import free_port, told
from deploy.local.simulators.persistence import StateFile
from tests.gateway.gateway_hub import GATEWAY, TOKEN, Hub

pytestmark = pytest.mark.anyio

ORDER = {"name": "vps", "region": "ams3", "size": "s-1vcpu-1gb", "image": "debian-12-x64"}


def _cloud_init(content: str, **rest: object) -> str:
    files: list[dict[str, object]] = [{"path": "/etc/motd", "content": "hello"}]
    files.append({"path": GATEWAY_FILE, "permissions": "0600", "content": content, **rest})
    return "#cloud-config\n" + yaml.safe_dump({"packages": ["tmux"], "write_files": files})


def _variables(url: str) -> str:
    lines = {"ID": GATEWAY, "AUTH_TOKEN": TOKEN, "CP_URL": url, "VERSION": "1.2.3"}
    return "".join(f"GATEWAY_{name}={value}\n" for name, value in lines.items())


@pytest.fixture
async def hub(anyio_backend: str) -> AsyncIterator[Hub]:
    """A hub that gateways can connect to."""
    del anyio_backend
    async with Hub().serving() as hub:
        yield hub


@pytest.mark.parametrize(
    "user_data",
    [
        "",
        "#!/bin/sh\nGATEWAY_ID=x",
        "#cloud-config\n",
        "#cloud-config\n- a\n",
        "#cloud-config\nwrite_files: 3\n",
        "#cloud-config\nwrite_files: [{path: /etc/other, content: GATEWAY_ID=x}]\n",
        "#cloud-config\n{: broken",
        _cloud_init("not base64!", encoding="b64"),
    ],
)
def test_no_gateway_is_found_where_there_is_none(user_data: str) -> None:
    """Other user data is silently left alone."""
    found = gateway_settings(user_data)

    assert {} == found


def test_the_settings_of_the_gateway_are_found() -> None:
    """Plain or in base64, quoted or not; nothing but the gateway's own variables."""
    plain = gateway_settings(_cloud_init('# c\nGATEWAY_ID="a b"\nPATH=/x\nGATEWAY_VERSION=1\n'))
    encoded = gateway_settings(_cloud_init("R0FURVdBWV9JRD14Cg==", encoding="b64"))

    assert {"GATEWAY_ID": "a b", "GATEWAY_VERSION": "1"} == plain
    assert {"GATEWAY_ID": "x"} == encoded


@pytest.mark.slow
async def test_a_droplet_s_life(hub: Hub, tmp_path: Path) -> None:
    """Its disk is kept while it is off, and nothing is left of it; slow: starts processes."""
    cloud = DigitalOceanCloud(timings=DropletTimings.instant())
    team = cloud.team_of()
    session = str(uuid.uuid4())
    async with booted(cloud, tmp_path) as boots:
        wish = ORDER | {"user_data": _cloud_init(_variables(hub.url))}
        number = cloud.create_droplet(team, wish)["droplet"]["id"]
        hello = await hub.get("gateway.hello")
        await hub.create(session)
        escaping = "env -i setsid -f sleep 1000; (setsid sleep 1000 &); echo kept > file\r"
        await hub.type(session, escaping + "echo $((6*7)); echo pid=$$=\r")
        await hub.shown(session, b"42\r\n")
        processes = _below(boots._running[number].pid)
        await cloud.monkey_power(number, "off")
        off = _alive(processes)
        await cloud.monkey_power(number, "active")
        again = await hub.get("gateway.hello", 2)
        lost = await hub.get("session.ended")
        kept = (tmp_path / "droplets" / str(number) / "root" / "file").read_text()
        await cloud.monkey_destroy(number)

    assert "1.2.3" == hello["version"]
    assert len(processes) >= 5
    assert [] == off
    assert [] == again["sessions"]
    assert ("lost", session) == (lost["reason"], lost["session_id"])
    assert "kept\n" == kept
    assert [] == list((tmp_path / "droplets").iterdir())
    assert [] == list(told("GATEWAY_ROOT", tmp_path))


@pytest.mark.slow
async def test_nothing_outlives_a_simulator_that_was_killed(hub: Hub, tmp_path: Path) -> None:
    """The kernel tells the droplet's first process, which ends the rest; slow: four processes."""
    program = """
import asyncio, sys
from pathlib import Path
from deploy.local.simulators.digitalocean.boot import Boots
from deploy.local.simulators.digitalocean.state import Droplet
async def main():
    boots = Boots(Path(sys.argv[1]), lambda number: True)
    droplet = Droplet(7, "t", "vps", "ams3", "s", "i", [], sys.argv[2], 0, 0, 0)
    await boots.boot(droplet, droplet.user_data)
    await asyncio.sleep(1000)
asyncio.run(main())
"""
    command = [sys.executable, "-c", program, str(tmp_path), _cloud_init(_variables(hub.url))]
    with subprocess.Popen(command) as simulator:  # noqa: ASYNC220, S603 - our own, and at once
        await hub.get("gateway.hello")
        session = str(uuid.uuid4())
        await hub.create(session)
        await hub.type(session, "env -i setsid -f sleep 1000; echo do''ne\r")
        await hub.shown(session, b"done\r\n")
        processes = _below(simulator.pid)
        simulator.kill()
    with anyio.fail_after(5):
        while _alive(processes):  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.01)

    assert len(processes) >= 5
    assert [] == Boots(tmp_path, lambda _: True).end_leftovers()


@pytest.mark.slow
async def test_a_simulator_that_starts_again_boots_what_ran(hub: Hub, tmp_path: Path) -> None:
    """Nothing runs in between, and the disk is the same; slow: starts two simulators."""
    cloud = DigitalOceanCloud(timings=DropletTimings.instant())
    saved = StateFile(tmp_path / "digitalocean" / "state.json", cloud)
    saved.open()
    wish = ORDER | {"user_data": _cloud_init(_variables(hub.url))}
    number = cloud.create_droplet(cloud.team_of(), wish)["droplet"]["id"]
    while cloud.droplets[number].status != "active":  # noqa: ASYNC110 - a few turns of the loop
        await asyncio.sleep(0)
    saved.close()
    await cloud.aclose()
    disks = tmp_path / "digitalocean" / "droplets"
    seen: list[object] = []
    for count in (1, 2):
        async with _simulator(tmp_path) as process:
            await hub.get("gateway.hello", count)
            seen += [path.name for path in (disks / str(number) / "root").glob("kept")]
            (disks / str(number) / "root" / "kept").touch()
        seen.append(process.returncode)
        seen += list(told("GATEWAY_ROOT", disks))

    assert [0, "kept", 0] == seen


@asynccontextmanager
async def _simulator(state: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local.simulators", "digitalocean"),
        *("--state", str(state), "--port", str(free_port())),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()


async def test_disks_that_no_droplet_has_are_removed(tmp_path: Path) -> None:
    """As after a simulator that was killed while it destroyed one."""
    for number in ("1", "2"):
        (tmp_path / "droplets" / number / "root").mkdir(parents=True)
    Boots(tmp_path, lambda number: number == 2).end_leftovers()

    assert ["2"] == [disk.name for disk in (tmp_path / "droplets").iterdir()]


def _alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def _below(pid: int) -> list[int]:
    """Return all descendants of a process, and itself."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        left += children.get(found[-1], [])
    return found
