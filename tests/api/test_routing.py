"""Where subdomains lead, and how soon news of it are heard."""

import asyncio
from typing import Any

import httpx
import pytest

from api.routing import MAX_ENTRIES, RoutingCache
from crds.account import Account
from crds.meta import ObjectMeta
from crds.route import Route, RouteEntry, RouteSpec
from crds.workspace import WORKSPACE, Workspace
from tests.api.service import EDGE_TOKEN, Service, User, code_of

pytestmark = pytest.mark.anyio


async def ask(service: Service, name: str = "alice", token: str = "") -> httpx.Response:
    """Look a subdomain up."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return await service.client.get(f"/api/routing/{name}", headers=headers)


async def started(service: Service) -> User:
    """A user whose machine was wished for."""
    user = await service.user()
    await service.call(user, "POST", "/api/vm/start")
    return user


async def publish(service: Service, entry: RouteEntry | None) -> None:
    """Write the entry, as the controller does."""
    route = await service.store.get(Route, "alice")
    route.status.entry = entry
    await service.store.update_status(route)


async def eventually(service: Service, status: str | None) -> Any:
    """Ask until the answer has this status; None: until there is none."""
    async with asyncio.timeout(5):
        while True:
            answer = await ask(service, token=EDGE_TOKEN)
            found = answer.json().get("status") if answer.is_success else None
            if found == status:
                return answer.json()
            await asyncio.sleep(0.005)


async def entry_of(service: Service, user: User, **changes: Any) -> RouteEntry:
    """A running machine's entry."""
    route = await service.store.get(Route, "alice")
    values = {"state": "running", "target": "https://a.fly.dev", "machine": "m", "instance": "i"}
    return RouteEntry(route=str(route.uid), account=user.id, **{**values, **changes})


async def test_public_form_and_edge_form(service: Service) -> None:
    """Everybody learns the state; only the edge learns what is behind it."""
    user = await started(service)
    entry = await entry_of(service, user, stamp=7)
    await publish(service, entry)
    await eventually(service, "running")
    answers = [await ask(service, token=token) for token in ("", "wrong", user.token)]
    edge = (await ask(service, token=EDGE_TOKEN)).json()

    public = {"subdomain": "alice", "status": "running", "url": "https://alice.invoker.test"}
    assert [answer.json() | {"entry": None} for answer in answers] == [public | {"entry": None}] * 3
    assert all("entry" not in answer.json() for answer in answers)
    assert edge == public | {"entry": entry.model_dump(mode="json")}
    assert edge["entry"]["redirect"] is None


@pytest.mark.parametrize("name", ["nobody", "A", "a", "--", "www", "x" * 64, "%00", "%ff", "a%2Fb"])
async def test_unknown_name(service: Service, name: str) -> None:
    """A name that nobody has, or nobody can have, is not found."""
    answer = await ask(service, name)

    assert answer.status_code == 404


async def test_reserved_name_leads_nowhere(service: Service) -> None:
    """A claimed name without a machine is not found."""
    await service.user()

    assert code_of(await ask(service)) == "no-such-subdomain"


async def test_machine_never_healthy_yet(service: Service) -> None:
    """Before the edge has an entry the API answers, and a "not found" does not stick."""
    await service.user()
    assert (await ask(service)).status_code == 404
    user = await started(service)
    body = await eventually(service, "starting")

    assert body["entry"]["account"] == user.id
    assert body["entry"]["target"] is None
    await service.call(user, "DELETE", "/api/vm/stop")
    await eventually(service, "stopped")
    await service.call(user, "DELETE", "/api/vm")
    await eventually(service, None)


@pytest.mark.parametrize("state", ["Suspended", "Quarantined"])
async def test_inactive_account(service: Service, state: str) -> None:
    """An account's suspension shows where the edge was told nothing yet."""
    user = await started(service)
    await eventually(service, "starting")
    account = await service.store.get(Account, user.id)
    account.spec.state = state  # type: ignore[assignment]
    await service.store.update(account)

    assert await eventually(service, state.lower())


async def test_old_name_redirects(service: Service) -> None:
    """A renamed machine's old name says where it went."""
    user = await service.user()
    spec = RouteSpec(account=user.id, redirect_to="wonderland")
    await service.store.create(Route(metadata=ObjectMeta(name="old-name"), spec=spec))
    answer = await ask(service, "old-name", EDGE_TOKEN)

    assert answer.json()["status"] == "redirect"
    assert answer.json()["entry"]["redirect"] == "wonderland"


async def test_another_accounts_workspace_does_not_answer(service: Service) -> None:
    """A name leads to its own account's machine and only under the name it goes by."""
    user = await started(service)
    workspace = await service.store.get(Workspace, WORKSPACE, user.id)
    workspace.spec.subdomain = "wonderland"
    await service.store.update(workspace)

    await eventually(service, None)


async def test_repeated_lookups_read_once(service: Service) -> None:
    """A kept answer costs no statement."""
    await started(service)
    await eventually(service, "starting")
    # The watch is quiet from here on: whatever was kept before the news is gone.
    await asyncio.sleep(0.05)
    await ask(service)
    reads = 0
    fetch = service.store.database.fetch

    async def counted(query: str, *parameters: object) -> Any:
        nonlocal reads
        reads += "object_log" not in query
        return await fetch(query, *parameters)

    service.store.database.fetch = counted  # type: ignore[method-assign]
    for _ in range(50):
        assert (await ask(service)).is_success

    assert reads == 0


async def test_change_is_heard(service: Service) -> None:
    """A kept answer is dropped as soon as its row changes."""
    user = await started(service)
    for state in ("running", "asleep", "crashed", "running"):
        await publish(service, await entry_of(service, user, state=state))
        await eventually(service, state)


async def test_without_watch_nothing_is_kept(service: Service) -> None:
    """A cache that cannot hear of changes does not remember."""
    await started(service)
    deaf = RoutingCache(service.store)
    assert await deaf.lookup("alice") is not None
    await service.store.delete(Route, "alice")

    assert await deaf.lookup("alice") is None


async def test_memory_is_bounded(service: Service) -> None:
    """Made-up names do not fill the memory."""
    cache = RoutingCache(service.store)
    cache._watching = True
    for number in range(MAX_ENTRIES + 50):
        cache._keep(f"name-{number}", None, "")

    assert len(cache._kept) == MAX_ENTRIES
    assert len(cache._of_account[""]) == MAX_ENTRIES
