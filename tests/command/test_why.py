"""`invoker why`, and the table of remedies behind it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from prometheus_client import CollectorRegistry, start_http_server

from controller.failures import MEANINGS
from controller.providers import Breaker, ProviderMetrics
from crds.account import Account, AccountSpec
from crds.cloud_connection import CloudConnection, CloudConnectionSpec
from crds.devenv import DevEnv, DevEnvSpec, DevEnvStatus, MoveStep, ServiceStatus
from crds.machine import Intent, Machine, MachineSpec, MachineStatus, ServiceSpec
from crds.meta import ObjectMeta, Retry
from crds.session import Session, SessionSpec
from crds.store import EventRecord, Store
from crds.vps import GATEWAY, DropletStatus, Vps, VpsIntent, VpsSpec, VpsStatus
from crds.workspace import Workspace, WorkspaceSpec
from deploy.command.docs import COMMAND, OPERATIONS, command_page, operations_page
from deploy.command.explanation import CONVERGED
from deploy.command.remedies import BY_REASON
from tests.command.invoking import Invoker

ROOT = Path(__file__).parents[2]
RAISED = re.compile(r"(?:RetryLater|Blocked|Terminal|_blocked|\w+Error)\(\s*\"([A-Z]\w+)\",")
TOLD = re.compile(
    r"status=(?:True|False), reason=\"(\w+)\"|_be\(scope, \"(\w+)\"|\"(SiteNotFound)\""
)
# What is so while all is well, or while something else is told that has a remedy.
ORDINARY = {"Answers", "Deleting", "Deployed", "Present", "Running", "Telling"}
# What a droplet and what is on it are on the way to what is wished, or when all is well.
ON_THE_WAY = {
    "Authorized",
    "AwaitingFirstHello",
    "Connected",
    "Disconnected",
    "PoweredOff",
    "Starting",
}
REASON = re.compile(r"reason=\"(\w+)\"")
HOW = "change deploy/command (remedies.py for the table), then run python -m deploy.command.docs"
Write = Callable[[Callable[[Store], Any]], Any]


async def _a_machine_without_room(store: Store) -> None:
    """Alice's workspace, whose machine finds no room in its region."""
    account = Account(metadata=ObjectMeta(name="acct"), spec=AccountSpec(email="a@example.com"))
    await store.create(account)
    workspace = await store.create(
        Workspace(
            metadata=ObjectMeta(name="main", namespace="acct"),
            spec=WorkspaceSpec(subdomain="alice"),
        )
    )
    now = store.clock.now()
    status = MachineStatus(
        phase="Creating",
        intent=Intent(operation="volumes.create", since=now - timedelta(minutes=5), attempt=2),
        retry=Retry(
            kind="Retry",
            reason="NoCapacity",
            message="no room in iad",
            attempt=3,
            next_at=now + timedelta(seconds=42, milliseconds=500),
            provider="fly",
            request_id="01ABC-iad",
        ),
    )
    status.set_condition("NoCapacity", status=True, reason="NoCapacity", now=now, generation=1)
    machine = await store.create(
        Machine(
            metadata=ObjectMeta(
                name="main",
                namespace="acct",
                owner_references=[workspace.owner_reference()],
                labels={"invoker.dev/subdomain": "alice"},
            ),
            spec=MachineSpec(account="acct", image="image"),
            status=status,
        )
    )
    for number in range(12):
        await store.events.record(
            [
                EventRecord(
                    *machine.key[1:2],
                    kind="Machine",
                    name="main",
                    uid=machine.uid,
                    type="Warning",
                    reason="NoCapacity",
                    message=f"try {number}",
                    count=1,
                    first_at=now,
                    last_at=now + timedelta(seconds=number),
                )
            ]
        )


