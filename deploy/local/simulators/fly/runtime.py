"""What runs machines: nothing at all, in memory, for tests and the virtual clock."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from deploy.local.simulators.clock import Now, rfc3339
from deploy.local.simulators.fly.probes import Finding
from deploy.local.simulators.fly.state import Machine
from deploy.local.simulators.fly.usage import Usage

ExitCallback = Callable[[str, int], None]
ForkCallback = Callable[[str, str], None]
GuestShell = Callable[[Machine, list[str], str, float], Awaitable[tuple[int, str, str]]]

NOT_FOUND = 127
"""A shell's exit code for a command that is not there."""

_HEALTH = frozenset({"/health", "/api/health"})


class MachineRuntime(Protocol):
    """Runs machines.

    Attributes:
        on_exit: called with the machine's ID and exit code when its process ends by itself.
    """

    on_exit: ExitCallback | None

    async def boot(self, machine: Machine) -> None:
        """Start the machine's process; return once it runs."""

    async def stop(self, machine: Machine) -> None:
        """End the machine's process politely; return once it has ended."""

    async def kill(self, machine: Machine) -> None:
        """End the machine's process at once."""

    async def request(self, machine: Machine, request: httpx.Request) -> httpx.Response:
        """Pass a request to the machine.

        Raises:
            httpx.ConnectError: nothing listens there.
        """

    async def check(self, machine: Machine, check: dict[str, Any]) -> Finding:
        """Run one of the machine's checks now."""

    async def exec(
        self, machine: Machine, command: list[str], stdin: str, within: float
    ) -> tuple[int, str, str]:
        """Run a command in the machine; return its exit code (-signal), stdout and stderr.

        Args:
            machine: The machine.
            command: The program and its arguments.
            stdin: What it reads.
            within: Seconds after which the caller cancels this.
        """

    async def fork(self, source_id: str, new_id: str) -> None:
        """Copy what is on a volume as it is at this moment; return once that is done."""

    async def discard(self, volume_id: str) -> None:
        """Delete what was on a volume."""

    async def metrics(self, machine: Machine, path: str) -> str:
        """Return the metrics that the machine tells about itself, empty if it tells none."""

    def usages(self) -> dict[str, Usage]:
        """Return what machines use by their IDs, as far as that can be known."""

    def address(self, machine_id: str) -> tuple[str, int] | None:
        """Return where the machine listens, None if it does not."""


@dataclass(slots=True)
class InlineMachine:
    """A machine that runs in memory.

    Attributes:
        running: whether it has been booted.
        healthy: whether its health endpoints say so.
        booted_at: unix seconds.
        last_activity_at: unix seconds of the owner's last request.
        cpu_percent: of one processor, since it was booted.
        memory_mb: what it uses.
        metrics: what it tells about itself, in Prometheus' text format.
    """

    running: bool = False
    healthy: bool = True
    booted_at: float = 0
    last_activity_at: float = 0
    cpu_percent: float = 1.0
    memory_mb: float = 64.0
    metrics: str = ""


class InlineRuntime:
    """Answers as the agent would, without processes.

    Every request but health and heartbeat counts as activity.

    Args:
        now: The clock.
        guest: What runs a command (machine, command, stdin, seconds) in place of a machine;
            without it no command is found.
        on_fork: Called with the source's ID and the new volume's ID when a volume is forked.
    """

    def __init__(
        self, now: Now, *, guest: GuestShell | None = None, on_fork: ForkCallback | None = None
    ) -> None:
        self.now = now
        self.guest = guest
        self.on_fork = on_fork
        self.on_exit: ExitCallback | None = None
        self.machines: dict[str, InlineMachine] = {}

    def machine(self, machine_id: str) -> InlineMachine:
        """Return what a test may look at and set."""
        return self.machines.setdefault(machine_id, InlineMachine())

    def crash(self, machine_id: str, exit_code: int = 1) -> None:
        """End the machine's process as if by itself."""
        self.machine(machine_id).running = False
        if self.on_exit:
            self.on_exit(machine_id, exit_code)

    async def boot(self, machine: Machine) -> None:
        """Start it."""
        inline = self.machine(machine.id)
        inline.running = True
        inline.booted_at = inline.last_activity_at = self.now()

    async def stop(self, machine: Machine) -> None:
        """Stop it."""
        self.machine(machine.id).running = False

    async def kill(self, machine: Machine) -> None:
        """Stop it."""
        self.machine(machine.id).running = False

    async def check(self, machine: Machine, check: dict[str, Any]) -> Finding:
        """Pass while it runs and is healthy."""
        del check
        inline = self.machine(machine.id)
        passing = inline.running and inline.healthy
        return passing, "Success" if passing else "unhealthy"

    async def exec(
        self, machine: Machine, command: list[str], stdin: str, within: float
    ) -> tuple[int, str, str]:
        """Let the guest answer."""
        if self.guest is None:
            return NOT_FOUND, "", f"{command[0]}: not found"
        return await self.guest(machine, command, stdin, within)

    async def fork(self, source_id: str, new_id: str) -> None:
        """Say so to whoever keeps what is on volumes."""
        if self.on_fork:
            self.on_fork(source_id, new_id)

    async def discard(self, volume_id: str) -> None:
        """Do nothing: nothing is kept."""

    async def metrics(self, machine: Machine, path: str) -> str:
        """Return what a test has set."""
        del path
        inline = self.machine(machine.id)
        return inline.metrics if inline.running else ""

    def usages(self) -> dict[str, Usage]:
        """Return what a test has set."""
        now = self.now()
        return {
            machine_id: Usage(
                (now - inline.booted_at) * inline.cpu_percent / 100, inline.memory_mb * 1024**2
            )
            for machine_id, inline in self.machines.items()
            if inline.running
        }

    def address(self, machine_id: str) -> tuple[str, int] | None:
        """Return None: it listens nowhere."""
        del machine_id
        return None

    async def request(self, machine: Machine, request: httpx.Request) -> httpx.Response:
        """Answer in the machine's stead."""
        inline = self.machine(machine.id)
        if not inline.running:
            raise httpx.ConnectError("connection refused", request=request)
        path = request.url.path
        if path in _HEALTH and request.method == "GET":
            return self._health(machine, inline)
        if path == "/heartbeat" and request.method == "POST":
            return self._heartbeat(machine, inline, request)
        inline.last_activity_at = self.now()
        return _json(200, {"machine": machine.id, "method": request.method, "path": path})

    def _health(self, machine: Machine, inline: InlineMachine) -> httpx.Response:
        status = "ok" if inline.healthy else "error"
        return _json(200 if inline.healthy else 503, self._vitals(machine, inline, status))

    def _heartbeat(
        self, machine: Machine, inline: InlineMachine, request: httpx.Request
    ) -> httpx.Response:
        token = machine.env.get("INVOKER_MACHINE_TOKEN")
        if not token or request.headers.get("authorization") != f"Bearer {token}":
            return _json(401, {"error": "unauthorized"})
        body = self._vitals(machine, inline, "running" if inline.healthy else "error")
        return _json(200, body | {"last_activity_at": rfc3339(inline.last_activity_at)})

    def _vitals(self, machine: Machine, inline: InlineMachine, status: str) -> dict[str, Any]:
        return {
            "status": status,
            "version": machine.env.get("APP_VERSION", ""),
            "uptime": self.now() - inline.booted_at,
        }


def _json(status: int, body: dict[str, Any]) -> httpx.Response:
    headers = {"content-type": "application/json"}
    return httpx.Response(status, headers=headers, content=json.dumps(body).encode())
