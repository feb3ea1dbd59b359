"""Signing up, signing in, signing out."""

import asyncio

import httpx
import pytest

from api.supabase import error_code
from crds.account import Account
from crds.route import Route
from deploy.local.simulators.auth import SupabaseAuth
from tests.api.service import PASSWORD, Service, code_of, problem_of, serving

pytestmark = pytest.mark.anyio


async def login(service: Service, password: str = PASSWORD) -> httpx.Response:
    """Sign Alice in."""
    body = {"email": "alice@example.com", "password": password}
    return await service.client.post("/api/auth/login", json=body)


async def test_register_makes_account_and_subdomain(service: Service) -> None:
    """A new user has tokens, an account of their own and a name from their first name."""
    answer = await service.register()

    assert answer.status_code == 201
    body = answer.json()
    account = await service.store.get(Account, body["user"]["id"])
    route = await service.store.get(Route, "alice")
    assert body["subdomain"] == "alice"
    assert account.spec.email == "alice@example.com"
    assert route.spec.account == body["user"]["id"]
    assert body["access_token"]
    assert body["refresh_token"]
    assert body["expires_in"] == 3600


async def test_register_again_is_the_same_user(service: Service) -> None:
    """Repeating a sign-up with the same password gives a session of the same user and name."""
    first, second = await service.register(), await service.register()

    assert second.status_code == 201
    assert first.json()["user"] == second.json()["user"]
    assert second.json()["subdomain"] == "alice"


@pytest.mark.parametrize("lost", ["account", "route", "both"])
async def test_register_completes_what_a_crash_left_out(service: Service, lost: str) -> None:
    """A user without an account row, a route, or both gets them on the next try."""
    user = await service.user()
    if lost in ("account", "both"):
        await service.store.delete(Account, user.id)
    if lost in ("route", "both"):
        await service.store.delete(Route, "alice")

    again = await service.user()

    assert again.id == user.id
    assert again.subdomain == "alice"
    assert await service.store.find(Account, user.id) is not None
    assert await service.store.find(Route, "alice") is not None


async def test_register_known_address_with_other_password(service: Service) -> None:
    """Somebody else's address is refused with Supabase's own word and nothing more."""
    await service.user()
    body = {"email": "alice@example.com", "password": "something else", "first_name": "Eve"}
    answer = await service.client.post("/api/auth/register", json=body)

    assert answer.status_code == 409
    assert code_of(answer) == "already-registered"
    assert "something else" not in answer.text


async def test_same_first_name_at_once_gives_two_names(service: Service) -> None:
    """Two people of one name who sign up at the same moment get two subdomains."""
    emails = [f"alice{number}@example.com" for number in range(6)]
    users = await asyncio.gather(*(service.user("Alice", email) for email in emails))

    names = [user.subdomain for user in users]
    owners = [(await service.store.get(Route, name)).spec.account for name in names]
    assert len(set(names)) == 6
    assert owners == [user.id for user in users]
    assert "alice" in names


async def test_same_user_twice_at_once_gives_one_name(service: Service) -> None:
    """A double click on "sign up" makes one account with one subdomain."""
    await service.register()
    answers = await asyncio.gather(*(service.register() for _ in range(5)))

    routes = await service.store.list(Route)
    assert {answer.json()["subdomain"] for answer in answers} == {"alice"}
    assert len(routes.items) == 1


async def test_unconfirmed_sign_up_has_no_session_and_no_rows(database_url: str) -> None:
    """Where addresses are confirmed, a sign-up says so and squats no name."""
    async with serving(database_url, SupabaseAuth(autoconfirm=False)) as service:
        answer = await service.register()
        routes = await service.store.list(Route)

    assert answer.status_code == 201
    assert answer.json()["reason"] == "email_confirmation_required"
    assert answer.json()["access_token"] is None
    assert routes.items == []


async def test_unconfirmed_sign_up_hides_who_is_known(database_url: str) -> None:
    """A wrong password for a known address looks exactly like a new address."""
    async with serving(database_url, SupabaseAuth(autoconfirm=False)) as service:
        await service.register()
        service.auth.confirm("alice@example.com")
        body = {"email": "alice@example.com", "password": "something else", "first_name": "Eve"}
        known = await service.client.post("/api/auth/register", json=body)
        new = await service.client.post(
            "/api/auth/register", json=body | {"email": "eve@example.com"}
        )

    told = known.json() | {"user": known.json()["user"] | {"email": "eve@example.com"}}
    assert known.status_code == new.status_code
    assert told == new.json()


async def test_login_after_confirmation_makes_the_rows(database_url: str) -> None:
    """The first sign-in of a confirmed user completes what the sign-up could not make."""
    async with serving(database_url, SupabaseAuth(autoconfirm=False)) as service:
        await service.register()
        early = await login(service)
        service.auth.confirm("alice@example.com")
        answer = await login(service)

    assert code_of(early) == "email-not-confirmed"
    assert answer.status_code == 200
    assert answer.json()["subdomain"] == "alice"
    assert answer.json()["user"]["first_name"] == "Alice"


