"""A replica on simulated clouds, with every request counted."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from controller.assembly import Clouds, Pace, Replica
from controller.machine.agent import AgentClient
from controller.providers.cloudflare import WorkersKV
from controller.providers.fly import Fly
from crds.clock import Clock
from crds.credentials import MachineTokens
from crds.store import Store
from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.runtime import InlineRuntime
from deploy.local.simulators.fly.state import FlyTimings
from deploy.local.simulators.fly.views import machine_view
from deploy.local.simulators.gateways import gateways
from deploy.local.simulators.kv import KV
from deploy.local.simulators.limits import CloudflareLimits, FlyLimits
from deploy.local.simulators.transport import (
    CLOUDFLARE_HOST,
    FLY_HOST,
    SimulatorTransport,
)

INSTALLATION: Final = "bench"
TOKENS: Final = MachineTokens({"1": b"a hub key that opens nothing at all"})
AGENT_ENV: Final = {"INVOKER_API_URL": "https://api.example.com", "APP_VERSION": "1"}
_NAMES = re.compile(r"(?<=/apps/)[^/]+|(?<=/machines/)[^/]+|(?<=/volumes/)[^/]+|(?<=/orgs/)[^/]+")
_SIDES = {FLY_HOST: "fly", CLOUDFLARE_HOST: "kv"}
TOO_MANY = 429


class Counted(httpx.AsyncBaseTransport):
    """Counts what goes to the simulators.

    Attributes:
        calls: How many requests, by `fly POST /v1/apps/*/machines`; `agent` for a machine's own.
        too_many: How many answers were 429.
        on_call: Told of every request before it is answered.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.calls: Counter[str] = Counter()
        self.too_many = 0
        self.on_call: Callable[[str], None] = lambda _: None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Count and pass on."""
        side = _SIDES.get(request.url.host, "agent")
        what = side
        if side != "agent":
            what = f"{side} {request.method} {_NAMES.sub('*', request.url.path)}"
        self.calls[what] += 1
        self.on_call(what)
        answer = await self._inner.handle_async_request(request)
        self.too_many += answer.status_code == TOO_MANY
        return answer

    def of(self, side: str) -> int:
        """How many requests went to one side: fly, kv or agent."""
        return sum(number for what, number in self.calls.items() if what.startswith(side))


class World:
    """Simulated clouds on a clock.

    Args:
        clock: The wall time of everything.
        timings: How long things take at Fly.
        limits: Whether the providers' rate limits hold.
    """

    def __init__(
        self, clock: Clock, *, timings: FlyTimings | None = None, limits: bool = False
    ) -> None:
        self.clock = clock
        self.rng = random.Random(0)  # noqa: S311 - to repeat

        def now() -> float:
            return clock.now().timestamp()

        self.runtime = InlineRuntime(now)
        self.fly = FlyCloud(
            now=now,
            rng=self.rng,
            timings=timings or FlyTimings(),
            runtime=self.runtime,
            limits=FlyLimits(enabled=limits),
        )
        self.fly.effects.kept = 0
        self.kv = KV(now=now, rng=self.rng, limits=CloudflareLimits(enabled=limits))
        self.kv.effects.kept = 0
        self.transport = Counted(SimulatorTransport(fly=self.fly, kv=self.kv))

    def load(self, state: dict[str, Any]) -> None:
        """Take over a saved cloud, whose started machines run."""
        self.fly.load(state["fly"])
        self.kv.load(state["kv"])
        for saved in state["fly"]["machines"]:
            machine = self.fly.machines[saved["id"]]
            # Loading counts as a change, and a converged machine has not changed.
            machine.updated_at = saved["updated_at"]
            self.fly.history.put("machine", machine.id, (machine.app, machine_view(machine)))
            self.runtime.machine(machine.id).running = machine.state == "started"

    def dump(self) -> dict[str, Any]:
        """The clouds as JSON."""
        return {"fly": self.fly.dump(), "kv": self.kv.dump()}

    def clouds(self) -> Clouds:
        """The real clients, on the simulators."""
        return Clouds(
            fly=Fly(self.transport, token=self.fly.token, org=self.fly.org),
            kv=WorkersKV(
                self.transport,
                token=self.kv.token,
                account=self.kv.account,
                namespace=self.kv.default,
            ),
            agent=AgentClient(self.transport),
            tokens=TOKENS,
            installation=INSTALLATION,
            agent_env=AGENT_ENV,
            secrets=None,  # type: ignore[arg-type]  # no machine here has any
            fingerprint=lambda value: value.hex(),
            gateways=gateways(self.transport),
        )

    @asynccontextmanager
    async def replica(self, store: Store, pace: Pace | None = None) -> AsyncIterator[Replica]:
        """Run one replica with production's settings for as long as the context lasts."""
        replica = Replica(
            store,
            self.clouds(),
            name="bench",
            public_url=lambda subdomain: f"https://{subdomain}.example.com",
            rng=self.rng,
            pace=pace,
        )
        task = asyncio.create_task(replica.run())
        try:
            yield replica
        finally:
            replica.manager.stop()
            await task
            await self.fly.aclose()


def finished(replica: Replica) -> int:
    """How many reconciles have ended, whatever came of them."""
    return sum(sum(each.stats.results.values()) for each in replica.controllers)


def busy(replica: Replica) -> bool:
    """Whether a key waits or is in hand, other than for its time to come."""
    return any(len(each.queue) or each.queue.taken for each in replica.controllers)
