"""What runs machines: nothing at all, in memory, for tests and the virtual clock."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from deploy.local.simulators.clock import Now, rfc3339
from deploy.local.simulators.fly.probes import Finding
from deploy.local.simulators.fly.state import Machine

ExitCallback = Callable[[str, int], None]

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
    """

    running: bool = False
    healthy: bool = True
    booted_at: float = 0
    last_activity_at: float = 0


class InlineRuntime:
    """Answers as the agent would, without processes.

    Every request but health and heartbeat counts as activity.
    """

    def __init__(self, now: Now) -> None:
        self.now = now
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
