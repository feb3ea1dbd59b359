"""Tests of a database's move: real dumps between real servers, broken off wherever they can be."""

import contextlib
import os
import signal
import time
from pathlib import Path

import psycopg
import pytest

from controller.devenv import move, rls
from controller.devenv.move import DataDiffersError, Progress
from controller.engine import RetryLater
from deploy.local.services.cluster import PROGRAMS
from tests.devenv.guests import KEYS, PASSWORD, Guest
from tests.devenv.moving import copied, ended, host_of

pytestmark = [
    pytest.mark.anyio,
    # Two servers and a dump between them.
    pytest.mark.slow,
]


FILL = (
    'create table "Odd na""me\'s" (id serial primary key, owner uuid)',
    'insert into "Odd na""me\'s" (owner) select gen_random_uuid() from generate_series(1, 7)',
    'delete from "Odd na""me\'s" where id > 3',
    'alter table "Odd na""me\'s" enable row level security',
    'create policy own on "Odd na""me\'s" using (owner = auth.uid())',
    "insert into auth.users (id, email) values (gen_random_uuid(), 'a@example.org')",
    "create materialized view few as select count(*) from auth.users",
    "insert into storage.buckets (id, name) values ('b', 'b')",
    "select lo_from_bytea(4711, 'a large object')",
    "create role developer login password 'their-own' in role authenticated",
    "alter role developer set work_mem = '5MB'",
    "alter role developer in database postgres set search_path = auth, public",
    "alter database postgres set search_path = '$user', public, extensions",
    "alter database postgres set app.note = 'x IN DATABASE postgres SET y'",
    "revoke connect on database postgres from public",
    "grant connect, temporary on database postgres to developer",
    "comment on database postgres is 'theirs'",
    """create function doubled() returns trigger language plpgsql
       as $$ begin new.email = new.email || '!'; return new; end $$""",
    """create trigger doubling before insert on auth.users
       for each row execute function doubled()""",
    """create function noticed() returns event_trigger language plpgsql
       as $$ begin raise 'never in a restore'; end $$""",
    "create event trigger noticing on ddl_command_end execute function noticed()",
)
EVERYTHING = (
    "select rolname, rolpassword from pg_authid where rolname !~ '^pg_' order by 1",
    """select roleid::regrole::text, member::regrole::text, admin_option
       from pg_auth_members order by 1, 2""",
    """select datname, rolname, setconfig::text
       from pg_db_role_setting left join pg_database d on d.oid = setdatabase
       left join pg_roles r on r.oid = setrole order by 1, 2""",
    """select datdba::regrole::text, encoding, datcollate, datctype, datlocprovider, datlocale,
         shobj_description(oid, 'pg_database')
       from pg_database where datname = 'postgres'""",
    """select x::text from pg_database, unnest(datacl) x where datname = 'postgres' order by 1""",
    'select * from "Odd na""me\'s" order by 1',
    'select last_value, is_called from "Odd na""me\'s_id_seq"',
    "select lo_get(4711)",
    """select polrelid::regclass::text, polname, pg_get_expr(polqual, polrelid)
       from pg_policy order by 1, 2""",
    "select relation::text, enabled, forced from invoker.row_security",
    "select mode from invoker.row_security_mode",
    "select evtname, evtenabled from pg_event_trigger",
    "select email from auth.users",
    "select * from few",
    (
        "select nspname, nspowner::regrole::text, nspacl::text from pg_namespace"
        " where nspname !~ '^pg_' order by 1"
    ),
    "select defaclrole::regrole::text, defaclacl::text from pg_default_acl order by 1, 2",
    """select oid::regclass::text, relowner::regrole::text,
         (select array_agg(x::text order by x::text) from unnest(relacl) x)
       from pg_class where relnamespace::regnamespace::text !~ '^pg_' order by 1""",
    "select pubname, pubowner::regrole::text from pg_publication",
)


