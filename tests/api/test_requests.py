"""Bad input: every refusal is one clear problem that names the field and the rule."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import psycopg
import pytest

from api.requests import MAX_BODY_BYTES
from crds.account import Account
from tests.api.service import PASSWORD, Service, User, code_of, problem_of

pytestmark = pytest.mark.anyio
SECRET = "s3cret-that-must-not-come-back"

GOOD: dict[str, dict[str, Any]] = {
    "/api/auth/register": {
        "email": "alice@example.com",
        "password": PASSWORD,
        "first_name": "Alice",
        "last_name": "Liddell",
    },
    "/api/auth/login": {"email": "alice@example.com", "password": PASSWORD},
    "/api/auth/refresh": {"refresh_token": "token"},
    "/api/auth/logout": {"scope": "local"},
    "/api/vm/start": {"subdomain": "wonderland"},
    "/api/vm/subdomain": {"subdomain": "wonderland"},
}
NEVER: list[Any] = [5, 1.5, True, [], {}, ["a"], {"a": 1}]
NO_EMAIL: list[Any] = [
    "",
    "a",
    "a@b",
    "@b.c",
    "a@b.c ",
    "a b@c.d",
    "a@b..c",
    "a@b.c\n",
    "a\x00@b.c",
    "@",
]
NO_EMAIL += ["a@" + "b" * 300 + ".c", None]
NO_NAME: list[Any] = ["", " ", "\x00", "a\nb", "\u202eevil", "a" * 101, None]
NO_SUBDOMAIN = ["", "ab", "a" * 21, "Alice", "al ice", "-alice", "alice-", "al_ice", "alice.x"]
NO_SUBDOMAIN += ["www", "admin", "xn--abc", "älice", "alice\n", "alice\x00", "٣٣٣"]
WRONG: dict[tuple[str, str], list[Any]] = {
    ("/api/auth/register", "email"): [*NEVER, *NO_EMAIL],
    ("/api/auth/register", "password"): [*NEVER, None, "", "12345", "x" * 73, "é" * 37, "\x00" * 8],
    ("/api/auth/register", "first_name"): [*NEVER, *NO_NAME],
    ("/api/auth/register", "last_name"): [*NEVER, None, "\x00", "a" * 101],
    ("/api/auth/login", "email"): [*NEVER, *NO_EMAIL],
    ("/api/auth/login", "password"): [*NEVER, None, "", "x" * 1001],
    ("/api/auth/refresh", "refresh_token"): [*NEVER, None, "", "x" * 20000, "a\r\nb"],
    ("/api/auth/logout", "scope"): [*NEVER, None, "", "others", "GLOBAL"],
    ("/api/vm/start", "subdomain"): [*NEVER, *NO_SUBDOMAIN],
    ("/api/vm/subdomain", "subdomain"): [*NEVER, None, *NO_SUBDOMAIN],
}
CASES = [(path, field, value) for (path, field), values in WRONG.items() for value in values]
OPTIONAL = {("/api/auth/register", "last_name"), ("/api/auth/logout", "scope")}
OPTIONAL |= {("/api/vm/start", "subdomain")}


@pytest.fixture
async def alice(service: Service) -> User:
    """Somebody signed in."""
    return await service.user()


async def send(service: Service, user: User, path: str, **how: Any) -> httpx.Response:
    """Send a body to where it belongs."""
    method = "PUT" if path == "/api/vm/subdomain" else "POST"
    headers = user.headers | how.pop("headers", {})
    return await service.client.request(method, path, headers=headers, **how)


def fields_of(answer: httpx.Response) -> list[str]:
    """The fields that a problem names; each has a rule."""
    errors = problem_of(answer)["errors"]
    assert all(error["rule"] for error in errors)
    return [error["field"] for error in errors]


async def test_every_wrong_field(service: Service, alice: User) -> None:
    """Each field, set to anything that it must not be, is refused by name, and never repeated."""
    for path, field, value in CASES:
        answer = await send(service, alice, path, json=GOOD[path] | {field: value})

        case = f"{path} {field} {value!r}: {answer.text}"
        assert answer.status_code == 422, case
        assert fields_of(answer) == [field], case
        if isinstance(value, str) and len(value) > 3:
            assert value.strip() not in answer.text.replace(answer.json()["instance"], ""), case


async def test_every_missing_field(service: Service, alice: User) -> None:
    """Each field that must be there is missed by name."""
    for path, field in WRONG.keys() - OPTIONAL:
        body = {k: v for k, v in GOOD[path].items() if k != field}
        answer = await send(service, alice, path, json=body)

        assert answer.status_code == 422
        assert fields_of(answer) == [field]


async def test_all_wrong_fields_at_once(service: Service) -> None:
    """Nobody has to find errors one by one."""
    body = {"email": "x", "password": "", "first_name": "", "last_name": 5, "plan": "Pro"}
    answer = await service.client.post("/api/auth/register", json=body)

    assert set(fields_of(answer)) == body.keys()


@pytest.mark.parametrize("path", GOOD)
async def test_unknown_field(service: Service, alice: User, path: str) -> None:
    """A field that nobody knows is refused by name, its value kept quiet."""
    answer = await send(service, alice, path, json=GOOD[path] | {"region": SECRET})

    assert fields_of(answer) == ["region"]
    assert SECRET not in answer.text


async def test_long_unknown_field_is_cut(service: Service) -> None:
    """A field's name is not a way to have us repeat a novel."""
    body = GOOD["/api/auth/login"] | {"x\n" * 10000: 1}
    answer = await service.client.post("/api/auth/login", json=body)

    assert [len(field) for field in fields_of(answer)] == [100]


