"""Wishing for a machine."""

import asyncio
from datetime import timedelta

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import format_span_id, format_trace_id

from api.fleet import Tally, tally
from api.rows import TRACEPARENT
from crds.account import Account
from crds.compute import MachineSize
from crds.machine import Restarts
from crds.meta import ObjectMeta, Retry
from crds.platform import PLATFORM, Platform
from crds.route import Route, RouteSpec
from crds.workspace import WORKSPACE, Workspace, WorkspaceSpec
from tests.api.service import Service, User, code_of, problem_of

pytestmark = pytest.mark.anyio


async def workspace_of(service: Service, user: User) -> Workspace:
    """The user's row."""
    return await service.store.get(Workspace, WORKSPACE, user.id)


async def set_platform(service: Service, *, machines: int = 100, usd: float = 500) -> None:
    """Set the fleet's caps."""
    platform = await service.store.get(Platform, PLATFORM)
    platform.spec.caps.machines = machines
    platform.spec.caps.monthly_spend_usd = usd
    await service.store.update(platform)


async def set_state(service: Service, user: User, state: str) -> None:
    """Set the account's state."""
    account = await service.store.get(Account, user.id)
    account.spec.state = state  # type: ignore[assignment]
    await service.store.update(account)


async def test_start_makes_the_workspace(service: Service) -> None:
    """The first start writes a running workspace under the claimed name and answers at once."""
    user = await service.user()
    answer = await service.call(user, "POST", "/api/vm/start")

    workspace = await workspace_of(service, user)
    assert answer.status_code == 202
    assert answer.json() == {
        "status": "creating",
        "url": "https://alice.invoker.test",
        "subdomain": "alice",
    }
    assert workspace.spec == WorkspaceSpec(power="Running", subdomain="alice")


async def test_start_under_another_name(service: Service) -> None:
    """Onboarding may choose a name of its own at the first start."""
    user = await service.user()
    answer = await service.call(user, "POST", "/api/vm/start", {"subdomain": "wonderland"})

    route = await service.store.get(Route, "wonderland")
    assert answer.json()["url"] == "https://wonderland.invoker.test"
    assert route.spec.account == user.id


async def test_twenty_starts_at_once_make_one_workspace(service: Service) -> None:
    """However often and fast somebody clicks, there is one workspace, written once."""
    user = await service.user()
    answers = await asyncio.gather(
        *(service.call(user, "POST", "/api/vm/start", {"subdomain": "hatter"}) for _ in range(20))
    )

    page = await service.store.list(Workspace)
    assert {answer.status_code for answer in answers} == {202}
    assert [item.metadata.generation for item in page.items] == [1]
    assert page.items[0].spec.subdomain == "hatter"


async def test_start_twice_writes_nothing(service: Service) -> None:
    """A repeated start leaves no trace, with or without an Idempotency-Key."""
    user = await service.user()
    await service.call(user, "POST", "/api/vm/start")
    before = await workspace_of(service, user)
    headers = user.headers | {"Idempotency-Key": "4711"}
    answer = await service.client.post("/api/vm/start", headers=headers)

    assert answer.status_code == 202
    assert await workspace_of(service, user) == before


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_bad_idempotency_key(service: Service, key: str) -> None:
    """A key that cannot be one is refused."""
    user = await service.user()
    headers = user.headers | {"Idempotency-Key": key}
    answer = await service.client.post("/api/vm/start", headers=headers)

    assert answer.status_code == 400
    assert code_of(answer) == "invalid-idempotency-key"


async def test_start_without_sign_up_makes_the_account(service: Service) -> None:
    """Somebody who came to Supabase by another way gets account and name from their token."""
    session = service.auth.sign_up("bob@example.com", "password", {"full_name": "Bob Builder"})
    user = User(session["user"]["id"], "", session["access_token"], "")
    answer = await service.call(user, "POST", "/api/vm/start")

    account = await service.store.get(Account, user.id)
    assert answer.json()["subdomain"] == "bob"
    assert (account.spec.first_name, account.spec.last_name) == ("Bob", "Builder")


