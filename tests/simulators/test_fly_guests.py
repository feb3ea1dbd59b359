"""What real processes of machines find around them, and commands beside them."""

import base64
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.process import ProcessRuntime
from deploy.local.simulators.fly.programs import local_command
from deploy.local.simulators.fly.proxy import FlyProxy
from deploy.local.simulators.fly.relays import Relays
from deploy.local.simulators.fly.state import FlyTimings, Machine
from deploy.local.simulators.transport import SimulatorTransport
from tests.simulators.helpers import APP, Fly, config, fly_client

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

SLEEPER = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"]


@pytest.fixture
async def cloud(tmp_path: Path, anyio_backend: str) -> AsyncIterator[FlyCloud]:
    """A cloud whose machines do nothing."""
    del anyio_backend
    runtime = ProcessRuntime(tmp_path, command=lambda _: SLEEPER)
    cloud = FlyCloud(timings=FlyTimings.instant(), runtime=runtime)
    runtime.secrets = lambda app: dict(cloud.apps[app].secrets)
    yield cloud
    await cloud.aclose()
    await runtime.aclose()


@pytest.fixture
async def fly(cloud: FlyCloud) -> AsyncIterator[Fly]:
    """The Machines API of that cloud with an app."""
    async with fly_client(cloud, SimulatorTransport(fly=cloud)) as client:
        fly = Fly(client)
        await fly.app()
        yield fly


async def _shell(fly: Fly, machine_id: str, script: str, **more: str | float) -> str:
    answer = await fly.exec(machine_id, "sh", "-c", script, **more)
    out: str = answer.raise_for_status().json()["stdout"]
    return out


async def test_a_command_runs_in_the_machine_s_environment(fly: Fly, tmp_path: Path) -> None:
    """Variables, volume and files of the machine; slow: starts processes."""
    volume = await fly.volume()
    file = {"guest_path": "/etc/kong.yml", "raw_value": base64.b64encode(b"routes").decode()}
    settings = config(
        mounts=[{"volume": volume, "path": "/data"}],
        env={"A": "from env"},
        files=[file],
        init={"cmd": ["serve", "--all"]},
    )
    machine_id = await fly.started(config=settings)
    script = 'echo "$A" "$FLY_SIM_CMD"; cat "$FLY_SIM_ROOT/etc/kong.yml"; cat; pwd; exit 4'
    answer = (await fly.exec(machine_id, "sh", "-c", script, stdin="typed\n")).json()
    where = await _shell(fly, machine_id, 'echo "$INVOKER_DATA_DIR"')
    root = tmp_path / "roots" / machine_id

    assert 4 == answer["exit_code"]
    assert f'from env ["serve", "--all"]\nroutestyped\n{root}\n' == answer["stdout"]
    assert f"{tmp_path / 'volumes' / volume}\n" == where


async def test_private_names_are_led_to_relays(fly: Fly, cloud: FlyCloud) -> None:
    """In variables, secrets, files, arguments and what a command reads; slow: starts processes."""
    relays = Relays(FlyProxy(cloud))
    assert isinstance(cloud.runtime, ProcessRuntime)
    cloud.runtime.names = relays.named
    name = "b.flycast:5432"
    led = await relays.named("alpha", name)
    await fly.client.post(f"{APP}/secrets", json={"values": {"SECRET": name}})
    file = {"guest_path": "/f", "raw_value": base64.b64encode(name.encode()).decode()}
    machine_id = await fly.started(config=config(env={"ENV": name}, files=[file]))
    script = f'echo "$ENV" "$SECRET" "$(cat "$FLY_SIM_ROOT/f")" {name} "$(cat)"'
    said = await _shell(fly, machine_id, script, stdin=name)
    await relays.aclose()

    assert [led] * 5 == said.split()
    assert led.startswith("127.0.0.1:")


async def test_secrets_are_seen_from_the_next_boot(fly: Fly) -> None:
    """As variables and as files; what was set meanwhile is not seen; slow: starts processes."""
    secret = base64.b64encode(b"key").decode()
    await fly.client.post(f"{APP}/secrets", json={"values": {"A": "1", "FILE": secret}})
    file = {"guest_path": "/run/key", "secret_name": "FILE"}
    machine_id = await fly.started(config=config(files=[file]))
    await fly.client.post(f"{APP}/secrets", json={"values": {"A": "2"}})
    script = 'echo "$A" "$(cat "$FLY_SIM_ROOT/run/key")"'
    before = await _shell(fly, machine_id, script)
    await fly.do(machine_id, "restart")
    await fly.wait(machine_id, "started")

    assert "1 key\n" == before
    assert "2 key\n" == await _shell(fly, machine_id, script)


async def test_a_file_whose_secret_is_not_set_keeps_a_machine_from_starting(
    fly: Fly, cloud: FlyCloud
) -> None:
    """The start fails, and the restart policy decides; slow: starts processes."""
    file = {"guest_path": "/run/key", "secret_name": "NONE"}
    settings = config(files=[file], restart={"policy": "no"})
    machine_id = (await fly.machine(config=settings)).json()["id"]
    await fly.wait(machine_id, "stopped")

    assert "stopped" == cloud.machines[machine_id].state


