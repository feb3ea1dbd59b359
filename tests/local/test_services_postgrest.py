"""What stands for `postgrest/postgrest`: a real process on a real database."""

from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from deploy.local.services.cluster import Cluster
from tests.support.services import SECRET, address, database, free_port, running, start, token

ALICE = "11111111-1111-1111-1111-111111111111"
BOB = "22222222-2222-2222-2222-222222222222"
TABLES = """
create table public.projects (
  id int primary key, name text not null, owner uuid default auth.uid(), stars numeric, done boolean
);
alter table public.projects enable row level security;
create policy seen on public.projects for select using (owner = auth.uid() or name like 'open%');
create policy made on public.projects for insert to authenticated with check (owner = auth.uid());
create policy changed on public.projects for all to authenticated using (owner = auth.uid());
insert into public.projects values
  (1, 'open house', '11111111-1111-1111-1111-111111111111', 1.5, true),
  (2, 'alice, too', '11111111-1111-1111-1111-111111111111', null, false),
  (3, 'bob''s', '22222222-2222-2222-2222-222222222222', 3, null);
create table public.secret (id int);
revoke all on public.secret from anon, authenticated;
create table public."odd %s name" ("a%s" int, "b" text);
insert into public."odd %s name" values (7, 'seven');
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """The database."""
    with database() as own:
        with psycopg.connect(own.url()) as connection:
            connection.execute(TABLES)
        yield own


@pytest.fixture(scope="module")
def rest(cluster: Cluster) -> Iterator[httpx.Client]:
    """The service, asked by HTTP."""
    port = free_port()
    variables = {
        "PORT": str(port),
        "PGRST_DB_URI": address(cluster, "authenticator"),
        "PGRST_DB_SCHEMAS": "public,storage",
        "PGRST_DB_ANON_ROLE": "anon",
        "PGRST_JWT_SECRET": SECRET,
    }
    with (
        running("postgrest", variables),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client


def _as(role: str, **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(role, **claims)}"}


@pytest.mark.parametrize(
    ("headers", "ids"),
    [
        ({}, [1]),
        (_as("anon"), [1]),
        (_as("authenticated", sub=ALICE), [1, 2]),
        (_as("authenticated", sub=BOB), [1, 3]),
        (_as("service_role"), [1, 2, 3]),
    ],
)
def test_rows_by_role(rest: httpx.Client, headers: dict[str, str], ids: list[int]) -> None:
    """Row-level security shows everybody his rows, anon the open ones, and service_role all."""
    answer = rest.get("/projects?select=id&order=id", headers=headers)

    assert (200, [{"id": number} for number in ids]) == (answer.status_code, answer.json())


@pytest.mark.parametrize(
    ("bearer", "message"),
    [
        (token("service_role", "another secret of the same length, nearly"), "Signature"),
        (token("service_role", age=7200), "JWT expired"),
        ("no.token.atall", "Invalid"),
    ],
)
def test_bad_token(rest: httpx.Client, bearer: str, message: str) -> None:
    """A token that is forged, expired or none gets 401 and nothing else."""
    answer = rest.get("/projects", headers={"Authorization": f"Bearer {bearer}"})

    assert (401, "PGRST301") == (answer.status_code, answer.json()["code"])
    assert message in answer.json()["message"]
    assert "invalid_token" in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("id=eq.2", [2]),
        ("id=neq.2&order=id.desc", [3, 1]),
        ("id=gt.1&id=lt.3", [2]),
        ("stars=gte.1.5&order=stars.desc.nullslast", [3, 1]),
        ("name=like.open*", [1]),
        ("name=ilike.OPEN*", [1]),
        ('name=in.("alice, too",bob\'s)&order=id', [2, 3]),
        ("id=in.()", []),
        ("id=not.in.(1,2)", [3]),
        ("done=is.true", [1]),
        ("done=is.null", [3]),
        ("done=not.is.null&order=id", [1, 2]),
        ("order=id&limit=1&offset=1", [2]),
    ],
)
def test_filters(rest: httpx.Client, query: str, ids: list[int]) -> None:
    """Filters, order and limits do what PostgREST's do."""
    answer = rest.get(f"/projects?select=id&{query}", headers=_as("service_role"))

    assert (200, [{"id": number} for number in ids]) == (answer.status_code, answer.json())


def test_columns(rest: httpx.Client) -> None:
    """Columns can be chosen, renamed and cast; names with odd characters are names."""
    plain = rest.get("/projects?select=no:id::text,done&id=eq.1", headers=_as("service_role"))
    odd = rest.get(
        "/odd %25s name", params={"select": '"a%s"', "a%s": "eq.7"}, headers=_as("service_role")
    )

    assert [{"no": "1", "done": True}] == plain.json()
    assert [{"a%s": 7}] == odd.json()


def test_count(rest: httpx.Client) -> None:
    """With count=exact the range says how many there are, and a part is 206."""
    headers = _as("service_role") | {"Prefer": "count=exact"}
    part = rest.get("/projects?order=id&limit=2", headers=headers)
    past = rest.get("/projects?offset=9", headers=headers)
    uncounted = rest.get("/projects?id=eq.99", headers=_as("service_role"))

    assert (206, "0-1/3") == (part.status_code, part.headers["content-range"])
    assert (416, "PGRST103") == (past.status_code, past.json()["code"])
    assert "*/*" == uncounted.headers["content-range"]