@pytest.mark.parametrize(
    "text", ["", "{", "nul", '{"a": 1,}', "{'a': 1}", "\xff", '{"email": "\\ud800"}', "[" * 30000]
)
@pytest.mark.parametrize("path", ["/api/auth/login", "/api/vm/subdomain"])
async def test_malformed_json(service: Service, alice: User, path: str, text: str) -> None:
    """What is no JSON is refused as such."""
    headers = {"Content-Type": "application/json"}
    answer = await send(service, alice, path, content=text.encode("latin-1"), headers=headers)

    assert answer.status_code == 400
    assert code_of(answer) == "malformed-json"


@pytest.mark.parametrize("text", ["[]", "5", '"text"', "null", "true"])
async def test_body_that_is_no_object(service: Service, alice: User, text: str) -> None:
    """JSON that is no object is refused."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = await send(service, alice, "/api/auth/login", content=text, headers=headers)

    assert fields_of(answer) == ["body"]


@pytest.mark.parametrize(
    "media_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
)
async def test_other_media_types(service: Service, media_type: str) -> None:
    """A body is JSON and says so."""
    answer = await service.client.post(
        "/api/auth/login", content=b"{}", headers={"Content-Type": media_type}
    )

    assert code_of(answer) == "unsupported-media-type"


@pytest.mark.parametrize("announced", [True, False])
async def test_oversized_body(service: Service, *, announced: bool) -> None:
    """A body beyond 64 KiB is refused, whether its length is told or not."""

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(65):
            yield b" " * 1024

    content = b" " * (MAX_BODY_BYTES + 1) if announced else stream()
    headers = {"Content-Type": "application/json"}
    answer = await service.client.post("/api/auth/login", content=content, headers=headers)

    assert answer.status_code == 413
    assert code_of(answer) == "body-too-large"


@pytest.mark.parametrize(
    "path",
    ["/", "/api", "/api/", "/api/vm/status/", "/api/machines/", "/nope", "/api//vm", "/api/%00"],
)
async def test_unknown_path(service: Service, path: str) -> None:
    """What is not there is a problem too, with a well-formed instance."""
    answer = await service.client.get(path)

    assert answer.status_code == 404
    assert code_of(answer) == "not-found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/vm/start", "POST"),
        ("POST", "/api/vm", "DELETE"),
        ("PATCH", "/api/routing/alice", "DELETE, GET, HEAD"),
        ("POST", "/health", "GET, HEAD"),
        ("BREW", "/api/auth/login", "POST"),
        ("OPTIONS", "/api/machines", "GET, HEAD"),
    ],
)
async def test_wrong_method(service: Service, method: str, path: str, allowed: str) -> None:
    """A wrong method is told the right ones."""
    answer = await service.client.request(method, path)

    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    assert code_of(answer) == "method-not-allowed"


GUARDED = [
    ("POST", "/api/vm/start"),
    ("GET", "/api/vm/status"),
    ("DELETE", "/api/vm/stop"),
    ("DELETE", "/api/vm"),
    ("PUT", "/api/vm/subdomain"),
    ("GET", "/api/machines"),
    ("GET", "/api/machines/x"),
    ("DELETE", "/api/routing/alice"),
    ("POST", "/api/auth/logout"),
]


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Basic YTpi", f"Bearer {SECRET}", SECRET]
)
async def test_no_entry_without_token(
    service: Service, method: str, path: str, authorization: str | None
) -> None:
    """Without a valid token nothing opens, and the token is not repeated."""
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = await service.client.request(method, path, headers=headers)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert SECRET not in answer.text


async def test_keys_out_of_reach(service: Service, alice: User) -> None:
    """Without Supabase's keys nothing is said about a token, only to come back."""
    service.supabase.down = True
    answer = await service.call(alice, "GET", "/api/vm/status")

    assert answer.status_code == 503
    assert "retry-after" in answer.headers


async def test_database_out_of_reach(
    service: Service, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that does not answer is a problem to come back from, without its words."""

    async def fail(*_: Any, **__: Any) -> Any:
        raise psycopg.OperationalError(f"connection to {SECRET} failed")

    monkeypatch.setattr(service.store, "find", fail)
    answer = await service.call(alice, "GET", "/api/vm/status")

    assert answer.status_code == 503
    assert code_of(answer) == "database-unavailable"
    assert SECRET not in answer.text


async def test_defect(service: Service, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own mistakes are answered with a problem and tell nothing of themselves."""

    async def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(service.store, "find", fail)
    answer = await service.call(alice, "GET", "/api/vm/status")

    assert answer.status_code == 500
    assert code_of(answer) == "internal-error"
    assert SECRET not in answer.text


async def test_broken_row(service: Service, alice: User) -> None:
    """A row broken by plain SQL is not blamed on the client."""
    await service.store.database.execute(
        'UPDATE accounts SET spec = spec || \'{"plan": "Gold"}\' WHERE name = %s', alice.id
    )
    answer = await service.call(alice, "GET", "/api/vm/status")

    assert answer.status_code == 500
    assert code_of(answer) == "broken-row"


async def test_deleted_account_is_told(service: Service, alice: User) -> None:
    """An account on its way out starts nothing."""
    account = await service.store.get(Account, alice.id)
    account.metadata.finalizers = ["invoker.dev/account"]
    await service.store.update(account)
    await service.store.delete(Account, alice.id)
    answer = await service.call(alice, "POST", "/api/vm/start")

    assert code_of(answer) == "account-deleted"