@pytest.fixture
def controller() -> Iterator[str]:
    """A controller's metrics, on loopback."""
    registry = CollectorRegistry()
    ProviderMetrics(registry).watch("fly", lambda: 17.0, Breaker())
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_everything_that_is_known(invoker: Invoker, write: Write, controller: str) -> None:
    """The retry, the provider's words and request id, the intent, the relatives, what to do."""
    write(_a_machine_without_room)
    told = invoker("why", "machine", "alice", "--controller", controller).stdout

    for words in (
        "Machine/acct/main: Creating",
        "retry: Retry, NoCapacity, attempt 3, next try in 42 s",
        "last answer: fly: no room in iad (request 01ABC-iad)",
        "intent pending: volumes.create, attempt 2, begun 5 min ago",
        "owner      Workspace/acct/main",
        "fly        17           closed",
        f"what to do: {BY_REASON['NoCapacity'].remedy}",
    ):
        assert words in told
    assert "try 11" in told
    assert "try 1 " not in told


def test_for_programs(invoker: Invoker, write: Write, controller: str) -> None:
    """The same as data."""
    write(_a_machine_without_room)
    told = invoker.json("why", "Machines", "main", "-n", "acct", "--controller", controller)

    assert ("NoCapacity", "01ABC-iad") == (told["retry"]["reason"], told["retry"]["requestId"])
    assert [{"name": "fly", "callsLeft": 17.0, "breaker": "closed"}] == told["providers"]
    assert 10 == len(told["events"])


def test_an_owner_waits_for_its_child(invoker: Invoker, write: Write) -> None:
    """What a machine waits for its workspace waits for too, with the same remedy."""
    write(_a_machine_without_room)
    told = invoker.json("why", "ws", "alice")

    assert "Machine/acct/main: Retry, NoCapacity: no room in iad" in told["waitsFor"]
    assert [BY_REASON["NoCapacity"].remedy] == told["whatToDo"]


async def _a_gateway_without_its_name(store: Store) -> None:
    """Acme's dev environment, whose gateway's name is somebody else's; its database comes up."""
    now = store.clock.now()
    status = DevEnvStatus(
        phase="Provisioning",
        observed_generation=1,
        services=[
            ServiceStatus(name="postgres", machine="acme-erp-pg"),
            ServiceStatus(name="kong", machine="acme-erp-kong"),
        ],
    )
    words = "waits for kong to be well"
    status.set_condition(
        "Ready", status=False, reason="Provisioning", message=words, now=now, generation=1
    )
    devenv = await store.create(
        DevEnv(
            metadata=ObjectMeta(name="acme-erp", namespace="acme"),
            spec=DevEnvSpec(client="acme", app="erp", silo_id="acme-silo"),
            status=status,
        )
    )
    starting, blocked = MachineStatus(phase="Starting"), MachineStatus(phase="Blocked")
    silent = "does not answer yet"
    starting.set_condition(
        "Ready", status=False, reason="Starting", message="wants Running", now=now, generation=1
    )
    starting.set_condition(
        "Healthy", status=False, reason="NotYet", message=silent, now=now, generation=1
    )
    blocked.retry = Retry(kind="Blocked", reason="NameTaken", message="it is another's", attempt=1)
    for service, told in (("pg", starting), ("kong", blocked)):
        name = f"acme-erp-{service}"
        spec = ServiceSpec(app=f"devenv-{name}", network="inv-x")
        meta = ObjectMeta(name=name, namespace="acme", owner_references=[devenv.owner_reference()])
        await store.create(
            Machine(
                metadata=meta,
                spec=MachineSpec(account="acme", image="image", service=spec),
                status=told,
            )
        )


def test_a_dev_environment_waits_for_its_services(invoker: Invoker, write: Write) -> None:
    """Which service it waits for, what that one's Machine says, and what to do about that."""
    write(_a_gateway_without_its_name)
    told = invoker.json("why", "devenv", "acme-silo", "-n", "acme")

    assert [
        "Ready (Provisioning): waits for kong to be well",
        "service kong, Machine/acme/acme-erp-kong: Blocked, NameTaken: it is another's",
        "service postgres, Machine/acme/acme-erp-pg: Starting, NotYet: does not answer yet",
    ] == told["waitsFor"]
    assert [BY_REASON["NameTaken"].remedy] == told["whatToDo"]


