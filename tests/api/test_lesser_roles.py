"""Users to whom their issuer gives a role that may do less than an owner."""

from __future__ import annotations

from dataclasses import replace

import pytest

from api.requests import LESSER
from tests.api.service import PASSWORD, Service, User, code_of

pytestmark = pytest.mark.anyio

OWNERS_WISHES = (
    ("POST", "/api/vm/start"),
    ("GET", "/api/vm/status"),
    ("DELETE", "/api/vm/stop"),
    ("PUT", "/api/vm/subdomain"),
    ("DELETE", "/api/vm"),
    ("GET", "/api/machines"),
    ("GET", "/api/machines/7a5e4a8e-0000-4000-8000-000000000000"),
    ("DELETE", "/api/routing/alice"),
)


async def _in_role(service: Service, role: str) -> User:
    """Somebody who has signed in since their issuer gave them a role."""
    alice = await service.user()
    user = next(each for each in service.auth.users.values() if each.id == alice.id)
    user.app_metadata = {**user.app_metadata, "invoker_role": role}
    body = {"email": user.email, "password": PASSWORD}
    session = (await service.client.post("/api/auth/login", json=body)).json()
    return replace(alice, token=session["access_token"])


@pytest.mark.parametrize("role", sorted(LESSER))
async def test_lesser_roles_own_nothing(service: Service, role: str) -> None:
    """Who is an agent is so everywhere: neither machine nor disk of the account is theirs."""
    agent = await _in_role(service, role)
    body = {"subdomain": "bob"}
    answers = [
        await service.call(agent, method, path, body if method == "PUT" else None)
        for method, path in OWNERS_WISHES
    ]

    assert [403] * len(answers) == [answer.status_code for answer in answers]
    assert {"role-not-allowed"} == {code_of(answer) for answer in answers}


@pytest.mark.parametrize("role", ["platform-admin", "support", "account-owner", "unheard-of"])
async def test_other_users_own_their_account(service: Service, role: str) -> None:
    """Whoever operates the installation has an account like everybody."""
    user = await _in_role(service, role)
    answer = await service.call(user, "POST", "/api/vm/start")

    assert 202 == answer.status_code


async def test_everybody_may_sign_out(service: Service) -> None:
    """To leave takes no role."""
    agent = await _in_role(service, "clientele")
    answer = await service.call(agent, "POST", "/api/auth/logout")

    assert 204 == answer.status_code
