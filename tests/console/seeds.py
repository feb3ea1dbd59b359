"""A fleet as rows: many kinds, many phases, and names that mean harm."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

from crds.account import Account, AccountSpec, AccountState
from crds.compute import MachineSize
from crds.machine import (
    AppStatus,
    InstanceStatus,
    Intent,
    Machine,
    MachineSpec,
    VolumeSpec,
    VolumeStatus,
)
from crds.meta import Condition, ObjectMeta, Retry
from crds.platform import PLATFORM, Platform
from crds.route import Route, RouteEntry, RouteSpec, RouteTarget
from crds.store import Actor, EventRecord, Heartbeat, Store
from crds.workspace import WORKSPACE, Workspace, WorkspaceSpec

NAMESPACE: Final = UUID("6f0f2b5e-8c1d-4a57-9f5d-2b6f6f3b7a10")
FINALIZER: Final = "invoker.dev/controller"
HOSTILE: Final = "<script>alert(1)</script>\"'&"
SECRET: Final = "hunter2-is-not-shown"
IMAGE: Final = "registry.fly.io/counterspell:2026-11-20"


@dataclass(frozen=True, slots=True)
class Citizen:
    """One user and what they have.

    Attributes:
        subdomain: Their subdomain, also what their e-mail address begins with.
        phase: Their machine's phase.
        power: What is wished.
        state: Their account's state.
        retry: Why it has not converged, if it has not.
        ready: What the condition Ready says.
    """

    subdomain: str
    phase: str = "Running"
    power: str = "Running"
    state: AccountState = "Active"
    retry: Retry | None = None
    ready: bool = True

    @property
    def account(self) -> str:
        """The account's name."""
        return str(uuid5(NAMESPACE, self.subdomain))

    @property
    def email(self) -> str:
        """Their e-mail address."""
        return f"{self.subdomain}@example.com"


def citizens(now: datetime) -> list[Citizen]:
    """A small town with everything in it."""
    capacity = Retry(
        kind="Retry",
        reason="NoCapacity",
        message="could not reserve resource for machine: insufficient memory available",
        attempt=4,
        next_at=now + timedelta(seconds=47),
        provider="fly",
        request_id="01JD8ZK3V7-ams",
    )
    blocked = Retry(
        kind="Blocked",
        reason="SpendCapReached",
        message="the platform's monthly spend would pass its cap",
        attempt=1,
        next_at=now + timedelta(minutes=9),
    )
    return [
        *(Citizen(name) for name in ("alice", "bruno", "chiara", "dmitri", "elena")),
        Citizen("farid", "Asleep"),
        Citizen("grace", "Asleep"),
        Citizen("hiro", "Stopped", power="Stopped"),
        Citizen("ines", "Starting", ready=False),
        Citizen("jonas", "Creating", retry=capacity, ready=False),
        Citizen("katya", "Crashed", ready=False),
        Citizen("liam", "Pending", retry=blocked, ready=False),
        Citizen("mallory", "Quarantined", state="Quarantined"),
        Citizen("nadia", "Suspended", state="Suspended"),
        Citizen("otto", "Unreachable", ready=False),
        Citizen("priya", "Updating", ready=False),
    ]


async def settle(store: Store, town: list[Citizen] | None = None) -> None:
    """Write the rows as API and controllers would."""
    now = store.clock.now()
    await _platform(store, now)
    for number, citizen in enumerate(town if town is not None else citizens(now)):
        span = timedelta(minutes=1 + 7 * number)
        await _settle(earlier(store, span), citizen, now - span)


def earlier(store: Store, span: timedelta) -> Store:
    """The same store for what happened a while ago."""
    past = copy(store)
    past.clock = replace(store.clock, anchor=store.clock.anchor - span)
    return past


async def _platform(store: Store, now: datetime) -> None:
    platform = await store.get(Platform, PLATFORM)
    platform.status.phase = "Active"
    platform.status.observed_generation = 1
    platform.status.conditions = [_ready(now, "Active", ready=True)]
    await store.update_status(platform)


async def _settle(store: Store, citizen: Citizen, at: datetime) -> None:
    account = await store.create(
        Account(
            metadata=ObjectMeta(name=citizen.account, finalizers=[FINALIZER]),
            spec=AccountSpec(email=citizen.email, state=citizen.state, plan="Pro"),
        )
    )
    account.status.phase = citizen.state
    account.status.workspaces = 1
    account.status.observed_generation = 1
    account.status.conditions = [_ready(at, "NamespaceReady", ready=True)]
    await store.update_status(account)
    workspace = await _workspace(store, citizen, at)
    machine = await _machine(store, citizen, workspace, at)
    await _route(store, citizen, at)
    await store.heartbeats.record([Heartbeat(machine.uid, at, "ready", "agent 1.4.0", at)])


