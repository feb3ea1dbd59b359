"""Runs each machine as a real local process."""

import asyncio
import contextlib
import json
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from deploy.local.simulators.fly.checks import seconds
from deploy.local.simulators.fly.disks import Disks
from deploy.local.simulators.fly.groups import (
    dying_with_us,
    free_port,
    lives,
    signal_group,
    signal_one,
    started_at,
    told,
)
from deploy.local.simulators.fly.guest import Guest, Names, as_written
from deploy.local.simulators.fly.probes import Finding, probe, prober, scraped
from deploy.local.simulators.fly.programs import local_command, shell_environment
from deploy.local.simulators.fly.runtime import NOT_FOUND, ExitCallback
from deploy.local.simulators.fly.state import Machine
from deploy.local.simulators.fly.usage import Usage, usages

_KILL_SECONDS = 5.0  # Fly's default between the signal and SIGKILL
_START_FIELD = 19  # of /proc/<pid>/stat, counted behind the command's closing parenthesis
_LONG_READ = httpx.Timeout(None, connect=5)

Command = Callable[[Machine], list[str]]
Secrets = Callable[[str], dict[str, str]]


@dataclass(slots=True)
class _Running:
    guest: Guest
    environment: dict[str, str]
    process: asyncio.subprocess.Process
    watcher: asyncio.Task[None]
    ending: bool = False
    commands: set[int] = field(default_factory=set)
    commanded: bool = False

    def end_rest(self) -> None:
        """End what outlives the main process: its children, and what commands left behind."""
        for pid in (self.process.pid, *self.commands):
            signal_group(pid, signal.SIGKILL)
        if self.commanded:  # some of it may have left its group
            for pid in told("FLY_SIM_ROOT", self.guest.root):
                signal_one(pid, signal.SIGKILL)


