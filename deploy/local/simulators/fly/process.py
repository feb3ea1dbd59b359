"""Runs each machine as a real local process."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from deploy.local import shim
from deploy.local.simulators.fly.checks import seconds
from deploy.local.simulators.fly.probes import Finding, probe, prober
from deploy.local.simulators.fly.runtime import ExitCallback
from deploy.local.simulators.fly.state import Machine

_KILL_SECONDS = 5.0  # Fly's default between the signal and SIGKILL
_INHERITED = (
    "HOME",
    "LANG",
    "LD_LIBRARY_PATH",
    "PATH",
    "PYTHONPATH",
    "TMPDIR",
    "TZ",
    "VIRTUAL_ENV",
)
_START_FIELD = 19  # of /proc/<pid>/stat, counted behind the command's closing parenthesis
_LONG_READ = httpx.Timeout(None, connect=5)

Command = Callable[[Machine], list[str]]
Secrets = Callable[[str], dict[str, str]]


@dataclass(slots=True)
class _Running:
    process: asyncio.subprocess.Process
    port: int
    watcher: asyncio.Task[None]
    ending: bool = False


def agent_command(machine: Machine) -> list[str]:
    """Return the command of the agent that every machine of ours runs."""
    del machine
    return [sys.executable, "-m", "deploy.agent"]


class ProcessRuntime:
    """Starts, watches and ends one process group for each machine.

    A machine's process dies with the simulator (on Linux by a parent-death signal), and what
    is left of a killed one is ended from its PID file, recognised by its start time, at the
    next start.

    Args:
        state: directory for volumes (`volumes/`) and PID files (`run/`).
        command: what a machine runs; the agent by default.
        secrets: an app's secrets by its name; they join the environment at boot.
    """

    def __init__(
        self, state: Path, *, command: Command = agent_command, secrets: Secrets | None = None
    ) -> None:
        self.on_exit: ExitCallback | None = None
        self.volumes = state / "volumes"
        self.run = state / "run"
        self.command = command
        self.secrets = secrets or (lambda _: {})
        self._running: dict[str, _Running] = {}
        self._client: httpx.AsyncClient | None = None
        self._prober: httpx.AsyncClient | None = None
        self.run.mkdir(parents=True, exist_ok=True)

    def end_leftovers(self) -> list[int]:
        """Kill what an earlier simulator left running; return the process IDs."""
        ended = []
        for file in self.run.glob("*.json"):
            with contextlib.suppress(ValueError, KeyError):
                known = json.loads(file.read_text())
                if _started_at(known["pid"]) == known["started"]:
                    _signal_group(known["pid"], signal.SIGKILL)
                    ended.append(known["pid"])
            file.unlink(missing_ok=True)
        return ended

    async def boot(self, machine: Machine) -> None:
        """Start the machine's process on a free loopback port."""
        await self.kill(machine)
        port = _free_port()
        process = await asyncio.create_subprocess_exec(
            *_dying_with_us(self.command(machine)),
            env=self._environment(machine, port),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        watcher = asyncio.create_task(self._watch(machine.id, machine.app, process))
        self._running[machine.id] = _Running(process, port, watcher)
        started = {"pid": process.pid, "started": _started_at(process.pid)}
        self._pid_file(machine.id).write_text(json.dumps(started))

    async def stop(self, machine: Machine) -> None:
        """Send the configured signal, and SIGKILL when its time is up."""
        config = machine.config.get("stop_config") or {}
        given = machine.stop_timeout or seconds(config.get("timeout"))
        first = signal.Signals[config.get("signal") or "SIGTERM"]
        await self._end(machine.id, first, given or _KILL_SECONDS)

    async def kill(self, machine: Machine) -> None:
        """End the machine's process group at once."""
        await self._end(machine.id, signal.SIGKILL, _KILL_SECONDS)

    async def aclose(self) -> None:
        """End every process."""
        ends = (self._end(key, signal.SIGTERM, _KILL_SECONDS) for key in list(self._running))
        await asyncio.gather(*ends)
        for client in filter(None, (self._client, self._prober)):
            await client.aclose()

    def address(self, machine_id: str) -> tuple[str, int] | None:
        """Return where the machine listens."""
        running = self._running.get(machine_id)
        return ("127.0.0.1", running.port) if running else None

    async def request(self, machine: Machine, request: httpx.Request) -> httpx.Response:
        """Pass a request to the machine; the answer's body is still to be read."""
        address = self.address(machine.id)
        if address is None:
            raise httpx.ConnectError("connection refused", request=request)
        client = self._client = self._client or httpx.AsyncClient(timeout=_LONG_READ)
        inner = httpx.Request(
            request.method,
            request.url.copy_with(scheme="http", host=address[0], port=address[1]),
            headers=request.headers,
            stream=request.stream,
        )
        return await client.send(inner, stream=True)

    async def check(self, machine: Machine, check: dict[str, Any]) -> Finding:
        """Connect to the process or ask it; its one port stands for the check's."""
        address = self.address(machine.id)
        if address is None:
            return False, "connect: connection refused"
        self._prober = self._prober or prober()
        return await probe(self._prober, *address, check)

    # Steps

    def _environment(self, machine: Machine, port: int) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        data = self.volumes / (machine.volume or f"none-{machine.id}")
        data.mkdir(parents=True, exist_ok=True)
        place = {
            "FLY_APP_NAME": machine.app,
            "FLY_MACHINE_ID": machine.id,
            "FLY_MACHINE_VERSION": machine.version,
            "FLY_PRIVATE_IP": machine.private_ip,
            "FLY_REGION": machine.region,
        }
        ours = {"PORT": str(port), "INVOKER_DATA_DIR": str(data), "PYTHONUNBUFFERED": "1"}
        return inherited | place | self.secrets(machine.app) | machine.env | ours

    async def _watch(self, machine_id: str, app: str, process: asyncio.subprocess.Process) -> None:
        async for line in _lines(process.stdout):
            sys.stdout.write(f"{app}/{machine_id} | {line}\n")
        code = await process.wait()
        running = self._running.get(machine_id)
        if running is None or running.process is not process or running.ending:
            return
        self._forget(machine_id)
        _signal_group(process.pid, signal.SIGKILL)
        if self.on_exit:
            self.on_exit(machine_id, code if code >= 0 else 128 - code)

    async def _end(self, machine_id: str, first: signal.Signals, within: float) -> None:
        running = self._running.get(machine_id)
        if running is None:
            return
        running.ending = True
        _signal_group(running.process.pid, first)
        try:
            await asyncio.wait_for(running.process.wait(), within)
        except TimeoutError:
            _signal_group(running.process.pid, signal.SIGKILL)
            await running.process.wait()
        # Children may outlive the first process of the group.
        _signal_group(running.process.pid, signal.SIGKILL)
        await running.watcher
        if self._running.get(machine_id) is running:
            self._forget(machine_id)

    def _forget(self, machine_id: str) -> None:
        self._running.pop(machine_id, None)
        self._pid_file(machine_id).unlink(missing_ok=True)

    def _pid_file(self, machine_id: str) -> Path:
        return self.run / f"{machine_id}.json"


async def _lines(stream: asyncio.StreamReader | None) -> AsyncIterator[str]:
    while stream is not None:
        try:
            line = await stream.readline()
        except ValueError:  # a line longer than the reader's limit
            continue
        if not line:
            return
        yield line.decode(errors="replace").rstrip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _started_at(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[_START_FIELD])


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _dying_with_us(command: list[str]) -> list[str]:
    if sys.platform != "linux":
        return command
    options = ["--parent", str(os.getpid()), "--signal", str(int(signal.SIGKILL)), "--"]
    return [sys.executable, shim.__file__, *options, *command]
