"""Commands in machines, in memory."""

from collections.abc import AsyncIterator

import anyio
import pytest

from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.runtime import InlineRuntime
from deploy.local.simulators.fly.state import FlyTimings, Machine
from deploy.local.simulators.transport import SimulatorTransport
from tests.simulators.helpers import APP, Fly, fly_client

pytestmark = pytest.mark.anyio


async def _guest(
    machine: Machine, command: list[str], stdin: str, within: float
) -> tuple[int, str, str]:
    if command == ["hang"]:
        await anyio.sleep(60)
    return 3, f"{machine.name} {command} {within:g}", stdin.upper()


@pytest.fixture
async def cloud(anyio_backend: str) -> AsyncIterator[FlyCloud]:
    """A cloud whose machines know commands."""
    del anyio_backend
    cloud = FlyCloud(timings=FlyTimings.instant())
    cloud.runtime = InlineRuntime(cloud.now, guest=_guest)
    yield cloud
    await cloud.aclose()


@pytest.fixture
async def fly(cloud: FlyCloud) -> AsyncIterator[Fly]:
    """The Machines API of that cloud with an app."""
    async with fly_client(cloud, SimulatorTransport(fly=cloud)) as client:
        fly = Fly(client)
        await fly.app()
        yield fly


async def test_the_guest_gets_command_and_stdin(fly: Fly) -> None:
    """Exit code and both outputs come back."""
    answer = await fly.exec(await fly.started(), "a", "b c", stdin="select 1", timeout=5)

    assert 200 == answer.status_code
    assert {
        "exit_code": 3,
        "exit_signal": 0,
        "stdout": "main ['a', 'b c'] 5",
        "stderr": "SELECT 1",
    } == answer.json()


async def test_stdin_and_secrets_are_in_no_effect(fly: Fly, cloud: FlyCloud) -> None:
    """The log of effects says that there was a command, never what it read."""
    machine_id = await fly.started()
    await fly.exec(machine_id, "psql", stdin="a password")
    await fly.client.post(f"{APP}/secrets", json={"values": {"KEY": "hidden"}})
    exec_, secrets = cloud.effects[-2:]

    assert ("machines.exec", machine_id) == (exec_.operation, exec_.id)
    assert {"command": ["psql"]} == exec_.details
    assert {"names": ["KEY"]} == secrets.details


async def test_a_machine_that_is_not_started_runs_nothing(fly: Fly, cloud: FlyCloud) -> None:
    """412, as for other orders that come too early or too late."""
    machine_id = await fly.stopped()
    before = len(cloud.effects)
    answer = await fly.exec(machine_id, "a")

    assert 412 == answer.status_code
    assert "current state: 'stopped'" in answer.json()["error"]
    assert before == len(cloud.effects)


async def test_a_command_that_takes_too_long_is_a_408(fly: Fly) -> None:
    """The time limit is the caller's."""
    answer = await fly.exec(await fly.started(), "hang", timeout=0.01)

    assert 408 == answer.status_code
    assert answer.json()["error"].startswith("deadline_exceeded")


async def test_without_a_command_there_is_nothing_to_run(fly: Fly) -> None:
    """400; the deprecated form in one word is split as a shell would."""
    machine_id = await fly.started()
    path = f"{APP}/machines/{machine_id}/exec"
    empty = await fly.client.post(path, json={"command": []})
    old = await fly.client.post(path, json={"cmd": "echo 'a b'"})

    assert 400 == empty.status_code
    assert "main ['echo', 'a b'] 30" == old.json()["stdout"]


async def test_without_a_guest_no_command_is_found(fly: Fly, cloud: FlyCloud) -> None:
    """127, as a shell says."""
    cloud.runtime = InlineRuntime(cloud.now)
    machine_id = await fly.started()

    assert 127 == (await fly.exec(machine_id, "psql")).json()["exit_code"]


async def test_a_file_must_be_one(fly: Fly) -> None:
    """Relative paths, ways out, no content, two contents and bad base64 are refused."""
    bad: list[dict[str, str]] = [
        {"guest_path": "etc/a", "raw_value": ""},
        {"guest_path": "/etc/../../a", "raw_value": ""},
        {"guest_path": "/a"},
        {"guest_path": "/a", "raw_value": "", "secret_name": "A"},
        {"guest_path": "/a", "raw_value": "%"},
    ]
    answers = [await fly.machine(config={"image": "a", "files": [file]}) for file in bad]

    assert [400] * 5 == [answer.status_code for answer in answers]
