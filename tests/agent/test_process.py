"""The agent as a process."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

ROOT = Path(__file__).resolve().parents[2]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


@contextmanager
def _agent(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.agent"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def _ready(url: str) -> None:
    async with httpx.AsyncClient() as client:
        while True:
            try:
                await client.get(f"{url}/health")
            except httpx.ConnectError:
                await anyio.sleep(0.02)
            else:
                return


@pytest.mark.anyio
@pytest.mark.slow
async def test_life(environment: dict[str, str]) -> None:
    """A process serves, turns a nameless WebSocket away with 401, and ends on SIGTERM with 0.

    Slow: an interpreter starts, with all that the agent imports.
    """
    port = _free_port()
    environment |= {
        "PORT": str(port),
        "INVOKER_API_URL": f"http://127.0.0.1:{_free_port()}",
    }
    with _agent(environment) as process:
        with anyio.fail_after(20):
            await _ready(f"http://127.0.0.1:{port}")
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"ws://127.0.0.1:{port}/api/echo").__aenter__()
        process.send_signal(signal.SIGTERM)
        status = await anyio.to_thread.run_sync(process.wait)

    assert caught.value.response.status_code == 401
    assert status == 0


def test_bad_environment() -> None:
    """With a bad environment it ends at once and says what is missing."""
    with _agent({"PORT": "0"}) as process:
        _, words = process.communicate(timeout=20)

    assert process.returncode == 1
    assert "INVOKER_MACHINE_TOKEN" in words
    assert "PORT" in words
    assert "Traceback" not in words