async def _workspace(store: Store, citizen: Citizen, at: datetime) -> Workspace:
    theirs = store.acting_as(Actor(f"user:{citizen.account}", "account-owner", "api"))
    workspace = await theirs.create(
        Workspace(
            metadata=ObjectMeta(
                name=WORKSPACE,
                namespace=citizen.account,
                finalizers=[FINALIZER],
                annotations={
                    "invoker.dev/traceparent": (
                        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
                    )
                },
            ),
            spec=WorkspaceSpec.model_validate(
                {"subdomain": citizen.subdomain, "power": citizen.power}
            ),
        )
    )
    status = workspace.status
    status.phase = citizen.phase
    status.observed_generation = 1
    status.subdomain = citizen.subdomain
    status.asleep = citizen.phase == "Asleep"
    status.url = f"https://{citizen.subdomain}.invoker.test"
    status.retry = citizen.retry
    status.conditions = [
        _ready(at, citizen.phase, ready=citizen.ready),
        _ready(at - timedelta(seconds=12), "Claimed", ready=True, type_="Routed"),
    ]
    return await store.update_status(workspace)


async def _machine(store: Store, citizen: Citizen, workspace: Workspace, at: datetime) -> Machine:
    power = "Asleep" if citizen.phase == "Asleep" else citizen.power
    machine = await store.create(
        Machine(
            metadata=ObjectMeta(
                name=WORKSPACE,
                namespace=citizen.account,
                finalizers=[FINALIZER],
                labels={"invoker.dev/subdomain": citizen.subdomain},
                owner_references=[workspace.owner_reference()],
            ),
            spec=MachineSpec.model_validate(
                {
                    "account": citizen.account,
                    "image": IMAGE,
                    "power": power,
                    "size": MachineSize().to_json(),
                    "volume": VolumeSpec(size_gb=3).to_json(),
                    "env": {"LOG_LEVEL": "info", "STRIPE_API_KEY": SECRET},
                }
            ),
        )
    )
    status = machine.status
    status.phase = citizen.phase
    status.observed_generation = 1
    status.retry = citizen.retry
    status.conditions = [_ready(at, citizen.phase, ready=citizen.ready)]
    status.app = AppStatus(name=f"inv-{citizen.subdomain}", created_at=at, addresses=True)
    status.volume = VolumeStatus(id="vol_4y9", region="iad", size_gb=1, used=True)
    status.instance = InstanceStatus(id="148e21", state="started", since=at, version="01JD")
    if citizen.phase == "Creating":
        status.intent = Intent(operation="machines.create", since=at, attempt=2)
    return await store.update_status(machine)


async def _route(store: Store, citizen: Citizen, at: datetime) -> None:
    route = await store.create(
        Route(
            metadata=ObjectMeta(name=citizen.subdomain, finalizers=[FINALIZER]),
            spec=RouteSpec(
                account=citizen.account, target=RouteTarget(workspace=WORKSPACE, machine=WORKSPACE)
            ),
        )
    )
    route.status.phase = "Running"
    route.status.observed_generation = 1
    route.status.entry = RouteEntry(
        route=str(route.uid), account=citizen.account, state="running", target="https://10.0.0.1"
    )
    route.status.conditions = [_ready(at, "Published", ready=True)]
    await store.update_status(route)


async def warn(store: Store, citizen: Citizen, reason: str, message: str, count: int = 1) -> None:
    """Record a warning about somebody's machine."""
    machine = await store.get(Machine, WORKSPACE, citizen.account)
    now = store.clock.now()
    await store.events.record(
        [
            EventRecord(
                citizen.account,
                "Machine",
                WORKSPACE,
                machine.uid,
                "Warning",
                reason,
                message,
                count,
                now - timedelta(minutes=5),
                now,
            )
        ]
    )


def _ready(at: datetime, reason: str, *, ready: bool, type_: str = "Ready") -> Condition:
    return Condition(
        type=type_,
        status="True" if ready else "False",
        reason=reason,
        message="" if ready else "wants Running",
        last_transition_time=at,
        observed_generation=1,
    )


async def phase(store: Store, citizen: Citizen, to: str, *, ready: bool = False) -> None:
    """Let somebody's workspace come into another phase."""
    workspace = await store.get(Workspace, WORKSPACE, citizen.account)
    workspace.status.phase = to
    workspace.status.conditions = [_ready(store.clock.now(), to, ready=ready)]
    await store.update_status(workspace)
