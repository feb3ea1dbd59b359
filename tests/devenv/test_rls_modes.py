"""Tests of the modes of row-level security: which rows who sees, and that each can be left."""

import contextlib

import psycopg
import pytest

from controller.devenv import database, rls
from controller.engine import RetryLater
from crds.devenv import RlsMode
from tests.devenv.guests import KEYS, Guest

pytestmark = pytest.mark.anyio

ALICE = "00000000-0000-0000-0000-00000000000a"
PROJECTS = """
    create table public.projects (id int, owner uuid);
    insert into public.projects
    values (1, '00000000-0000-0000-0000-00000000000a'), (2, gen_random_uuid());
    alter table public.projects enable row level security;
    create policy own on public.projects using (owner = auth.uid());
"""


@pytest.fixture
async def guest(shared_guest: Guest) -> Guest:
    """A machine whose schemas are as after a first start."""
    shared_guest.clear()
    await database.prepare(shared_guest.psql, KEYS)
    return shared_guest


def sees(guest: Guest, role: str, user: str = ALICE) -> list[int]:
    """The projects that a role sees, signed in as a user where it can be."""
    with psycopg.connect(guest.cluster.url()) as connection:
        connection.execute("select set_config('request.jwt.claim.sub', %s, true)", [user])
        connection.execute(f"set local role {role}".encode())
        rows = connection.execute("select id from public.projects order by id").fetchall()
        return [row[0] for row in rows]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("production", ([1], [])), ("permissive", ([1, 2], [])), ("disabled", ([1, 2], [1, 2]))],
)
async def test_who_sees_what(
    guest: Guest, mode: RlsMode, expected: tuple[list[int], list[int]]
) -> None:
    """Signed-in users see theirs or all; others see all only without any security."""
    guest.sql(PROJECTS)

    await rls.apply(guest.psql, mode)

    assert expected == (sees(guest, "authenticated"), sees(guest, "anon", ""))


async def test_signed_in_users_may_write_what_they_see_under_permissive(guest: Guest) -> None:
    """The policy is for all commands, not for reading only."""
    guest.sql(PROJECTS)

    await rls.apply(guest.psql, "permissive")
    guest.sql("begin; set local role authenticated; insert into projects values (3); commit")

    assert [1, 2, 3] == sees(guest, "authenticated")


def definition(guest: Guest) -> list[tuple[object, ...]]:
    """All that row-level security consists of, in every table of public."""
    return guest.sql(
        "select c.relname, relrowsecurity, relforcerowsecurity, p.polname, p.polcmd,"
        " pg_get_expr(polqual, polrelid), polroles::text"
        " from pg_class c left join pg_policy p on p.polrelid = c.oid"
        " where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') order by 1, 4"
    )


async def test_whatever_was_changed_comes_back(guest: Guest) -> None:
    """Enabled, forced, partitions and policies are after any way round as they were before."""
    guest.sql(
        PROJECTS,
        "create table plain (id int)",
        "create table strict (id int); alter table strict enable row level security;"
        " alter table strict force row level security",
        "create table forced_only (id int); alter table forced_only force row level security",
        "create table parts (id int) partition by range (id);"
        " create table parts_1 partition of parts for values from (0) to (9);"
        " alter table parts_1 enable row level security",
        'create table "Odd na""me" (id int); alter table "Odd na""me" enable row level security',
    )
    before = definition(guest)
    await rls.apply(guest.psql, "production")

    modes: list[RlsMode] = ["disabled", "permissive", "disabled", "production", "permissive"]
    for mode in modes:
        await rls.apply(guest.psql, mode)
        assert (mode, []) == (mode, await rls.inspect(guest.psql, mode))
    await rls.apply(guest.psql, "production")

    assert before == definition(guest)


async def test_applying_again_changes_nothing(guest: Guest) -> None:
    """Repeating is free: no row of ours or of PostgreSQL's is written anew."""
    guest.sql(PROJECTS)
    written = (
        "select array_agg(xmin::text order by c.oid) from pg_class c where relname = 'projects'"
        " union all select array_agg(xmin::text) from invoker.row_security"
        " union all select array_agg(xmin::text) from invoker.row_security_mode"
        " union all select array_agg(xmin::text) from pg_policy"
    )
    modes: list[RlsMode] = ["permissive", "disabled", "production"]
    for mode in modes:
        await rls.apply(guest.psql, mode)
        before = guest.sql(written)
        await rls.apply(guest.psql, mode)

        assert before == guest.sql(written)


async def test_a_table_that_leaves_the_schema_gets_back_what_was_its_own(guest: Guest) -> None:
    """Outside of public nothing of ours stays, and nothing of theirs is missing."""
    guest.sql(PROJECTS, "create table notes (id int); alter table notes enable row level security")
    await rls.apply(guest.psql, "permissive")
    guest.sql("create schema elsewhere; alter table notes set schema elsewhere")
    await rls.apply(guest.psql, "disabled")
    guest.sql("alter table projects set schema elsewhere")

    await rls.apply(guest.psql, "disabled")

    assert [("notes", True, None), ("projects", True, "own")] == guest.sql(
        "select relname, relrowsecurity, polname from pg_class c"
        " left join pg_policy p on p.polrelid = c.oid"
        " where relnamespace = 'elsewhere'::regnamespace and relkind = 'r' order by 1"
    )
    assert [(0,)] == guest.sql("select count(*) from invoker.row_security")


