"""The released file: one file that runs with a bare Python."""

import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from deploy.gateway.build import build, main
from tests.gateway.gateway_hub import GATEWAY, TOKEN, Hub

pytestmark = pytest.mark.anyio

# Neither the environment nor installed packages are looked at.
BARE = [sys.executable, "-I", "-S"]


async def test_the_released_file_runs_without_anything_installed(
    hub: Hub, root: Path, tmp_path: Path
) -> None:
    """It says hello as the version that was built, and runs a session."""
    program = build(tmp_path / "out", "9.8.7")
    environment = {
        "GATEWAY_ID": GATEWAY,
        "GATEWAY_AUTH_TOKEN": TOKEN,
        "GATEWAY_CP_URL": hub.url,
        "GATEWAY_VERSION": "1.0.0",
        "GATEWAY_ROOT": str(root),
        "GATEWAY_MULTIPLEXER": "pty",
        "PATH": "/usr/bin:/bin",
    }
    process = await anyio.open_process([*BARE, str(program)], env=environment)
    try:
        hello = await hub.get("gateway.hello")
        session = "0b9d3a52-6a7e-4c51-9a55-2f0c6d1f7a10"
        await hub.create(session)
        await hub.type(session, "echo $((6*7))\r")
        await hub.shown(session, b"42\r\n")
        snapshot = await hub.snapshot(session)
    finally:
        process.terminate()
        await process.wait()
        await process.aclose()

    assert "9.8.7" == hello["version"]
    assert "42" in snapshot["data"]
    assert 0 == process.returncode


def test_the_same_source_makes_the_same_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that anybody can check a release; the version is the project's unless told."""
    main([str(tmp_path / "a")])
    main([str(tmp_path / "b")])
    first, second = (line.split() for line in capsys.readouterr().out.splitlines())

    assert first[0] == second[0]
    assert [Path(first[1]).name] == [Path(second[1]).name]


def test_a_version_is_told_without_settings(tmp_path: Path) -> None:
    """As an update tries a new program before it takes it."""
    program = build(tmp_path, "2.0.0")
    told = subprocess.run([*BARE, program, "--version"], capture_output=True, check=True)  # noqa: S603 - our own file

    assert b"2.0.0\n" == told.stdout


def test_bad_settings_end_it_with_one_message(tmp_path: Path) -> None:
    """All that is wrong is named, and nothing repeated."""
    program = build(tmp_path, "2.0.0")
    environment = {"GATEWAY_ID": "nobody", "GATEWAY_AUTH_TOKEN": "sec ret"}
    told = subprocess.run(  # noqa: S603 - our own file
        [*BARE, program], capture_output=True, check=False, env=environment, text=True
    )

    assert 1 == told.returncode
    assert 4 == len(told.stderr.splitlines())
    assert "sec ret" not in told.stderr