async def test_a_command_that_takes_too_long_is_ended(fly: Fly, tmp_path: Path) -> None:
    """Its group is killed with it; slow: starts processes."""
    machine_id = await fly.started()
    script = "sleep 60 & echo $! > pid; wait"
    answer = await fly.exec(machine_id, "sh", "-c", script, timeout=2)
    pid = int((tmp_path / "roots" / machine_id / "pid").read_text())

    assert 408 == answer.status_code
    await _until_ended(pid)


@pytest.mark.parametrize("how", ["", "setsid "])
async def test_what_a_command_leaves_behind_ends_with_the_machine(fly: Fly, how: str) -> None:
    """It lives on after the command, and no longer than the machine; slow: starts processes."""
    machine_id = await fly.started()
    script = f"{how}sleep 60 >/dev/null 2>&1 & echo $!"
    pid = int(await _shell(fly, machine_id, script))
    lived = _lives(pid)
    await fly.do(machine_id, "stop")
    await fly.wait(machine_id, "stopped")

    assert lived
    await _until_ended(pid)


async def test_a_fork_has_the_data_of_a_running_machine(
    fly: Fly, cloud: FlyCloud, tmp_path: Path
) -> None:
    """A machine on the fork finds the files as they were then; slow: starts processes."""
    volume = await fly.volume()
    mounts = [{"volume": volume, "path": "/data"}]
    first = await fly.started(config=config(mounts=mounts))
    made = 'cd "$INVOKER_DATA_DIR"; mkdir -m 700 a; echo one >a/b; ln -s b a/c; mkfifo a/p'
    await _shell(fly, first, made)
    fork = await fly.volume(source_volume_id=volume, region="ams")
    mounts = [{"volume": fork, "path": "/data"}]
    second = await fly.started("second", region="ams", config=config(mounts=mounts))
    found = await _shell(fly, second, 'cd "$INVOKER_DATA_DIR"; cat a/c; ls a; echo two >a/b')
    kept = await _shell(fly, first, 'cat "$INVOKER_DATA_DIR/a/b"')
    # A simulator that starts again does not copy over what was written since.
    await cloud.runtime.fork(volume, fork)

    assert "one\nb\nc\n" == found
    assert "one\n" == kept
    assert "two\n" == await _shell(fly, second, 'cat "$INVOKER_DATA_DIR/a/b"')
    assert 0o700 == (tmp_path / "volumes" / fork / "a").stat().st_mode & 0o777


async def test_a_volume_s_folder_goes_with_it(fly: Fly, cloud: FlyCloud, tmp_path: Path) -> None:
    """Deleted by itself, or with its app and a machine that runs; slow: starts processes."""
    volume = await fly.volume()
    (tmp_path / "volumes" / volume).mkdir(parents=True)
    await fly.client.delete(f"{APP}/volumes/{volume}")
    await _until_idle(cloud)
    await fly.started(config=config(mounts=[{"volume": await fly.volume(), "path": "/data"}]))
    await fly.started("without a volume")
    await fly.client.delete(APP)
    await _until_idle(cloud)

    assert [] == list((tmp_path / "volumes").iterdir())
    assert [] == list((tmp_path / "roots").iterdir())


async def test_a_command_that_is_not_there_says_so(fly: Fly) -> None:
    """127, and the words of a shell; slow: starts processes."""
    answer = (await fly.exec(await fly.started(), "no-such-program")).json()

    assert (127, "no-such-program: not found") == (answer["exit_code"], answer["stderr"])


async def test_what_commands_left_is_found_by_the_next_simulator(fly: Fly, tmp_path: Path) -> None:
    """A background process has no PID file, and is ended all the same; slow: starts processes."""
    machine_id = await fly.started()
    pid = int(await _shell(fly, machine_id, "setsid sleep 60 >/dev/null 2>&1 & echo $!"))
    ended = ProcessRuntime(tmp_path).end_leftovers()

    assert pid in ended
    await _until_ended(pid)


async def test_the_image_says_what_runs() -> None:
    """A service's stand-in for its image, the agent for every other."""
    images = ["supabase/postgres:15.8.1.085", "registry.fly.io/agent@sha256:0", "none"]
    machines = [Machine("m", "a", "n", "iad", {"image": i}, "v", "", 0) for i in images]

    assert [
        ["-m", "deploy.local.services", "postgres"],
        ["-m", "deploy.agent"],
        ["-m", "deploy.agent"],
    ] == [local_command(machine)[1:] for machine in machines]


async def _until_idle(cloud: FlyCloud) -> None:
    with anyio.fail_after(5):
        while cloud._tasks:
            await anyio.lowlevel.checkpoint()


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def _until_ended(pid: int) -> None:
    with anyio.fail_after(5):
        while _lives(pid):
            await anyio.lowlevel.checkpoint()