class ProcessRuntime:
    """Starts, watches and ends one process group for each machine.

    A machine's process dies with the simulator (on Linux by a parent-death signal), and what
    is left of a killed one is ended from its PID file, recognised by its start time, at the
    next start.

    Args:
        state: directory for volumes (`volumes/`), the machines' own files (`roots/`) and PID
            files (`run/`).
        command: what a machine runs; by default what stands for its image.
        secrets: an app's secrets by its name; they join the environment at boot.

    Attributes:
        names: leads private host names to this computer.
    """

    def __init__(
        self, state: Path, *, command: Command = local_command, secrets: Secrets | None = None
    ) -> None:
        self.on_exit: ExitCallback | None = None
        state = state.resolve()  # commands run elsewhere
        self.disks = Disks(state / "volumes")
        self.roots = state / "roots"
        self.run = state / "run"
        self.command = command
        self.secrets = secrets or (lambda _: {})
        self.names: Names = as_written
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
                if started_at(known["pid"]) == known["started"]:
                    signal_group(known["pid"], signal.SIGKILL)
                    ended.append(known["pid"])
            file.unlink(missing_ok=True)
        # What commands left behind has no PID file.
        for pid in told("FLY_SIM_ROOT", self.roots):
            if pid not in ended:
                signal_one(pid, signal.SIGKILL)
                ended.append(pid)
        return ended

    async def boot(self, machine: Machine) -> None:
        """Start the machine's process on a free loopback port."""
        await self._end(machine.id, signal.SIGKILL, _KILL_SECONDS)
        guest = self._guest(machine)
        await self.disks.ready(guest.data.name)
        await guest.furnish()
        environment = await guest.environment()
        process = await asyncio.create_subprocess_exec(
            *dying_with_us(self.command(machine)),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        watcher = asyncio.create_task(self._watch(machine.id, machine.app, process))
        self._running[machine.id] = _Running(guest, environment, process, watcher)
        started = {"pid": process.pid, "started": started_at(process.pid)}
        self._pid_file(machine.id).write_text(json.dumps(started))

    async def stop(self, machine: Machine) -> None:
        """Send the configured signal, and SIGKILL when its time is up."""
        config = machine.config.get("stop_config") or {}
        given = machine.stop_timeout or seconds(config.get("timeout"))
        first = signal.Signals[config.get("signal") or "SIGTERM"]
        await self._end(machine.id, first, given or _KILL_SECONDS)

    async def kill(self, machine: Machine) -> None:
        """End the machine's process group at once, and forget its own files."""
        await self._end(machine.id, signal.SIGKILL, _KILL_SECONDS)
        shutil.rmtree(self.roots / machine.id, ignore_errors=True)
        await self.disks.discard(_own(machine))

    async def aclose(self) -> None:
        """End every process, as its machine wants to be stopped."""
        await asyncio.gather(*(self.stop(r.guest.machine) for r in list(self._running.values())))
        for client in filter(None, (self._client, self._prober)):
            await client.aclose()

    async def metrics(self, machine: Machine, path: str) -> str:
        """Ask the process; nothing comes from one that does not answer well and soon."""
        address = self.address(machine.id)
        if address is None:
            return ""
        self._prober = self._prober or prober()
        return await scraped(self._prober, *address, path)

    def usages(self) -> dict[str, Usage]:
        """Read what the machines' processes and their descendants use."""
        return usages({key: running.process.pid for key, running in self._running.items()})

    async def exec(
        self, machine: Machine, command: list[str], stdin: str, within: float
    ) -> tuple[int, str, str]:
        """Run a command beside the machine's process; what it leaves behind ends with that."""
        del within  # whoever calls cancels
        running = self._running.get(machine.id)
        if running is None:
            return NOT_FOUND, "", "the machine's process does not run"
        guest = running.guest
        more = shell_environment(machine, guest.data, guest.port)
        named = [await self.names(machine.app, word) for word in command]
        typed = await self.names(machine.app, stdin)
        environment = running.environment | more
        if shutil.which(named[0], path=environment.get("PATH")) is None:
            return NOT_FOUND, "", f"{named[0]}: not found"
        process = await asyncio.create_subprocess_exec(
            *dying_with_us(named),
            cwd=guest.root,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        return await self._finish(running, process, typed.encode())

    async def fork(self, source_id: str, new_id: str) -> None:
        """Copy a volume's folder, also of a machine that runs."""
        await self.disks.fork(source_id, new_id)

    async def discard(self, volume_id: str) -> None:
        """Delete a volume's folder."""
        await self.disks.discard(volume_id)

    def address(self, machine_id: str) -> tuple[str, int] | None:
        """Return where the machine listens."""
        running = self._running.get(machine_id)
        return ("127.0.0.1", running.guest.port) if running else None

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

    def _guest(self, machine: Machine) -> Guest:
        data = self.disks.folder(machine.volume or _own(machine))
        root, secrets = self.roots / machine.id, self.secrets(machine.app)
        return Guest(machine, free_port(), data, root, secrets, self.names)

    async def _finish(
        self, running: _Running, process: asyncio.subprocess.Process, stdin: bytes
    ) -> tuple[int, str, str]:
        running.commanded = True
        running.commands.add(process.pid)
        try:
            out, err = await process.communicate(stdin)
        except asyncio.CancelledError:
            signal_group(process.pid, signal.SIGKILL)
            await process.wait()
            raise
        finally:
            running.commands = {pid for pid in running.commands if lives(pid)}
        code = await process.wait()
        return code, out.decode(errors="replace"), err.decode(errors="replace")

    async def _watch(self, machine_id: str, app: str, process: asyncio.subprocess.Process) -> None:
        async for line in _lines(process.stdout):
            sys.stdout.write(f"{app}/{machine_id} | {line}\n")
        code = await process.wait()
        running = self._running.get(machine_id)
        if running is None or running.process is not process or running.ending:
            return
        self._forget(machine_id)
        running.end_rest()
        if self.on_exit:
            self.on_exit(machine_id, code if code >= 0 else 128 - code)

    async def _end(self, machine_id: str, first: signal.Signals, within: float) -> None:
        running = self._running.get(machine_id)
        if running is None:
            return
        running.ending = True
        # As a machine's init does it: the first signal goes to the main process alone.
        signal_one(running.process.pid, first)
        try:
            await asyncio.wait_for(running.process.wait(), within)
        except TimeoutError:
            signal_one(running.process.pid, signal.SIGKILL)
            await running.process.wait()
        running.end_rest()
        await running.watcher
        if self._running.get(machine_id) is running:
            self._forget(machine_id)

    def _forget(self, machine_id: str) -> None:
        self._running.pop(machine_id, None)
        self._pid_file(machine_id).unlink(missing_ok=True)

    def _pid_file(self, machine_id: str) -> Path:
        return self.run / f"{machine_id}.json"


def _own(machine: Machine) -> str:
    """The folder of a machine without a volume."""
    return f"none-{machine.id}"


async def _lines(stream: asyncio.StreamReader | None) -> AsyncIterator[str]:
    while stream is not None:
        try:
            line = await stream.readline()
        except ValueError:  # a line longer than the reader's limit
            continue
        if not line:
            return
        yield line.decode(errors="replace").rstrip()
