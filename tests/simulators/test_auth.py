from typing import Any

import httpx
import jwt
import pytest

from deploy.local.simulators.auth import SupabaseAuth
from deploy.local.simulators.limits import AuthLimits

pytestmark = pytest.mark.anyio

PAIR = {"email": "a@example.com", "password": "correct horse"}


def _bearer(session: dict[str, Any]) -> dict[str, str]:
    return {"authorization": f"Bearer {session['access_token']}"}


async def _signed_up(supabase: httpx.AsyncClient) -> dict[str, Any]:
    body: dict[str, Any] = (await supabase.post("/signup", json=PAIR)).json()
    return body


async def _refresh(supabase: httpx.AsyncClient, token: str) -> httpx.Response:
    path = "/token?grant_type=refresh_token"
    return await supabase.post(path, json={"refresh_token": token})


async def test_a_token_verifies_against_the_jwks(supabase: httpx.AsyncClient) -> None:
    """ES256, with the claims that Supabase promises."""
    session = await _signed_up(supabase)
    answer = await supabase.get("/.well-known/jwks.json", headers={"apikey": ""})
    key = jwt.PyJWKSet.from_dict(answer.json()).keys[0]
    claims = jwt.decode(
        session["access_token"],
        key.key,
        algorithms=["ES256"],
        audience="authenticated",
        issuer="https://invoker.supabase.co/auth/v1",
    )

    assert answer.headers["cache-control"] == "public, max-age=600"
    assert (claims["role"], claims["email"]) == ("authenticated", PAIR["email"])
    assert claims["sub"] == session["user"]["id"]
    assert {"session_id", "aal", "amr", "is_anonymous"} <= set(claims)


async def test_keys_rotate_without_ending_sessions(
    supabase: httpx.AsyncClient, auth: SupabaseAuth
) -> None:
    """After a rotation both keys are listed and old tokens still verify."""
    session = await _signed_up(supabase)
    auth.keys.rotate()
    listed = (await supabase.get("/.well-known/jwks.json")).json()["keys"]
    user = await supabase.get("/user", headers=_bearer(session))
    auth.keys.revoke_former()
    revoked = await supabase.get("/user", headers=_bearer(session))

    assert (len(listed), user.status_code, revoked.status_code) == (2, 200, 403)


async def test_an_hs256_project_lists_no_keys() -> None:
    """The secret is never published."""
    auth = SupabaseAuth(hs256_secret="s" * 32)
    session = auth.sign_up(PAIR["email"], PAIR["password"])

    assert auth.keys.jwks() == {"keys": []}
    assert jwt.get_unverified_header(session["access_token"])["alg"] == "HS256"
    assert auth.whoami(session["access_token"])[0].email == PAIR["email"]


async def test_the_api_key_is_required(supabase: httpx.AsyncClient) -> None:
    """The gateway refuses without one."""
    answer = await supabase.get("/health", headers={"apikey": "wrong"})

    assert (answer.status_code, answer.json()["message"]) == (401, "Invalid API key")


async def test_a_known_address_is_told_with_autoconfirm(supabase: httpx.AsyncClient) -> None:
    """A second sign-up is refused by name."""
    await _signed_up(supabase)
    answer = await supabase.post("/signup", json=PAIR)

    assert (answer.status_code, answer.headers["x-sb-error-code"]) == (422, "user_already_exists")


async def test_a_known_address_is_hidden_with_confirmation(
    supabase: httpx.AsyncClient, auth: SupabaseAuth
) -> None:
    """A confirmed address answers a fake user; sign-in waits for the confirmation."""
    auth.autoconfirm = False
    first = (await supabase.post("/signup", json=PAIR)).json()
    early = await supabase.post("/token?grant_type=password", json=PAIR)
    auth.confirm(PAIR["email"])
    fake = await supabase.post("/signup", json=PAIR)

    assert "access_token" not in first
    assert early.headers["x-sb-error-code"] == "email_not_confirmed"
    assert (fake.status_code, fake.json()["identities"]) == (200, [])
    assert fake.json()["id"] != first["id"]


async def test_bad_input_is_refused(supabase: httpx.AsyncClient) -> None:
    """A weak password, a bad address and no JSON, each with its code."""
    weak = await supabase.post("/signup", json=PAIR | {"password": "x"})
    address = await supabase.post("/signup", json=PAIR | {"email": "nobody"})
    broken = await supabase.post("/signup", content=b"{")

    assert weak.json()["weak_password"] == {"reasons": ["length"]}
    assert [a.headers["x-sb-error-code"] for a in (weak, address, broken)] == [
        "weak_password",
        "validation_failed",
        "bad_json",
    ]


