"""Tests of the switch to a moved database, broken off behind each of its statements."""

import contextlib
import shutil
from collections.abc import Iterator

import psycopg
import pytest

from controller.devenv import move
from controller.devenv.move import Progress
from controller.devenv.psql import text_of
from tests.devenv.guests import Guest
from tests.devenv.moving import copied

pytestmark = pytest.mark.anyio


def switching() -> list[str]:
    """The statements of the switch, as the script has them."""
    _, _, sql = text_of("move_switch.sh").partition("\\if :moving\n")
    sql, _, _ = sql.partition("\nSQL\n")
    lines = [line for line in sql.splitlines() if not line.startswith(("--", "\\endif"))]
    return [part for part in "\n".join(lines).split(";") if part.strip()]


@pytest.fixture
def restored(shared_guest: Guest) -> Iterator[Guest]:
    """A machine with a copy beside its own database, as after a copy of one that is like it."""
    shared_guest.clear()
    shared_guest.sql("create database invoker_moving template postgres", database="template1")
    shared_guest.sql("create table t as select 1", database="invoker_moving")
    shared_guest.work.mkdir(exist_ok=True)
    (shared_guest.work / "state").write_text("restored\n\n")
    yield shared_guest
    shared_guest.clear()
    shutil.rmtree(shared_guest.work)


@pytest.mark.parametrize("statements", range(len(switching()) + 1))
async def test_a_switch_that_was_broken_off_ends_the_same(restored: Guest, statements: int) -> None:
    """After any number of its statements, running it again ends with one database, the copy."""
    connection = psycopg.connect(restored.cluster.url("template1"), autocommit=True)
    with contextlib.closing(connection):
        for statement in switching()[:statements]:
            connection.execute(statement.encode())
        # Closed without a commit, as when whoever did it is gone.

    await move.switch(restored.psql)
    await move.switch(restored.psql)

    assert [(1,)] == restored.sql("select * from t")
    assert [("postgres", True)] == restored.sql(
        "select datname, datallowconn from pg_database where datname !~ '^template'"
    )
    assert Progress("Restored") == await move.progress(restored.psql)


async def test_who_is_connected_does_not_hold_the_switch_up(restored: Guest) -> None:
    """Sessions of both databases end, and theirs come back to the copy."""
    with (
        psycopg.connect(restored.cluster.url("postgres")) as one,
        psycopg.connect(restored.cluster.url("invoker_moving")) as other,
    ):
        one.execute("select 1")
        other.execute("select 1")

        await move.switch(restored.psql)

        for connection in (one, other):
            with pytest.raises(psycopg.OperationalError):
                connection.execute("select 1")
    assert [(1,)] == restored.sql("select * from t")


CRON = """
do $$ begin
  if current_database() <> 'postgres' then
    raise 'can only create extension in database postgres';
  end if;
end $$;
create schema cron;
create sequence cron.jobid_seq;
create table cron.job (
  jobid bigint primary key default nextval('cron.jobid_seq'),
  command text,
  username text default current_user
);
alter table cron.job enable row level security;
create policy cron_job_policy on cron.job using (username = current_user);
select pg_extension_config_dump('cron.job', '');
select pg_extension_config_dump('cron.jobid_seq', '');
"""


def offer_cron(guest: Guest) -> None:
    """Have an extension that is as particular as pg_cron, which no wheel has."""
    extensions = guest.cluster.data_dir / "offered" / "extension"
    extensions.mkdir(parents=True)
    (extensions / "pg_cron--1.6.sql").write_text(CRON)
    (extensions / "pg_cron.control").write_text(
        "default_version = '1.6'\nrelocatable = false\nschema = pg_catalog\n"
    )
    for path in (extensions.parent, extensions, *extensions.iterdir()):
        path.chmod(0o755)
    guest.sql(
        f"alter system set extension_control_path = '{extensions.parent}:$system'",
        "select pg_reload_conf()",
    )


# Two servers and a dump between them.
@pytest.mark.slow
@pytest.mark.parametrize("crash", [False, True])
async def test_jobs_come_over_with_the_switch_and_not_before(
    old: Guest, new: Guest, *, crash: bool
) -> None:
    """pg_cron lives in `postgres` only, and no job runs in two places."""
    offer_cron(old)
    offer_cron(new)
    old.sql(
        "create extension pg_cron",
        "grant usage on schema cron to postgres",
        "grant select on cron.job to postgres",
        "insert into cron.job (command) values ('a'), ('b'); delete from cron.job where jobid = 2",
        "create schema cron_of_ours; create table cron_of_ours.t as select 1",
    )
    await copied(old, new)
    await move.verify(old.psql, new.psql)
    before = new.sql("select to_regclass('cron.job')", database="invoker_moving")
    if crash:
        new.sql(*switching(), database="template1")

    await move.switch(new.psql)
    await move.switch(new.psql)

    assert [(None,)] == before
    jobs = "select jobid, command from cron.job"
    sequence = "select last_value, is_called from cron.jobid_seq"
    rights = "select has_table_privilege('postgres', 'cron.job', 'select')"
    policies = "select policyname from pg_policies where schemaname = 'cron'"
    for query in (jobs, sequence, rights, policies, "select * from cron_of_ours.t"):
        assert (query, old.sql(query)) == (query, new.sql(query))
