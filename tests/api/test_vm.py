"""Wishing for a machine."""

import asyncio
from datetime import timedelta

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import format_span_id, format_trace_id

from crds.account import Account
from crds.machine import Restarts
from crds.meta import Retry
from crds.tracing import TRACEPARENT
from crds.workspace import WORKSPACE, Workspace, WorkspaceSpec
from tests.api.service import Service, User, code_of

pytestmark = pytest.mark.anyio


async def test_start_makes_the_workspace(service: Service) -> None:
    """The first start writes a running workspace under the claimed name and answers at once."""
    user = await service.user()
    answer = await service.call(user, "POST", "/api/vm/start")

    workspace = await service.workspace(user)
    assert answer.status_code == 202
    assert answer.json() == {
        "status": "creating",
        "url": "https://alice.invoker.test",
        "subdomain": "alice",
    }
    assert workspace.spec == WorkspaceSpec(power="Running", subdomain="alice")


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
    before = await service.workspace(user)
    headers = user.headers | {"Idempotency-Key": "4711"}
    answer = await service.client.post("/api/vm/start", headers=headers)

    assert answer.status_code == 202
    assert await service.workspace(user) == before


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
    stopped = await service.workspace(user)
    await service.call(user, "POST", "/api/vm/start")

    started = await service.workspace(user)
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
    woken = await service.workspace(user)
    await service.call(user, "POST", "/api/vm/start")

    assert woken.spec.wake_at is not None
    assert await service.workspace(user) == woken


async def test_start_after_stop_counts_as_activity(service: Service) -> None:
    """A machine that was stopped for a day is not put to sleep as soon as it is started."""
    user = await service.user()
    await service.call(user, "POST", "/api/vm/start")
    await service.call(user, "DELETE", "/api/vm/stop")
    await service.call(user, "POST", "/api/vm/start")

    assert (await service.workspace(user)).spec.wake_at is not None


async def test_stop_without_machine(service: Service) -> None:
    """There is nothing to stop."""
    user = await service.user()
    answer = await service.call(user, "DELETE", "/api/vm/stop")

    assert code_of(answer) == "no-machine"


async def test_delete_waits_for_the_finalizers(service: Service) -> None:
    """Deletion is asked for once; until all is gone nothing else can be wished."""
    user = await service.user()
    await service.call(user, "POST", "/api/vm/start")
    workspace = await service.workspace(user)
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


async def test_refused_start_makes_nothing(service: Service) -> None:
    """A start with a taken name leaves no workspace behind."""
    await service.user("Bob")
    user = await service.user("Alice")
    await service.call(user, "POST", "/api/vm/start", {"subdomain": "bob"})

    assert await service.store.find(Workspace, WORKSPACE, user.id) is None


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
    workspace = await service.workspace(user)
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

    workspace = await service.workspace(user)
    (span,) = ended.spans
    assert span.context is not None
    assert format_trace_id(span.context.trace_id) == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert workspace.metadata.annotations[TRACEPARENT].split("-")[1:3] == [
        format_trace_id(span.context.trace_id),
        format_span_id(span.context.span_id),
    ]
    assert span.name == "POST /api/vm/start"


async def test_what_users_write_is_in_the_audit(service: Service) -> None:
    """The audit names the user and the request for every write of theirs."""
    user = await service.user()
    answer = await service.call(user, "POST", "/api/vm/start")
    records = await service.store.audit.list()

    assert {(f"user:{user.id}", "api")} == {(record.subject, record.via) for record in records}
    assert {"Account", "Route", "Workspace"} == {record.kind for record in records}
    assert answer.headers["x-request-id"] == records[0].request