async def test_everything_comes_over(old: Guest, new: Guest) -> None:
    """Rows, sequences, large objects, policies, rights, roles, settings and what we remember."""
    old.sql(*FILL)
    old.sql("alter event trigger noticing disable")
    await rls.apply(old.psql, "disabled")
    old.sql("alter event trigger noticing enable")
    before = {query: old.sql(query) for query in EVERYTHING}

    await copied(old, new)
    tables, rows = await move.verify(old.psql, new.psql)
    await move.switch(new.psql)

    assert before == {query: new.sql(query) for query in EVERYTHING}
    counted = await move.count(new.psql)
    assert (3, 1, 1) == (counted["public.Odd na\"me's"], counted["auth.users"], rows - 4)
    assert len(counted) == tables
    new.sql("drop event trigger noticing")
    await rls.apply(new.psql, "production")
    assert [(True,)] == new.sql(
        "select relrowsecurity from pg_class where relname = 'Odd na\"me''s'"
    )
    with psycopg.connect(
        host="127.0.0.1", port=new.cluster.port or 0, user="developer", password="their-own",
        dbname="postgres",
    ) as connection:  # fmt: skip
        assert ("auth, public",) == connection.execute("show search_path").fetchone()


async def test_what_is_not_compared(old: Guest) -> None:
    """Ours, PostgreSQL's and an extension's tables are not the developers' data; partitions are."""
    old.sql(
        "create table owned (id int); alter extension plpgsql add table owned",
        "create table parts (id int) partition by list (id)",
        "create table parts_1 partition of parts default; insert into parts values (1), (2)",
    )
    await rls.apply(old.psql, "production")

    counted = await move.count(old.psql)

    assert 2 == counted["public.parts_1"]
    assert [] == [
        name
        for name in counted
        if name in ("public.parts", "public.owned") or name.startswith(("invoker.", "pg_"))
    ]


async def test_ten_thousand_rows_take_less_than_three_seconds(old: Guest, new: Guest) -> None:
    """Copied and compared, every row."""
    old.sql("create table many as select n, md5(n::text) from generate_series(1, 10000) n")
    begun = time.perf_counter()

    await copied(old, new)
    _, rows = await move.verify(old.psql, new.psql)

    assert 10_000 == rows
    assert time.perf_counter() - begun < 3


async def test_beginning_again_disturbs_nothing(old: Guest, new: Guest) -> None:
    """Neither while it runs nor when it is through: one copy is made."""
    old.sql("create table t (id int)", "insert into t values (1)")
    for _ in range(3):
        await move.begin(new.psql, source_host=host_of(old), keys=KEYS)
    assert "Restored" == (await ended(new)).state
    made = "select oid from pg_database where datname = 'invoker_moving'"
    before = new.sql(made)

    await move.begin(new.psql, source_host=host_of(old), keys=KEYS)

    assert Progress("Restored") == await ended(new)
    assert before == new.sql(made)


async def test_a_new_machine_has_copied_nothing(new: Guest) -> None:
    """Nobody is told of a copy that was never begun, and nothing is switched to."""
    with pytest.raises(RetryLater, match="nothing to switch to: the copy is none"):
        await move.switch(new.psql)

    assert Progress("None") == await move.progress(new.psql)


async def test_a_wrong_password_is_told_and_tried_again(old: Guest, new: Guest) -> None:
    """The reason is in the message, the password is nowhere; the next try is a whole one."""
    old.sql("alter role supabase_admin password 'another'", "create table t as select 1")
    await move.begin(new.psql, source_host=host_of(old), keys=KEYS)
    failed = await ended(new)
    old.sql(f"alter role supabase_admin password '{PASSWORD}'")

    await copied(old, new)

    assert "Failed" == failed.state
    assert "password authentication failed" in failed.message
    assert PASSWORD not in failed.message


async def test_what_cannot_be_restored_fails_and_says_what(old: Guest, new: Guest) -> None:
    """A copy with a hole in it is no copy."""
    old.sql(
        "create function strict(int) returns boolean language sql as 'select true'",
        "create table t (id int check (strict(id)))",
        "insert into t values (1)",
        "create or replace function strict(int) returns boolean language sql as 'select false'",
    )

    await move.begin(new.psql, source_host=host_of(old), keys=KEYS)

    failed = await ended(new)
    assert "Failed" == failed.state
    assert 'violates check constraint "t_id_check"' in failed.message
    assert [] == list(new.work.glob("globals*")) + list(new.work.glob("dump"))


