"""Fly's proxy: picks a machine for a request, wakes it, and puts idle ones to sleep."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import anyio
import httpx
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.state import FlyError, Machine

FORCE_INSTANCE = "fly-force-instance-id"
_PUBLIC = frozenset({"v4", "v6", "shared_v4"})
RETRY_SECONDS = 0.1
CONNECT_SECONDS = 5.0
_COMING = frozenset(
    {
        "created",
        "starting",
        "restarting",
        "stopping",
        "suspending",
        "updating",
        "replacing",
    }
)
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection"})


Connected = tuple[Machine, asyncio.StreamReader, asyncio.StreamWriter]


class ProxyError(Exception):
    """Nothing can answer.

    Attributes:
        status: 404 for a name without an address, 502 or 503 for machines that do not answer.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class FlyProxy:
    """Routes by host: `<app>.fly.dev`, and `<app>.flycast` inside.

    Attributes:
        idle_since: unix seconds of each machine's last request.
        load: requests under way at each machine.
    """

    def __init__(self, cloud: FlyCloud) -> None:
        self.cloud = cloud
        self.idle_since: dict[str, float] = {}
        self.load: dict[str, int] = {}

    def resolves(self, host: str) -> bool:
        """Return whether the host name has an address."""
        app = self.cloud.apps.get(_app_name(host))
        if app is None:
            return False
        inside = host.split(":", maxsplit=1)[0].endswith(".flycast")
        kinds = {"private_v6"} if inside else _PUBLIC
        return any(address.type in kinds for address in app.addresses)

    async def pick(self, host: str, headers: Mapping[str, str]) -> Machine:
        """Return a started machine, started for this request if need be.

        Raises:
            ProxyError: there is none, or none in time.
        """
        if not self.resolves(host):
            raise ProxyError(404, "no such host")
        forced = headers.get(FORCE_INSTANCE, "")
        return await self._started(_app_name(host), lambda m: forced in {"", m.id})

    async def pick_private(self, network: str, app_name: str, port: int) -> Machine:
        """Return a started machine for a Flycast connection, started for it if need be.

        Args:
            network: The private network of whoever connects.
            app_name: The app.
            port: Flycast's port, which a service of the machine has among its own.

        Raises:
            ProxyError: The app has no address on that network, or as `pick` does.
        """
        app = self.cloud.apps.get(app_name)
        addresses = app.addresses if app else []
        if not any((a.type, a.network) == ("private_v6", network) for a in addresses):
            raise ProxyError(404, "no such host")
        return await self._started(app_name, lambda m: _serves(m, port))

    async def connect(self, pick: Callable[[], Awaitable[Machine]]) -> Connected:
        """Connect to the machine that is picked, while it comes up again and again.

        Raises:
            ProxyError: 502 when it does not listen in time, or what `pick` raises.
        """
        deadline = self.cloud.now() + CONNECT_SECONDS
        while True:
            machine = await pick()
            address = self.cloud.runtime.address(machine.id)
            try:
                if address is None:
                    raise ConnectionRefusedError
                reader, writer = await asyncio.open_connection(*address)
            except OSError:
                # See `handle`.
                if self.cloud.now() >= deadline:
                    raise ProxyError(502, "could not connect to the machine") from None
                await anyio.sleep(RETRY_SECONDS)
            else:
                return machine, reader, writer

    async def _started(self, app_name: str, fits: Callable[[Machine], bool]) -> Machine:
        deadline = self.cloud.now() + self.cloud.timings.autostart_seconds
        while True:
            machine = self._candidate(app_name, fits)
            if machine.state == "started":
                return machine
            left = deadline - self.cloud.now()
            if left <= 0:
                raise ProxyError(503, "could not start a machine in time")
            await self.cloud.changed(machine, min(left, self._wake(machine, left)))

    async def handle(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on; answer 502, 503 or 404 as the proxy would."""
        host = request.headers.get("host", request.url.host)
        deadline = self.cloud.now() + CONNECT_SECONDS
        while True:
            try:
                machine = await self.pick(host, request.headers)
                return await self._forward(machine, request)
            except ProxyError as error:
                return httpx.Response(error.status, text=str(error), request=request)
            except httpx.ConnectError:
                # A machine is "started" before its process listens, and for a moment after
                # it has died.
                if self.cloud.now() >= deadline:
                    return httpx.Response(502, text="could not connect", request=request)
                await anyio.sleep(RETRY_SECONDS)

    def enter(self, machine: Machine) -> None:
        """Count a request that begins."""
        self.load[machine.id] = self.load.get(machine.id, 0) + 1
        self.idle_since[machine.id] = self.cloud.now()

    def leave(self, machine: Machine) -> None:
        """Count a request that ended."""
        self.load[machine.id] -= 1
        self.idle_since[machine.id] = self.cloud.now()

    def autostop_pass(self) -> list[str]:
        """Stop at most one idle machine for each app and region; return their IDs."""
        stopped: dict[tuple[str, str], str] = {}
        for machine in self.cloud.running_machines():
            place = machine.app, machine.region
            mode = _setting(machine, "autostop")
            if place in stopped or mode not in {"stop", "suspend", True}:
                continue
            if self._idle(machine) and self._spare(machine):
                stopped[place] = machine.id
                self._sleep(machine, mode)
        return list(stopped.values())

    async def run_autostop(self) -> None:
        """Look for idle machines for ever, every `autostop_seconds`."""
        while True:
            await anyio.sleep(self.cloud.timings.autostop_seconds)
            self.autostop_pass()

    # Steps

    async def _forward(self, machine: Machine, request: httpx.Request) -> httpx.Response:
        self.enter(machine)
        try:
            return await self.cloud.runtime.request(machine, request)
        except httpx.ConnectError:
            raise
        except httpx.TransportError:
            return httpx.Response(502, text="connection lost", request=request)
        finally:
            self.leave(machine)

    def _candidate(self, app_name: str, fits: Callable[[Machine], bool]) -> Machine:
        reachable = [
            machine
            for machine in self.cloud.live_machines(app_name)
            if machine.services
            and not machine.cordoned
            and machine.host_status == "ok"
            and fits(machine)
        ]
        ranked = [
            *(m for m in reachable if m.state == "started"),
            *(m for m in reachable if m.state in _COMING),
            *(m for m in reachable if m.state in {"stopped", "suspended"}),
        ]
        usable = [m for m in ranked if _usable(m)]
        if not usable:
            raise ProxyError(503, "could not find a good candidate")
        return min(usable, key=lambda m: (ranked.index(m), self.load.get(m.id, 0)))

    def _wake(self, machine: Machine, left: float) -> float:
        """Start a machine that can be; return how long to wait for a change at most."""
        if machine.state not in {"stopped", "suspended"}:
            return left
        try:
            self.cloud.begin_start(machine, source="proxy")
        except FlyError:
            return RETRY_SECONDS
        return left

    def _idle(self, machine: Machine) -> bool:
        now = self.cloud.now()
        quiet = now - self.idle_since.setdefault(machine.id, now)
        busy = self.load.get(machine.id, 0)
        return not busy and quiet >= self.cloud.timings.autostop_seconds

    def _spare(self, machine: Machine) -> bool:
        wanted = _setting(machine, "min_machines_running") or 0
        peers = self.cloud.live_machines(machine.app)
        return sum(peer.state == "started" for peer in peers) > wanted

    def _sleep(self, machine: Machine, mode: str | bool) -> None:  # noqa: FBT001 - as Fly has it
        if mode == "suspend":
            self.cloud.begin_suspend(machine, source="proxy")
        else:
            self.cloud.begin_stop(machine, source="proxy")


def fly_proxy(cloud: FlyCloud, proxy: FlyProxy | None = None) -> ASGIApp:
    """Return the proxy as an ASGI application for HTTP; upgrades need `front.Front`."""
    route = proxy or FlyProxy(cloud)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        answer = await route.handle(_outbound(request))
        headers = {k: v for k, v in answer.headers.items() if k not in _HOP}
        body = StreamingResponse(_chunks(answer), answer.status_code, headers)
        await body(scope, receive, send)

    return app


async def _chunks(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        if answer.is_stream_consumed or hasattr(answer, "_content"):
            yield answer.content
            return
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


def _outbound(request: Request) -> httpx.Request:
    kept = [(k, v) for k, v in Headers(scope=request.scope).items() if k not in _HOP]
    url = f"http://{request.headers.get('host', 'unknown')}{request.url.path}"
    raw = request.scope.get("raw_path")
    target = httpx.URL(url).copy_with(
        raw_path=(raw or request.url.path.encode())
        + (b"?" + request.scope["query_string"] if request.scope["query_string"] else b"")
    )
    has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
    content = request.stream() if has_body else None
    return httpx.Request(request.method, target, headers=kept, content=content)


def _serves(machine: Machine, port: int) -> bool:
    """Whether a service of the machine has the port outside."""
    ports = [entry for service in machine.services for entry in service.get("ports") or []]
    return any(
        entry.get("port") == port
        or (entry.get("start_port") or 0) <= port <= (entry.get("end_port") or -1)
        for entry in ports
    )


def _usable(machine: Machine) -> bool:
    if machine.state in {"stopped", "suspended", "stopping", "suspending"}:
        return bool(_setting(machine, "autostart"))
    return True


def _setting(machine: Machine, name: str) -> Any:
    return machine.services[0].get(name) if machine.services else None


def _app_name(host: str) -> str:
    name = host.split(":", maxsplit=1)[0].lower()
    for suffix in (".fly.dev", ".flycast"):
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return ""