async def test_login_wrong_password(service: Service) -> None:
    """A wrong password and an unknown address are refused in the same words."""
    await service.user()
    wrong = await login(service, "wrong horse")
    body = {"email": "nobody@example.com", "password": "wrong horse"}
    unknown = await service.client.post("/api/auth/login", json=body)

    assert wrong.status_code == 401
    assert problem_of(wrong) == problem_of(unknown)
    assert wrong.headers["www-authenticate"] == "Bearer"
    assert "horse" not in wrong.text


async def test_banned_user_cannot_sign_in(service: Service) -> None:
    """Supabase's ban is told as such."""
    user = await service.user()
    service.auth.admin_change(user.id, {"ban_duration": "24h"})

    answer = await login(service)

    assert answer.status_code == 403
    assert code_of(answer) == "account-banned"


async def test_refresh_gives_new_tokens(service: Service) -> None:
    """A refresh token buys one new session; a made-up one none."""
    user = await service.user()
    body = {"refresh_token": user.refresh_token}
    answer = await service.client.post("/api/auth/refresh", json=body)
    bad = await service.client.post("/api/auth/refresh", json={"refresh_token": "made-up"})

    assert answer.status_code == 200
    assert answer.json()["subdomain"] == "alice"
    assert answer.json()["refresh_token"] != user.refresh_token
    assert bad.status_code == 401
    assert "made-up" not in bad.text


async def test_logout_ends_the_session_and_may_be_repeated(service: Service) -> None:
    """After signing out the refresh token is worthless, and signing out again is no error."""
    user = await service.user()
    first = await service.call(user, "POST", "/api/auth/logout")
    second = await service.call(user, "POST", "/api/auth/logout")
    body = {"refresh_token": user.refresh_token}
    refreshed = await service.client.post("/api/auth/refresh", json=body)

    assert (first.status_code, second.status_code) == (204, 204)
    assert refreshed.status_code == 401


async def test_global_logout_refuses_access_tokens_at_once(service: Service) -> None:
    """Signing out everywhere does not wait for access tokens to expire."""
    user = await service.user()
    answer = await service.call(user, "POST", "/api/auth/logout", {"scope": "global"})
    after = await service.call(user, "GET", "/api/vm/status")

    assert answer.status_code == 204
    assert after.status_code == 401
    assert "revoked" in problem_of(after)["detail"]


@pytest.mark.parametrize("path", ["register", "login", "refresh"])
async def test_supabase_down(service: Service, path: str) -> None:
    """While Supabase is down, clients are told to come back."""
    bodies = {
        "register": {"email": "a@example.com", "password": PASSWORD, "first_name": "A"},
        "login": {"email": "a@example.com", "password": PASSWORD},
        "refresh": {"refresh_token": "x"},
    }
    service.supabase.down = True
    answer = await service.client.post(f"/api/auth/{path}", json=bodies[path])

    assert answer.status_code == 503
    assert code_of(answer) == "auth-unavailable"
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (429, {"retry-after": "7"}, {"code": 429, "msg": "slow"}, (429, "too-many-requests")),
        (500, {}, {"msg": "boom"}, (503, "auth-unavailable")),
        (401, {}, {"message": "Invalid API key"}, (503, "auth-unavailable")),
        (
            422,
            {"x-sb-error-code": "weak_password"},
            {"weak_password": {"reasons": ["pwned"]}},
            (422, "invalid-request"),
        ),
        (403, {}, {"error_code": "signup_disabled"}, (403, "sign-up-closed")),
        (200, {}, {"access_token": 5}, (503, "auth-unavailable")),
        (200, {}, [], (503, "auth-unavailable")),
    ],
)
async def test_supabase_refusals(
    service: Service,
    status: int,
    headers: dict[str, str],
    body: object,
    expected: tuple[int, str],
) -> None:
    """Every refusal of Supabase becomes one of ours; 429 keeps its Retry-After."""
    service.supabase.inner = httpx.MockTransport(
        lambda _: httpx.Response(status, headers=headers, json=body)
    )
    answer = await service.register()

    assert (answer.status_code, code_of(answer)) == expected
    if status == 429:
        assert answer.headers["retry-after"] == "7"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"x-sb-error-code": "invalid_credentials"}, {"error": "invalid_grant"}),
        ({}, {"code": 400, "error_code": "invalid_credentials", "msg": "…"}),
        ({}, {"code": "invalid_credentials", "message": "…"}),
        ({}, {"error": "invalid_grant", "error_description": "Invalid login credentials"}),
    ],
)
async def test_error_shapes(headers: dict[str, str], body: dict[str, object]) -> None:
    """All three of Supabase's error shapes, and its oldest words, give the same code."""
    assert error_code(httpx.Headers(headers), body) == "invalid_credentials"
