"""What stands for `supabase/gotrue`: a real process on a real database."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest

from deploy.local.services import tokens
from deploy.local.services.cluster import Cluster
from tests.support.services import SECRET, address, database, free_port, running, start, token

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """The database."""
    with database() as own:
        yield own


@contextmanager
def _serving(cluster: Cluster, **more: str) -> Iterator[httpx.Client]:
    port = free_port()
    variables = {
        "PORT": str(port),
        "GOTRUE_DB_DATABASE_URL": address(cluster, "supabase_auth_admin"),
        "GOTRUE_JWT_SECRET": SECRET,
        "GOTRUE_JWT_EXP": "1800",
        "GOTRUE_SITE_URL": "http://localhost:3000",
        "API_EXTERNAL_URL": "http://kong.test",
        "GOTRUE_MAILER_AUTOCONFIRM": "true",
    }
    with (
        running("gotrue", variables | more),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def auth(cluster: Cluster) -> Iterator[httpx.Client]:
    """The service, asked by HTTP; who signs up is confirmed at once."""
    with _serving(cluster) as client:
        yield client


def _sign_up(auth: httpx.Client, email: str) -> dict[str, Any]:
    body = {"email": email, "password": PASSWORD, "data": {"name": "A. User"}}
    session: dict[str, Any] = auth.post("/signup", json=body).raise_for_status().json()
    return session


def _bearer(session: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {session['access_token']}"}


def test_health(auth: httpx.Client) -> None:
    """The health endpoint answers as GoTrue's."""
    assert "GoTrue" == auth.get("/health").json()["name"]


def test_sign_up_and_in(cluster: Cluster, auth: httpx.Client) -> None:
    """Who signed up comes in with the password, in any case of the address, and is in the table."""
    made = _sign_up(auth, "Alice@Example.com")
    body = {"email": "ALICE@example.com", "password": PASSWORD}
    session = auth.post("/token?grant_type=password", json=body).json()
    claims = tokens.verify(session["access_token"], SECRET, "authenticated")
    with psycopg.connect(cluster.url()) as connection:
        row = connection.execute(
            "select id::text, encrypted_password from auth.users where email = 'alice@example.com'"
        ).fetchone()

    assert (made["user"]["id"], "authenticated", "alice@example.com") == (
        claims["sub"],
        claims["role"],
        claims["email"],
    )
    assert 1790 <= claims["exp"] - time.time() <= 1800
    assert "http://kong.test" == claims["iss"]
    assert {"name": "A. User"} == claims["user_metadata"]
    assert row is not None
    assert claims["sub"] == row[0]
    assert PASSWORD not in row[1]


def test_user(auth: httpx.Client) -> None:
    """A token shows its user, and what is not a token nobody."""
    session = _sign_up(auth, "bob@example.com")
    shown = auth.get("/user", headers=_bearer(session))
    nobody = auth.get("/user")
    forged = auth.get("/user", headers={"Authorization": f"Bearer {token('x', SECRET[::-1])}"})
    expired = auth.get("/user", headers={"Authorization": f"Bearer {token('x', age=7200)}"})

    assert "bob@example.com" == shown.json()["email"]
    assert [401, 401, 401] == [nobody.status_code, forged.status_code, expired.status_code]


def test_refresh(auth: httpx.Client) -> None:
    """A refresh token is good once; shown a second time it ends the session."""
    session = _sign_up(auth, "carol@example.com")

    def refresh(refresh_token: str) -> httpx.Response:
        return auth.post("/token?grant_type=refresh_token", json={"refresh_token": refresh_token})

    first = refresh(session["refresh_token"])
    again = refresh(session["refresh_token"])
    following = refresh(first.json()["refresh_token"])

    assert 200 == first.status_code
    assert (400, "Invalid Refresh Token: Already Used") == (
        again.status_code,
        again.json()["error_description"],
    )
    assert "Invalid Refresh Token: Refresh Token Not Found" == following.json()["error_description"]