def test_life_of_rows(rest: httpx.Client) -> None:
    """Rows are inserted, changed and deleted, and shown when that is asked for."""
    alice = _as("authenticated", sub=ALICE)
    shown = alice | {"Prefer": "return=representation"}
    quiet = rest.post("/projects", headers=alice, json={"id": 10, "name": "ten"})
    made = rest.post(
        "/projects?select=id,owner",
        headers=shown,
        json=[{"id": 11, "name": "eleven"}, {"id": 12, "name": "twelve"}],
    )
    changed = rest.patch("/projects?id=gte.11", headers=shown, json={"name": "more"})
    deleted = rest.delete("/projects?id=gte.10", headers=alice)
    left = rest.get("/projects?id=gte.10", headers=_as("service_role"))

    assert (201, b"") == (quiet.status_code, quiet.content)
    assert [{"id": 11, "owner": ALICE}, {"id": 12, "owner": ALICE}] == made.json()
    assert (200, ["more", "more"]) == (changed.status_code, [row["name"] for row in changed.json()])
    assert (204, []) == (deleted.status_code, left.json())


def test_one_object(rest: httpx.Client) -> None:
    """One row is an object when that is asked for, and several are refused."""
    headers = _as("service_role") | {"Accept": "application/vnd.pgrst.object+json"}
    one = rest.get("/projects?id=eq.1&select=id", headers=headers)
    several = rest.get("/projects", headers=headers)

    assert {"id": 1} == one.json()
    assert (406, "PGRST116") == (several.status_code, several.json()["code"])


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "expected"),
    [
        ("GET", "/secret", {}, None, (401, "42501")),
        ("GET", "/secret", _as("authenticated"), None, (403, "42501")),
        ("POST", "/projects", {}, {"id": 50, "name": "x"}, (401, "42501")),
        ("GET", "/nothing", {}, None, (404, "42P01")),
        ("GET", "/projects?nothing=eq.1", {}, None, (400, "42703")),
        ("GET", "/projects?id=eq.one", {}, None, (400, "22P02")),
        ("GET", "/projects?id=resembles.1", {}, None, (400, "PGRST100")),
        ("GET", "/projects?id=eq.%00", {}, None, (400, "PGRST100")),
        ("GET", "/projects?select=id,tasks(id)", {}, None, (400, "PGRST200")),
        ("GET", "/projects?limit=-1", {}, None, (400, "PGRST100")),
        ("GET", '/projects"; drop table projects; --', {}, None, (404, "42P01")),
        ("GET", "/projects?select=id::int from secret", {}, None, (400, "PGRST100")),
        ("POST", "/projects", _as("service_role"), {"id": 1, "name": "x"}, (409, "23505")),
        ("POST", "/projects", _as("service_role"), {"id": 60}, (400, "23502")),
        ("POST", "/projects", _as("service_role"), 5, (400, "PGRST102")),
        ("POST", "/projects", _as("service_role"), [{"id": 1}, {"name": ""}], (400, "PGRST102")),
        (
            "POST",
            "/projects",
            _as("service_role") | {"Prefer": "resolution=merge-duplicates"},
            {"id": 1, "name": "x"},
            (400, "PGRST122"),
        ),
        ("GET", "/projects", _as("nobody_such"), None, (400, "22023")),
        ("GET", "/projects", {"Accept-Profile": "auth"}, None, (406, "PGRST106")),
        ("POST", "/rpc/nothing", {}, {}, (404, "PGRST202")),
    ],
)
def test_refusals(
    rest: httpx.Client,
    method: str,
    path: str,
    headers: dict[str, str],
    body: Any,
    expected: tuple[int, str],
) -> None:
    """What cannot be done gets PostgREST's status and code, and four fields that explain it."""
    answer = rest.request(method, path, headers=headers, json=body)

    assert expected == (answer.status_code, answer.json()["code"])
    assert {"code", "details", "hint", "message"} == set(answer.json())


def test_root(rest: httpx.Client) -> None:
    """The root says which tables there are for whoever asks."""
    everybody = rest.get("/").json()["paths"]
    service = rest.get("/", headers=_as("service_role")).json()["paths"]

    assert "/projects" in everybody
    assert "/secret" not in everybody
    assert "/secret" in service


def test_database_comes_and_goes(cluster: Cluster, rest: httpx.Client) -> None:
    """Without its database it answers 503, and as before as soon as there is one again."""
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'authenticator'"
        )
    after_end_of_session = rest.get("/").status_code
    cluster.stop()
    without = rest.get("/")
    cluster.start()
    back = rest.get("/").status_code

    assert (200, 503, 200) == (after_end_of_session, without.status_code, back)
    assert "PGRST000" == without.json()["code"]


def test_bad_environment() -> None:
    """All that is wrong is said at once, and no value is."""
    process = start(
        "postgrest", {"PGRST_DB_URI": "mysql://me:hidden@db/x", "PGRST_JWT_SECRET": "s"}
    )
    _, words = process.communicate(timeout=20)

    assert process.returncode == 1
    for name in ("PORT", "PGRST_DB_URI", "PGRST_DB_ANON_ROLE", "PGRST_JWT_SECRET"):
        assert f"  {name}: " in words
    assert "hidden" not in words