async def test_a_copy_that_was_killed_is_begun_anew(old: Guest, new: Guest) -> None:
    """A machine that starts anew knows that the copy runs no more, by the lock."""
    old.sql("create table t as select 1")
    with psycopg.connect(old.cluster.url()) as somebody:
        somebody.execute("lock table t in access exclusive mode")
        await move.begin(new.psql, source_host=host_of(old), keys=KEYS)
        running = await move.progress(new.psql)
        kill(new)
        killed = await ended(new)

    await copied(old, new)

    assert ("Running", Progress("Failed", "the copy was broken off")) == (running.state, killed)


async def test_wherever_it_was_killed_the_next_copy_is_whole(old: Guest, new: Guest) -> None:
    """Before each of its commands, with all that the ones before have left."""
    old.sql("create table t as select n from generate_series(1, 1000) n")
    killed = []
    for number in range(20):
        kill_before(new, number)
        await move.begin(new.psql, source_host=host_of(old), keys=KEYS)
        killed.append(await ended(new))
        if killed[-1].state == "Restored":
            break

    assert len(killed) > 10
    assert {Progress("Failed", "the copy was broken off")} == set(killed[:-1])
    assert 1000 == (await move.verify(old.psql, new.psql))[1]


def kill_before(guest: Guest, number: int) -> None:
    """Have the copy, which alone knows a password, lose power before a command of PostgreSQL's."""
    calls = guest.cluster.data_dir / "calls"
    calls.write_text("0")
    for name in PROGRAMS:
        program, original = guest.cluster.commands / name, guest.cluster.commands / f"{name}.real"
        if not original.exists():
            program.rename(original)
        program.write_text(
            "#!/bin/sh\n"
            f'if [ -n "${{PGPASSWORD:-}}" ]; then calls=$(cat {calls}); '
            f'[ "$calls" != {number} ] || kill -9 0; echo $((calls + 1)) >{calls}; fi\n'
            f'exec {original} "$@"\n'
        )
        program.chmod(0o755)


def kill(guest: Guest) -> None:
    """Have the machine lose power, as far as the copy is concerned."""
    while found := processes_of(guest):
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def processes_of(guest: Guest) -> list[int]:
    """The processes of a machine that hold the copy's lock."""
    lock = str(guest.work / "lock")
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/9"):
        with contextlib.suppress(OSError):
            if str(link.readlink()) == lock:
                found.append(int(link.parts[2]))
    return found


async def test_no_secret_stays_behind(old: Guest, new: Guest) -> None:
    """Neither in the new machine's files nor in a command or a server's log."""
    old.sql("alter system set log_statement = 'all'", "select pg_reload_conf()")
    new.sql("alter system set log_statement = 'all'", "select pg_reload_conf()")

    await copied(old, new)
    left = b"".join(path.read_bytes() for path in new.work.iterdir())
    await move.switch(new.psql)

    said = " ".join(word for guest in (old, new) for command in guest.commands for word in command)
    logs = old.cluster.log.read_text() + new.cluster.log.read_text()
    assert PASSWORD.encode() not in left
    assert b"SCRAM-SHA" not in left
    assert [] == [word for word in (PASSWORD, "SCRAM-SHA") if word in said + logs]
    assert 0o700 == new.work.stat().st_mode & 0o777
    assert {"lock", "state"} == {path.name for path in new.work.iterdir()}


async def test_what_was_written_meanwhile_is_found_and_copied(old: Guest, new: Guest) -> None:
    """A table that differs is named, and so is one that is not there; then all is copied anew."""
    old.sql("create table t (id int)", "create table gone (id int)")
    await copied(old, new)
    old.sql(
        "insert into t values (1)", "drop table gone", "create table late ()", "select lo_create(1)"
    )

    with pytest.raises(DataDiffersError) as raised:
        await move.verify(old.psql, new.psql)
    told = await move.progress(new.psql)
    await copied(old, new)

    assert (
        "the copy differs in public.gone (no table here, 0 rows there),"
        " public.late (0 rows here, no table there), public.t (1 rows here, 0 rows there),"
        " large objects (1 here, 0 there)"
    ) == raised.value.message
    assert Progress("Failed", raised.value.message) == told
    assert 1 == (await move.verify(old.psql, new.psql))[1]