async def test_stop_and_start_again(service: Service) -> None:
    """Stop and start flip the power and may both be repeated."""
    user = await service.user()
    await service.call(user, "POST", "/api/vm/start")
    stops = [await service.call(user, "DELETE", "/api/vm/stop") for _ in range(2)]
    stopped = await workspace_of(service, user)
    await service.call(user, "POST", "/api/vm/start")

    started = await workspace_of(service, user)
    assert [answer.status_code for answer in stops] == [202, 202]
    assert stops[1].json()["status"] == "stopped"
    assert (stopped.spec.power, stopped.metadata.generation) == ("Stopped", 2)
    assert (started.spec.power, started.metadata.generation) == ("Running", 3)


async def test_start_wakes_a_sleeping_machine(service: Service) -> None:
    """A machine that idled to sleep still has power Running: the wish is a moment, told once."""
    user = await service.user()
    await service.call(user, "POST", "/api/vm/start")
    machine = await service.machine(user, phase="Asleep")
    machine.spec.power = "Asleep"
    await service.store.update(machine)
    await service.call(user, "POST", "/api/vm/start")
    woken = await workspace_of(service, user)
    await service.call(user, "POST", "/api/vm/start")

    assert woken.spec.wake_at is not None
    assert await workspace_of(service, user) == woken


async def test_start_after_stop_counts_as_activity(service: Service) -> None:
    """A machine that was stopped for a day is not put to sleep as soon as it is started."""
    user = await service.user()
    await service.call(user, "POST", "/api/vm/start")
    await service.call(user, "DELETE", "/api/vm/stop")
    await service.call(user, "POST", "/api/vm/start")

    assert (await workspace_of(service, user)).spec.wake_at is not None


async def test_stop_without_machine(service: Service) -> None:
    """There is nothing to stop."""
    user = await service.user()
    answer = await service.call(user, "DELETE", "/api/vm/stop")

    assert code_of(answer) == "no-machine"


async def test_delete_waits_for_the_finalizers(service: Service) -> None:
    """Deletion is asked for once; until all is gone nothing else can be wished."""
    user = await service.user()
    await service.call(user, "POST", "/api/vm/start")
    workspace = await workspace_of(service, user)
    workspace.metadata.finalizers = ["invoker.dev/machine"]
    await service.store.update(workspace)
    answers = [await service.call(user, "DELETE", "/api/vm") for _ in range(2)]
    start = await service.call(user, "POST", "/api/vm/start")

    assert [answer.json()["status"] for answer in answers] == ["deleting", "deleting"]
    assert start.status_code == 409
    assert code_of(start) == "being-deleted"
    assert start.headers["retry-after"] == "5"


async def test_delete_of_nothing_is_done(service: Service) -> None:
    """A repeated deletion that comes after the end is fine."""
    user = await service.user()
    answer = await service.call(user, "DELETE", "/api/vm")

    assert (answer.status_code, answer.json()["status"]) == (202, "none")


async def test_machine_can_be_started_after_deletion(service: Service) -> None:
    """The name is kept for the next machine."""
    user = await service.user()
    await service.call(user, "POST", "/api/vm/start")
    await service.call(user, "DELETE", "/api/vm")
    answer = await service.call(user, "POST", "/api/vm/start")

    assert answer.json()["subdomain"] == "alice"


async def test_taken_name_comes_with_three_free_ones(service: Service) -> None:
    """A taken name is refused with suggestions that are free and good."""
    await service.user("Bob")
    user = await service.user("Alice")
    answer = await service.call(user, "POST", "/api/vm/start", {"subdomain": "bob"})

    body = problem_of(answer)
    again = await service.call(user, "POST", "/api/vm/start", {"subdomain": body["suggestions"][0]})
    assert answer.status_code == 409
    assert len(set(body["suggestions"])) == 3
    assert await service.store.find(Workspace, WORKSPACE, user.id) is not None
    assert again.status_code == 202


async def test_refused_start_makes_nothing(service: Service) -> None:
    """A start with a taken name leaves no workspace behind."""
    await service.user("Bob")
    user = await service.user("Alice")
    await service.call(user, "POST", "/api/vm/start", {"subdomain": "bob"})

    assert await service.store.find(Workspace, WORKSPACE, user.id) is None