async def test_errors_come_in_three_shapes(supabase: httpx.AsyncClient) -> None:
    """The old one, the dated one and OAuth's; the header is in all of them."""
    path = "/token?grant_type=password"
    old = await supabase.post(path, json=PAIR)
    dated = await supabase.post(path, json=PAIR, headers={"x-supabase-api-version": "2024-01-01"})
    oauth = await supabase.post("/token?grant_type=pkce", json={})

    assert old.json()["error_code"] == "invalid_credentials"
    assert dated.json()["code"] == "invalid_credentials"
    assert set(oauth.json()) == {"error", "error_description"}
    assert all("x-sb-error-code" in a.headers for a in (old, dated, oauth))


async def test_a_refresh_token_is_used_once(
    supabase: httpx.AsyncClient, auth: SupabaseAuth
) -> None:
    """Again within ten seconds answers the pair in force; later it ends the session."""
    first = await _signed_up(supabase)
    second = (await _refresh(supabase, first["refresh_token"])).json()
    again = await _refresh(supabase, first["refresh_token"])
    now = auth.now()
    auth.now = lambda: now + 11
    reused = await _refresh(supabase, first["refresh_token"])
    dead = await _refresh(supabase, second["refresh_token"])

    assert again.json()["refresh_token"] == second["refresh_token"]
    assert reused.headers["x-sb-error-code"] == "refresh_token_already_used"
    assert dead.headers["x-sb-error-code"] == "refresh_token_not_found"


@pytest.mark.parametrize(
    ("scope", "alive"),
    [("global", [403, 403]), ("local", [403, 200]), ("others", [200, 403])],
)
async def test_logout_ends_what_its_scope_says(
    supabase: httpx.AsyncClient, scope: str, alive: list[int]
) -> None:
    """This session, the others, or all of them."""
    here = await _signed_up(supabase)
    there = (await supabase.post("/token?grant_type=password", json=PAIR)).json()
    answer = await supabase.post(f"/logout?scope={scope}", headers=_bearer(here))
    statuses = [
        (await supabase.get("/user", headers=_bearer(s))).status_code for s in (here, there)
    ]

    assert (answer.status_code, statuses) == (204, alive)


async def test_tokens_expire(supabase: httpx.AsyncClient, auth: SupabaseAuth) -> None:
    """After an hour an access token is refused."""
    session = await _signed_up(supabase)
    now = auth.now()
    auth.now = lambda: now + 3601

    assert (await supabase.get("/user", headers=_bearer(session))).status_code == 403


async def test_a_user_changes_the_password(supabase: httpx.AsyncClient) -> None:
    """The old one is refused afterwards."""
    session = await _signed_up(supabase)
    body = {"password": "battery staple", "data": {"name": "A"}}
    changed = await supabase.put("/user", json=body, headers=_bearer(session))
    old = await supabase.post("/token?grant_type=password", json=PAIR)

    assert changed.json()["user_metadata"] == {"name": "A"}
    assert old.status_code == 400


async def test_the_administrator_bans_and_deletes(
    supabase: httpx.AsyncClient, auth: SupabaseAuth
) -> None:
    """A banned user gets no token; only the service key may do it."""
    session = await _signed_up(supabase)
    path = f"/admin/users/{session['user']['id']}"
    admin = {"authorization": f"Bearer {auth.service_key}"}
    ban = {"ban_duration": "24h"}
    refused = await supabase.put(path, json=ban, headers=_bearer(session))
    await supabase.put(path, json=ban, headers=admin)
    banned = await _refresh(supabase, session["refresh_token"])
    listed = (await supabase.get("/admin/users", headers=admin)).json()["users"]
    await supabase.delete(path, headers=admin)

    assert (refused.status_code, banned.headers["x-sb-error-code"]) == (403, "user_banned")
    assert [user["email"] for user in listed] == [PAIR["email"]]
    assert (await supabase.get(path, headers=admin)).status_code == 404


async def test_sign_in_is_limited_by_address(
    supabase: httpx.AsyncClient, auth: SupabaseAuth
) -> None:
    """Thirty at once from one address, then 429."""
    auth.limits = AuthLimits(enabled=True)
    path = "/token?grant_type=password"
    statuses = [(await supabase.post(path, json={})).status_code for _ in range(31)]
    elsewhere = await supabase.post(path, json={}, headers={"sb-forwarded-for": "192.0.2.1"})

    assert (statuses.count(400), statuses[-1], elsewhere.status_code) == (30, 429, 400)