async def test_what_developers_enable_while_it_is_disabled_is_remembered(guest: Guest) -> None:
    """It is drift until it is applied again, and holds once security is back."""
    guest.sql("create table late (id int)")
    await rls.apply(guest.psql, "disabled")
    guest.sql("alter table late enable row level security")
    assert ["public.late"] == await rls.inspect(guest.psql, "disabled")

    await rls.apply(guest.psql, "disabled")
    assert [] == await rls.inspect(guest.psql, "disabled")
    await rls.apply(guest.psql, "production")

    assert [("late", True, False, None, None, None, None)] == definition(guest)


DRIFTS: list[tuple[RlsMode, str, list[str]]] = [
    ("production", "alter table projects disable row level security", ["public.projects"]),
    ("production", "alter table strict no force row level security", ["public.strict"]),
    (
        "production",
        "create policy invoker_permissive on projects using (true)",
        ["public.projects"],
    ),
    ("production", "alter table plain enable row level security", []),
    ("production", "drop policy own on projects", []),
    ("production", "drop table projects", []),
    ("production", "alter table projects rename to renamed", []),
    ("permissive", "drop policy invoker_permissive on projects", ["public.projects"]),
    (
        "permissive",
        "alter policy invoker_permissive on projects using (false)",
        ["public.projects"],
    ),
    ("permissive", "alter policy invoker_permissive on projects to anon", ["public.projects"]),
    ("permissive", "alter table projects disable row level security", ["public.projects"]),
    ("permissive", "alter table plain enable row level security", ["public.plain"]),
    ("permissive", "create table new (id int)", []),
    ("disabled", "alter table projects enable row level security", ["public.projects"]),
    ("disabled", "alter table strict no force row level security", []),
    ("disabled", "create policy invoker_permissive on plain using (true)", ["public.plain"]),
]


@pytest.mark.parametrize(("mode", "change", "expected"), DRIFTS)
async def test_what_is_drift_and_what_is_a_developers_work(
    guest: Guest, mode: RlsMode, change: str, expected: list[str]
) -> None:
    """Drift is where less, or in the other modes something else, holds than was applied."""
    guest.sql(
        PROJECTS,
        "create table plain (id int)",
        "create table strict (id int); alter table strict enable row level security;"
        " alter table strict force row level security",
    )
    await rls.apply(guest.psql, mode)
    guest.sql(change)

    drift = await rls.inspect(guest.psql, mode)
    await rls.apply(guest.psql, mode)

    assert (expected, []) == (drift, await rls.inspect(guest.psql, mode))


async def test_drift_is_told_sorted_and_not_without_end(guest: Guest) -> None:
    """A status stays readable whatever somebody did."""
    await rls.apply(guest.psql, "disabled")
    guest.sql(
        *(
            f"create table t{n:02d} (id int); alter table t{n:02d} enable row level security"
            for n in range(60)
        )
    )

    drift = await rls.inspect(guest.psql, "disabled")

    assert [f"public.t{n:02d}" for n in range(50)] == drift


async def test_a_database_that_was_never_seen_to_is_inspected_too(guest: Guest) -> None:
    """Looking needs no table of ours, and makes none."""
    guest.sql(PROJECTS)

    assert ([], ["public.projects"]) == (
        await rls.inspect(guest.psql, "production"),
        await rls.inspect(guest.psql, "disabled"),
    )
    assert [(None,)] == guest.sql("select to_regclass('invoker.row_security')")


@pytest.mark.slow
async def test_who_works_on_a_table_is_waited_for_later_not_now(guest: Guest) -> None:
    """A migration that holds a table is not blocked behind us: nothing is half done.

    Slow because the lock is waited for, two seconds.
    """
    guest.sql(PROJECTS, "create table aaa (id int); alter table aaa enable row level security")
    before = definition(guest)

    with psycopg.connect(guest.cluster.url()) as somebody:
        somebody.execute("select * from projects")
        with pytest.raises(RetryLater, match="lock timeout"):
            await rls.apply(guest.psql, "disabled")

    assert before == definition(guest)
    await rls.apply(guest.psql, "disabled")
    assert [1, 2] == sees(guest, "anon", "")


async def test_tables_of_extensions_are_left_alone(guest: Guest) -> None:
    """PostGIS keeps one in public, and nobody may change what it is."""
    guest.sql("create table owned (id int); alter table owned enable row level security")
    with contextlib.ExitStack() as stack:
        guest.sql("alter extension plpgsql add table owned")
        stack.callback(guest.sql, "alter extension plpgsql drop table owned")
        await rls.apply(guest.psql, "disabled")

        assert [("owned", True, False, None, None, None, None)] == definition(guest)
        assert [] == await rls.inspect(guest.psql, "disabled")