@pytest.mark.parametrize(("method", "path"), [("PUT", "subdomain"), ("POST", "start")])
async def test_rename_claims_first(service: Service, method: str, path: str) -> None:
    """A rename claims the new name, then moves the workspace; the old name stays claimed."""
    user = await service.user()
    await service.call(user, "POST", "/api/vm/start")
    answer = await service.call(user, method, f"/api/vm/{path}", {"subdomain": "wonderland"})

    workspace = await workspace_of(service, user)
    held = [(await service.store.get(Route, n)).spec.account for n in ("alice", "wonderland")]
    assert answer.status_code == 202
    assert answer.json()["subdomain"] == "wonderland"
    assert workspace.spec.subdomain == "wonderland"
    assert held == [user.id, user.id]


async def test_rename_without_machine(service: Service) -> None:
    """There is nothing to rename, and no name is claimed."""
    user = await service.user()
    answer = await service.call(user, "PUT", "/api/vm/subdomain", {"subdomain": "wonderland"})

    assert code_of(answer) == "no-machine"
    assert await service.store.find(Route, "wonderland") is None


async def test_two_users_want_one_name(service: Service) -> None:
    """Of two renames to one name exactly one succeeds."""
    users = [await service.user(first) for first in ("Alice", "Bob")]
    for user in users:
        await service.call(user, "POST", "/api/vm/start")
    answers = await asyncio.gather(
        *(service.call(u, "PUT", "/api/vm/subdomain", {"subdomain": "hatter"}) for u in users)
    )

    assert sorted(answer.status_code for answer in answers) == [202, 409]


async def test_names_cannot_be_hoarded(service: Service) -> None:
    """Renaming over and over ends at five names until some are released."""
    user = await service.user()
    await service.call(user, "POST", "/api/vm/start")
    answers = [
        await service.call(user, "PUT", "/api/vm/subdomain", {"subdomain": f"name-{number}"})
        for number in range(5)
    ]
    released = await service.call(user, "DELETE", "/api/routing/alice")
    last = await service.call(user, "PUT", "/api/vm/subdomain", {"subdomain": "name-9"})

    assert [answer.status_code for answer in answers] == [202] * 4 + [409]
    assert code_of(answers[-1]) == "too-many-subdomains"
    assert (released.status_code, last.status_code) == (204, 202)


async def test_release_is_for_the_owner_and_not_for_the_name_in_use(service: Service) -> None:
    """Nobody gives up somebody else's name, nor the one that they stand on; twice is fine."""
    alice, bob = await service.user("Alice"), await service.user("Bob")
    await service.call(alice, "POST", "/api/vm/start", {"subdomain": "wonderland"})
    stolen = await service.call(bob, "DELETE", "/api/routing/alice")
    in_use = await service.call(alice, "DELETE", "/api/routing/wonderland")
    answers = [await service.call(alice, "DELETE", "/api/routing/alice") for _ in range(2)]

    assert code_of(stolen) == "not-your-subdomain"
    assert code_of(in_use) == "subdomain-in-use"
    assert [answer.status_code for answer in answers] == [204, 204]


@pytest.mark.parametrize("state", ["Suspended", "Quarantined"])
async def test_inactive_account_may_not_start(service: Service, state: str) -> None:
    """A suspended or quarantined account is told so."""
    user = await service.user()
    await set_state(service, user, state)
    answer = await service.call(user, "POST", "/api/vm/start")

    assert answer.status_code == 403
    assert code_of(answer) == f"account-{state.lower()}"
    assert await service.store.find(Workspace, WORKSPACE, user.id) is None


async def test_account_quota(service: Service) -> None:
    """An account without room for a workspace gets none."""
    user = await service.user()
    account = await service.store.get(Account, user.id)
    account.spec.quota.workspaces = 0
    await service.store.update(account)
    answer = await service.call(user, "POST", "/api/vm/start")

    assert answer.status_code == 403
    assert code_of(answer) == "quota-exhausted"


async def test_machine_cap_is_never_passed(service: Service) -> None:
    """Of ten that want the last three places three get them, whatever the timing."""
    await set_platform(service, machines=3)
    users = [await service.user(f"User{number}") for number in range(10)]
    answers = await asyncio.gather(*(service.call(user, "POST", "/api/vm/start") for user in users))

    refused = [answer for answer in answers if answer.status_code != 202]
    page = await service.store.list(Workspace)
    assert len(page.items) == 3
    assert {code_of(answer) for answer in refused} == {"fleet-full"}
    assert all("retry-after" in answer.headers for answer in refused)


