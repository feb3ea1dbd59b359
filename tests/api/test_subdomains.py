"""Claiming, renaming and releasing subdomains."""

import asyncio

import pytest

from crds.meta import ObjectMeta
from crds.route import Route, RouteSpec
from crds.workspace import WORKSPACE, Workspace
from tests.api.service import Service, code_of, problem_of

pytestmark = pytest.mark.anyio


async def test_start_under_another_name(service: Service) -> None:
    """Onboarding may choose a name of its own at the first start."""
    user = await service.user()
    answer = await service.call(user, "POST", "/api/vm/start", {"subdomain": "wonderland"})

    route = await service.store.get(Route, "wonderland")
    assert answer.json()["url"] == "https://wonderland.invoker.test"
    assert route.spec.account == user.id


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


@pytest.mark.parametrize(("method", "path"), [("PUT", "subdomain"), ("POST", "start")])
async def test_rename_claims_first(service: Service, method: str, path: str) -> None:
    """A rename claims the new name, then moves the workspace; the old name stays claimed."""
    user = await service.user()
    await service.call(user, "POST", "/api/vm/start")
    answer = await service.call(user, method, f"/api/vm/{path}", {"subdomain": "wonderland"})

    workspace = await service.workspace(user)
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


async def test_adopted_name_is_not_a_redirect(service: Service) -> None:
    """A new machine takes the name that is reserved, not one that redirects elsewhere."""
    user = await service.user()
    for name, redirect in (("aaa", "alice"), ("wonderland", None)):
        spec = RouteSpec(account=user.id, redirect_to=redirect)
        await service.store.create(Route(metadata=ObjectMeta(name=name), spec=spec))
    await service.store.delete(Route, "alice")
    answer = await service.call(user, "POST", "/api/vm/start")

    assert answer.json()["subdomain"] == "wonderland"
