"""The simulators as the supervisor runs them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from deploy.local.simulators.fly.core import DEFAULT_TOKEN as FLY_TOKEN
from deploy.local.simulators.kv.store import DEFAULT_TOKEN

pytestmark = pytest.mark.slow

STUDIO = {
    "SUPABASE_URL": "http://a.flycast",
    "SUPABASE_SERVICE_KEY": "service-key-of-nobody",
    "DASHBOARD_USERNAME": "admin",
    "DASHBOARD_PASSWORD": "nobody's password",
}
"""What a stand-in needs to go on running."""
ORPHANER = """
import asyncio, pathlib, sys
from deploy.local.simulators.fly.process import ProcessRuntime
from deploy.local.simulators.fly.state import Machine

async def main():
    sleeper = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"]
    runtime = ProcessRuntime(pathlib.Path(sys.argv[1]), command=lambda _: sleeper)
    await runtime.boot(Machine("m", "a", "n", "iad", {}, "v", "", 0))
    print(runtime._running["m"].process.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@contextmanager
def _serving(
    simulator: str, state: Path, *more: str
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-m", "deploy.local.simulators", simulator]
    options = ["--state", str(state), "--port", str(port), *more]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own module
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(f"ready {simulator} ")
            yield process, port
        finally:
            process.terminate()


def test_what_was_written_survives_a_kill(tmp_path: Path) -> None:
    """After kill -9 the next start finds the keys; slow: starts interpreters."""
    path = "/route%3Aa"
    with _serving("kv", tmp_path) as (process, port):
        httpx.put(f"http://127.0.0.1:{port}{path}", content=b"v").raise_for_status()
        _until((tmp_path / "kv" / "state.json").exists)
        process.kill()
    with _serving("kv", tmp_path) as (_, port):
        found = httpx.get(f"http://127.0.0.1:{port}{path}")
        account, namespace = "0" * 31 + "1", "0" * 31 + "2"
        base = f"client/v4/accounts/{account}/storage/kv/namespaces/{namespace}"
        headers = {"authorization": f"Bearer {DEFAULT_TOKEN}"}
        listed = httpx.get(f"http://127.0.0.1:{port}/{base}/keys", headers=headers)

    assert found.content == b"v"
    assert listed.json()["result"] == [{"name": "route:a"}]


def test_a_simulator_ends_cleanly(tmp_path: Path) -> None:
    """SIGTERM ends it with code 0; slow: starts interpreters."""
    codes = []
    for simulator, more in (("auth", []), ("fly", ["--proxy-port", "0"])):
        with _serving(simulator, tmp_path, *more) as (process, _):
            process.terminate()
            codes.append(process.wait(5))

    assert codes == [0, 0]


def test_machines_of_the_server_have_secrets_private_names_and_metrics(tmp_path: Path) -> None:
    """They are wired to the cloud as it runs, after a restart too; slow: starts interpreters."""
    more = ("--proxy-port", "0", "--no-limits")
    said = []
    with _serving("fly", tmp_path, *more) as (_, port):
        with _fly(port) as fly:
            fly.post("/v1/apps", json={"name": "a", "org_slug": "invoker"})
            values = {"values": {"A": "secret b.flycast:5432"}}
            fly.post("/v1/apps/a/secrets", json=values)
            config = {"image": "supabase/studio", "env": STUDIO}
            made = fly.post("/v1/apps/a/machines", json={"config": config}).json()["id"]
            said.append(_echoed(fly, made))
            query = {"query": "fly_instance_up"}
            up = fly.get("/prometheus/invoker/api/v1/query", params=query).json()["data"]["result"]
        _until(lambda: "secret b" in (tmp_path / "fly" / "state.json").read_text())
    with _serving("fly", tmp_path, *more) as (_, port), _fly(port) as fly:
        said.append(_echoed(fly, made))

    assert ["secret 127.0.0.1", "secret 127.0.0.1"] == [text.partition(":")[0] for text in said]
    assert [made] == [series["metric"]["instance"] for series in up]


def _fly(port: int) -> httpx.Client:
    headers = {"authorization": f"Bearer {FLY_TOKEN}"}
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers)


def _echoed(fly: httpx.Client, machine_id: str) -> str:
    path = f"/v1/apps/a/machines/{machine_id}"
    fly.get(f"{path}/wait", params={"state": "started", "timeout": "5"}).raise_for_status()
    body = {"command": ["sh", "-c", 'echo "$A"']}
    answer = fly.post(f"{path}/exec", json=body).raise_for_status().json()
    out: str = answer["stdout"]
    return out


@pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals are Linux's")
def test_no_machine_outlives_a_killed_simulator(tmp_path: Path) -> None:
    """Kill -9 of the simulator ends its machines' processes; slow: starts interpreters."""
    command = [sys.executable, "-c", ORPHANER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own text
        assert process.stdout is not None
        machine = int(process.stdout.readline())
        # The death signal is set on the way to the machine's own program.
        _until(
            lambda: (
                b"time.sleep" in _command_line(machine) and b"shim" not in _command_line(machine)
            )
        )
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        _until(lambda: not _alive(machine))

    assert not _alive(machine)


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _alive(pid: int) -> bool:
    # A zombie waits for its reaper and has no command line any more.
    return _command_line(pid) != b""


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