async def test_full_fleet_still_starts_what_it_has(service: Service) -> None:
    """The cap is on making machines: one that is there can be stopped and started."""
    user = await service.user()
    await service.call(user, "POST", "/api/vm/start")
    await set_platform(service, machines=0)
    await service.call(user, "DELETE", "/api/vm/stop")
    answer = await service.call(user, "POST", "/api/vm/start")

    assert answer.status_code == 202


async def test_spend_cap(service: Service) -> None:
    """The fleet's monthly cost counts every workspace's own size."""
    await set_platform(service, usd=100)
    size = MachineSize(cpu_kind="performance", cpus=2, memory_mb=4096)
    spec = WorkspaceSpec(subdomain="big", size=size, volume_gb=200)
    await service.store.create(
        Workspace(metadata=ObjectMeta(name=WORKSPACE, namespace="big"), spec=spec)
    )
    platform = await service.store.get(Platform, PLATFORM)
    users = [await service.user(first) for first in ("Alice", "Bob")]
    answers = [await service.call(user, "POST", "/api/vm/start") for user in users]

    assert await tally(service.store, platform) == Tally(2, 92 + 5.84)
    assert [answer.status_code for answer in answers] == [202, 409]
    assert code_of(answers[1]) == "spend-cap-reached"


async def test_status_of_nothing(service: Service) -> None:
    """Before the first start there is nothing, not even for a token without an account."""
    user = await service.user()
    answer = await service.call(user, "GET", "/api/vm/status")

    assert answer.json() == {
        "status": "none",
        "url": None,
        "subdomain": None,
        "conditions": [],
        "retry": None,
    }


async def test_status_tells_why(service: Service) -> None:
    """Conditions and the retry's kind, reason, attempt, next try and request id are shown."""
    user = await service.user()
    await service.call(user, "POST", "/api/vm/start")
    now = service.store.clock.now()
    workspace = await workspace_of(service, user)
    workspace.status.set_condition("Ready", False, "Crashing", "it crashes", now=now, generation=1)
    workspace.status.retry = Retry(
        kind="Retry", reason="RateLimited", attempt=3, next_at=now, provider="fly", request_id="r1"
    )
    await service.store.update_status(workspace)
    await service.machine(
        user, phase="Crashed", restarts=Restarts(count=3, next_at=now + timedelta(seconds=30))
    )
    answer = await service.call(user, "GET", "/api/vm/status")

    body = answer.json()
    assert body["status"] == "crashed"
    assert body["conditions"][0]["reason"] == "Crashing"
    assert body["retry"]["request_id"] == "r1"
    assert body["retry"]["attempt"] == 3


class Ended(SpanProcessor):
    """Keeps the spans that ended."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keep it."""
        self.spans.append(span)


async def test_wish_carries_its_trace(service: Service) -> None:
    """The row's annotation names the request's span, which continues the client's trace."""
    user = await service.user()
    ended = Ended()
    service.tracing.add_span_processor(ended)
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await service.client.post("/api/vm/start", headers=user.headers | {"traceparent": parent})

    workspace = await workspace_of(service, user)
    (span,) = ended.spans
    assert span.context is not None
    assert format_trace_id(span.context.trace_id) == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert workspace.metadata.annotations[TRACEPARENT].split("-")[1:3] == [
        format_trace_id(span.context.trace_id),
        format_span_id(span.context.span_id),
    ]
    assert span.name == "POST /api/vm/start"


async def test_adopted_name_is_not_a_redirect(service: Service) -> None:
    """A new machine takes the name that is reserved, not one that redirects elsewhere."""
    user = await service.user()
    for name, redirect in (("aaa", "alice"), ("wonderland", None)):
        spec = RouteSpec(account=user.id, redirect_to=redirect)
        await service.store.create(Route(metadata=ObjectMeta(name=name), spec=spec))
    await service.store.delete(Route, "alice")
    answer = await service.call(user, "POST", "/api/vm/start")

    assert answer.json()["subdomain"] == "wonderland"