@pytest.mark.parametrize(
    ("scope", "left"), [("global", [400, 400]), ("local", [400, 200]), ("others", [200, 400])]
)
def test_log_out(auth: httpx.Client, scope: str, left: list[int]) -> None:
    """Logging out ends the sessions of its scope: their refresh tokens are no good."""
    mine = _sign_up(auth, f"{scope}@example.com")
    body = {"email": f"{scope}@example.com", "password": PASSWORD}
    other = auth.post("/token?grant_type=password", json=body).json()
    done = auth.post(f"/logout?scope={scope}", headers=_bearer(mine))
    found = [
        auth.post("/token?grant_type=refresh_token", json={"refresh_token": s["refresh_token"]})
        for s in (mine, other)
    ]

    assert 204 == done.status_code
    assert left == [answer.status_code for answer in found]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/signup", {"email": "no address", "password": PASSWORD}, 422, "invalid format"),
        ("/signup", {"email": "a@b.test"}, 422, "valid password"),
        ("/signup", {"email": "a@b.test", "password": "short"}, 422, "at least 6"),
        ("/signup", [], 400, "Could not parse"),
        ("/signup", {"email": "a@b.test", "password": PASSWORD, "data": {"a": "\0"}}, 400, "parse"),
        (
            "/token?grant_type=password",
            {"email": "a@b.test", "password": "x"},
            400,
            "Invalid login",
        ),
        ("/token?grant_type=password", {"email": "\0", "password": "x"}, 400, "Invalid login"),
        ("/token?grant_type=refresh_token", {"refresh_token": "x"}, 400, "Not Found"),
        ("/token?grant_type=magic", {}, 400, "unsupported_grant_type"),
        ("/logout", {}, 401, "Bearer token"),
    ],
)
def test_refusals(auth: httpx.Client, path: str, body: Any, status: int, words: str) -> None:
    """What is wrong is refused with GoTrue's status and words."""
    answer = auth.post(path, json=body)

    assert status == answer.status_code
    assert words in answer.text


def test_taken_address(auth: httpx.Client) -> None:
    """An address has one user, and the wrong password is not told from an unknown address."""
    _sign_up(auth, "dan@example.com")
    again = auth.post("/signup", json={"email": "DAN@example.com", "password": "another"})
    wrong = auth.post(
        "/token?grant_type=password", json={"email": "dan@example.com", "password": "another"}
    )

    assert (400, "User already registered") == (again.status_code, again.json()["msg"])
    assert (400, "Invalid login credentials") == (
        wrong.status_code,
        wrong.json()["error_description"],
    )


@pytest.mark.slow
def test_switches(cluster: Cluster) -> None:
    """Without confirmation at once nobody comes in; without sign-up nobody is added.

    Slow: two more processes start.
    """
    body = {"email": "eve@example.com", "password": PASSWORD}
    with _serving(cluster, GOTRUE_MAILER_AUTOCONFIRM="false") as auth:
        made = auth.post("/signup", json=body)
        unconfirmed = auth.post("/token?grant_type=password", json=body)
    with _serving(cluster, GOTRUE_DISABLE_SIGNUP="true") as auth:
        closed = auth.post("/signup", json=body)

    assert (200, None) == (made.status_code, made.json().get("access_token"))
    assert "Email not confirmed" == unconfirmed.json()["error_description"]
    assert 403 == closed.status_code


def test_bad_environment() -> None:
    """All that is wrong is said at once, and no value is."""
    process = start("gotrue", {"GOTRUE_JWT_SECRET": "hidden", "GOTRUE_JWT_EXP": "soon"})
    _, words = process.communicate(timeout=20)

    assert process.returncode == 1
    for name in ("PORT", "GOTRUE_DB_DATABASE_URL or DATABASE_URL", "GOTRUE_JWT_SECRET"):
        assert f"  {name}: " in words
    assert "GOTRUE_JWT_EXP: must be a whole number" in words
    assert "hidden" not in words