def test_a_service_names_its_dev_environment(invoker: Invoker, write: Write) -> None:
    """Whoever begins with a Fly app's name finds whose it is."""
    write(_a_gateway_without_its_name)
    told = invoker("why", "machine", "devenv-acme-erp-kong").stdout

    assert "Machine/acme/acme-erp-kong: Blocked" in told
    assert re.search(r"owner +DevEnv/acme/acme-erp +Provisioning", told)


def test_without_a_controller(invoker: Invoker, write: Write) -> None:
    """A controller that cannot be reached is said, and all else is told."""
    write(_a_machine_without_room)
    result = invoker("why", "ws", "alice", "--controller", "http://127.0.0.1:9")

    assert 0 == result.exit_code
    assert "budgets: not known, no controller answers at http://127.0.0.1:9" in result.stdout


def test_a_broken_spec(invoker: Invoker, write: Write) -> None:
    """An object whose spec an edit by SQL broke is explained, with the field."""

    async def broken(store: Store) -> None:
        await _a_machine_without_room(store)
        await store.database.execute('UPDATE workspaces SET spec = spec || \'{"region": "moon"}\'')

    write(broken)

    assert any(
        "spec.region: must be one of" in line
        for line in invoker.json("why", "ws", "alice")["waitsFor"]
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("pod", "alice"), 2, "unknown kind 'pod'; known are account, authorizedkey"),
        (("ws", "nobody"), 1, "Workspace/nobody does not exist"),
        (("ws", "alice", "-n", "other"), 1, "Workspace/other/alice does not exist"),
    ],
)
def test_refusals(
    invoker: Invoker, write: Write, arguments: tuple[str, ...], code: int, message: str
) -> None:
    """What cannot be found is one line."""
    write(_a_machine_without_room)
    result = invoker("why", *arguments)

    assert (code, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith(f"invoker: {message}")
    assert 1 == len(result.stderr.splitlines())


def test_an_ambiguous_name(invoker: Invoker, write: Write) -> None:
    """Of several objects of a name one has to be chosen, and where they are is told."""

    async def two(store: Store) -> None:
        for account in ("acct", "other"):
            await store.create(
                Workspace(
                    metadata=ObjectMeta(name="main", namespace=account),
                    spec=WorkspaceSpec(subdomain=f"{account}-name"),
                )
            )

    write(two)
    result = invoker("why", "workspace", "main")

    assert 1 == result.exit_code
    assert result.stderr.strip().endswith("say which with -n: acct, other")


def test_pages_are_current() -> None:
    """docs/command.md and the table of docs/operations.md are what the command itself says."""
    operations = OPERATIONS.read_text(encoding="utf-8")

    assert operations_page(operations) == operations, HOW
    assert command_page() == COMMAND.read_text(encoding="utf-8"), HOW


def test_every_reason_has_a_remedy() -> None:
    """Whatever the controllers can put into a status stands in the table."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "controller").rglob("*.py")]
    raised = {reason for source in sources for reason in RAISED.findall(source)}
    meanings = {meaning.reason for meaning in MEANINGS.values()}

    assert {"NoCapacity", "SecretMissing", "DataDiffers"} <= raised | meanings
    assert set() == (raised | meanings) - BY_REASON.keys()


def test_every_trouble_of_a_dev_environment_has_a_remedy() -> None:
    """What its conditions say while they are bad stands in the table, by the reason."""
    sources = [path.read_text("utf-8") for path in (ROOT / "controller" / "devenv").glob("*.py")]
    told = {reason for text in sources for found in TOLD.findall(text) for reason in found}
    moving = set(get_args(MoveStep))

    assert {"CopyFailed", "NoToken", "PrerequisitesMissing"} <= told
    assert set() == (told | moving) - {""} - ORDINARY - BY_REASON.keys()


def test_every_trouble_of_a_vps_has_a_remedy() -> None:
    """What the conditions of VPSs, sessions and keys say stands in the table, by the reason."""
    sources = [
        path.read_text("utf-8")
        for part in ("vps", "gateways")
        for path in (ROOT / "controller" / part).glob("*.py")
    ]
    told = {reason for text in sources for reason in REASON.findall(text)}

    assert {"DropletIsFixed", "ProvisioningTimeout", "GatewayAway"} <= told
    assert set() == told - ORDINARY - ON_THE_WAY - BY_REASON.keys()


def test_a_droplet_that_is_off_waits_for_nothing(invoker: Invoker, write: Write) -> None:
    """That no gateway is there is as wished; a session on it waits for it."""

    async def off(store: Store) -> None:
        vps = await store.create(_vps(store, "Off", gateway="PoweredOff"))
        session = Session(metadata=_named("build"), spec=SessionSpec(vps="one"))
        session.status.phase, session.status.observed_generation = "Waiting", 1
        session.status.set_condition(
            "Ready", status=False, reason="GatewayAway", now=store.clock.now(), generation=1
        )
        session.metadata.owner_references = [vps.owner_reference()]
        await store.create(session)

    write(off)
    vps = invoker.json("why", "vps", "203.0.113.7")
    session = invoker.json("why", "session", "build")

    assert [] == vps["waitsFor"]
    assert [BY_REASON["GatewayAway"].remedy] == session["whatToDo"]
    assert [("child", "build")] == [(each["relation"], each["name"]) for each in vps["relatives"]]
    assert [("owner", "one")] == [(each["relation"], each["name"]) for each in session["relatives"]]


def test_a_session_that_has_ended_ails_no_vps(invoker: Invoker, write: Write) -> None:
    """Nobody is told to delete a VPS because a program on it has returned."""

    async def ended(store: Store) -> None:
        vps = await store.create(_vps(store, "Off", gateway="PoweredOff"))
        session = Session(metadata=_named("build"), spec=SessionSpec(vps="one"))
        session.status.phase, session.status.observed_generation = "Ended", 1
        session.status.set_condition(
            "Ready", status=False, reason="Ended", now=store.clock.now(), generation=1
        )
        session.metadata.owner_references = [vps.owner_reference()]
        await store.create(session)

    write(ended)

    assert [CONVERGED] == invoker.json("why", "vps", "one")["whatToDo"]
    assert [BY_REASON["Ended"].remedy] == invoker.json("why", "session", "build")["whatToDo"]


def test_a_gateway_that_does_not_come_up(invoker: Invoker, write: Write) -> None:
    """The droplet's intent, its connection, and what to do are told."""

    async def late(store: Store) -> None:
        vps = _vps(store, "ProvisioningTimeout", gateway="ProvisioningTimeout")
        vps.status.intent = VpsIntent(operation="Create", since=store.clock.now())
        await store.create(vps)
        await store.create(
            CloudConnection(metadata=_named("digitalocean"), spec=CloudConnectionSpec())
        )

    write(late)
    told = invoker.json("why", "vps", "one")

    assert [BY_REASON["ProvisioningTimeout"].remedy] == told["whatToDo"]
    assert ("Create", "on") == (told["intent"]["operation"], told["relatives"][0]["relation"])
    assert "begun: Create" in invoker("leaks").stdout


def _named(name: str) -> ObjectMeta:
    return ObjectMeta(name=name, namespace="acme")


def _vps(store: Store, phase: str, *, gateway: str) -> Vps:
    now = store.clock.now()
    droplet = DropletStatus(
        id=7, ipv4="203.0.113.7", region="ams3", size="s", image="i", created_at=now
    )
    status = VpsStatus(phase=phase, observed_generation=1, droplet=droplet)
    status.set_condition(GATEWAY, status=False, reason=gateway, now=now, generation=1)
    status.set_condition("Ready", status=phase == "Off", reason=phase, now=now, generation=1)
    return Vps(metadata=_named("one"), spec=VpsSpec(), status=status)
