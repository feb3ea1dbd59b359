"""What stands for `supabase/postgres`."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from deploy.local.postgres import NOBODY
from deploy.local.services import program, shell
from deploy.local.services.cluster import Cluster
from tests.support.services import PASSWORD, free_port, running, start, volume


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """A first start, done once."""
    with volume() as cache:
        yield Cluster.template(cache)


@pytest.fixture(scope="module")
def cluster(template: Path) -> Iterator[Cluster]:
    """A database that is started, for tests that leave roles as they are."""
    with volume() as data, Cluster(data, free_port(), password=PASSWORD, template=template) as own:
        yield own


def _connect(port: int, user: str, password: str = PASSWORD) -> psycopg.Connection:
    return psycopg.connect(
        host="127.0.0.1", port=port, dbname="postgres", user=user, password=password
    )


def _run(
    command: list[str], data: Path, port: int, *, words: str = "", password: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command as inside the machine."""
    return subprocess.run(  # noqa: S603 - the tests' own commands
        command,
        env=shell("postgres", data, port) | ({"PGPASSWORD": password} if password else {}),
        input=words,
        capture_output=True,
        text=True,
        check=False,
    )


def _psql(data: Path, port: int, statements: str) -> subprocess.CompletedProcess[str]:
    command = [
        *("psql", "-X", "-q", "--csv", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"),
        *("-U", "supabase_admin", "-d", "postgres", "-f", "-"),
    ]
    return _run(command, data, port, words=statements)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("supabase/postgres:15.1.1.78", "postgres"),
        ("docker.io/supabase/postgres@sha256:0123", "postgres"),
        ("registry.example:5000/postgrest/postgrest:v12.0.1", "postgrest"),
        ("kong:3.4", "kong"),
        ("docker.io/library/kong", "kong"),
        ("supabase/studio:20240101@sha256:0123", "studio"),
        ("postgres:16", None),
        ("example/kong:3.4", None),
    ],
)
def test_program_by_image(image: str, name: str | None) -> None:
    """An image's repository alone says what stands for it, wherever it comes from."""
    assert name == program(image)


def test_roles_as_in_the_image(cluster: Cluster) -> None:
    """Both administrators log in with the image's password, and only one is a superuser."""
    assert cluster.port is not None
    rights = {}
    for user in ("postgres", "supabase_admin"):
        with _connect(cluster.port, user) as connection:
            rights[user] = connection.execute(
                "select rolsuper, rolcreaterole, rolcreatedb, rolbypassrls"
                " from pg_roles where rolname = current_user"
            ).fetchone()

    assert {
        "postgres": (False, True, True, True),
        "supabase_admin": (True, True, True, True),
    } == rights


def test_wrong_password(cluster: Cluster) -> None:
    """By TCP no one comes in without the password, and a role without one not at all."""
    assert cluster.port is not None
    for user in ("supabase_admin", "authenticator"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            _connect(cluster.port, user, "wrong")


def test_claims_reach_policies(cluster: Cluster) -> None:
    """A policy with auth.uid() shows a signed-in user that user's rows and anon none."""
    with psycopg.connect(cluster.url()) as connection:
        connection.execute("create table notes (owner uuid, words text)")
        connection.execute("alter table notes enable row level security")
        connection.execute("create policy own on notes using (auth.uid() = owner)")
        connection.execute(
            "insert into notes values ('11111111-1111-1111-1111-111111111111', 'mine'),"
            " ('22222222-2222-2222-2222-222222222222', 'theirs')"
        )
        connection.commit()
        seen = {}
        for role, claims in {
            "authenticated": '{"sub": "11111111-1111-1111-1111-111111111111"}',
            "anon": "",
            "service_role": "{}",
        }.items():
            connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
            connection.execute(f"set local role {role}")
            rows = connection.execute("select words from notes order by words").fetchall()
            seen[role] = [words for (words,) in rows]
            connection.rollback()

    assert {"authenticated": ["mine"], "anon": [], "service_role": ["mine", "theirs"]} == seen


def test_commands_inside_are_trusted(template: Path) -> None:
    """Inside the machine the superuser comes in, whatever its password has been changed to."""
    port = free_port()
    with volume() as data, Cluster(data, port, password=PASSWORD, template=template):
        _psql(data, port, "alter role supabase_admin password 'another'")
        done = _psql(data, port, "select current_user")

    assert (0, "supabase_admin\n", "") == (done.returncode, done.stdout, done.stderr)


def test_commands_to_another_port_are_not(cluster: Cluster) -> None:
    """A command that names a port means the server there, which wants its password."""
    assert cluster.port is not None
    command = ["psql", "-X", "-w", "-h", "127.0.0.1", "-p", str(cluster.port), "-U", "postgres"]
    done = _run(command, cluster.data_dir, cluster.port)

    assert done.returncode == 2
    assert "no password supplied" in done.stderr


def test_dump_of_one_is_restored_into_another(cluster: Cluster, template: Path) -> None:
    """What pg_dump took from one machine by its password psql puts into the next."""
    assert cluster.port is not None
    _psql(cluster.data_dir, cluster.port, "create table moved as select 7 as n")
    command = [
        *("pg_dump", "-h", "127.0.0.1", "-p", str(cluster.port), "-U", "supabase_admin"),
        *("-t", "moved", "postgres"),
    ]
    dumped = _run(command, cluster.data_dir, cluster.port, password=PASSWORD).stdout
    with volume() as data, Cluster(data, free_port(), template=template) as other:
        assert other.port is not None
        restored = _psql(data, other.port, dumped)
        done = _psql(data, other.port, "table moved")

    assert (0, "7\n") == (restored.returncode, done.stdout)


def test_first_start_that_was_broken_off(template: Path) -> None:
    """A first start that did not come to its end is gone through again."""
    with volume() as data:
        with Cluster(data, template=template):
            pass
        (data / "begun").unlink()
        with (
            Cluster(data, password=PASSWORD, extra_database="app", template=template) as again,
            psycopg.connect(again.url("app")) as connection,
        ):
            found = connection.execute("select rolpassword is not null from pg_authid").fetchall()

    assert 2 == found.count((True,))


@pytest.mark.slow
@pytest.mark.parametrize("user", [None, NOBODY])
def test_life_of_the_process(user: int | None, template: Path) -> None:
    """What was committed outlives kill -9 of everything and SIGTERM, as root and as anybody.

    Slow: three starts of an interpreter and a server.
    """
    if user is not None and os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    shared = {"INVOKER_CLUSTER_TEMPLATES": str(template.parents[1])} if user is None else {}
    with volume(user) as data:
        port = free_port()
        variables = {
            "PORT": str(port),
            "INVOKER_DATA_DIR": str(data),
            "POSTGRES_PASSWORD": PASSWORD,
            **shared,
        }
        with running("postgres", variables, user) as process:
            with _connect(port, "postgres") as connection:
                connection.execute("create table kept as select 7 as n")
            os.killpg(process.pid, signal.SIGKILL)
        with running("postgres", variables, user) as process:
            with _connect(port, "postgres") as connection:
                connection.execute("update kept set n = n + 1")
            os.killpg(process.pid, signal.SIGTERM)
            code = process.wait()
        with (
            running("postgres", variables | {"POSTGRES_PASSWORD": "new"}, user),
            _connect(port, "postgres") as connection,
        ):
            found = connection.execute("select n from kept").fetchone()
        log = (data / "postgres.log").read_text()

    assert (0, (8,)) == (code, found)
    assert PASSWORD not in log


@pytest.mark.slow
def test_server_that_dies(template: Path) -> None:
    """When the server dies the process ends with an error, for the machine's policy to restart it.

    Slow: a start of an interpreter and a server.
    """
    with volume() as data:
        variables = {
            "PORT": str(free_port()),
            "INVOKER_DATA_DIR": str(data),
            "INVOKER_CLUSTER_TEMPLATES": str(template.parents[1]),
            "POSTGRES_PASSWORD": PASSWORD,
        }
        with running("postgres", variables) as process:
            postmaster = (data / "cluster" / "postmaster.pid").read_text().split("\n", 1)[0]
            os.kill(int(postmaster), signal.SIGKILL)
            assert process.stderr is not None
            words, code = process.stderr.read(), process.wait()

    assert code == 1
    assert "PostgreSQL ended by itself" in words


@pytest.mark.slow
def test_first_start_runs_the_machines_files(template: Path) -> None:
    """The image's directory of SQL is heeded, POSTGRES_PASSWORD and POSTGRES_DB with it, once.

    Slow: two starts of an interpreter and a server.
    """
    with volume() as data, volume() as root:
        scripts = root / "docker-entrypoint-initdb.d" / "init-scripts"
        scripts.mkdir(parents=True)
        (scripts / "99-roles.sql").write_text(
            '\\set pass `echo "$POSTGRES_PASSWORD"`\n'
            "alter user authenticator with password :'pass';\n"
            "create table public.begun (at timestamptz default now());\n"
            "insert into public.begun default values;\n"
        )
        port = free_port()
        variables = {
            "PORT": str(port),
            "INVOKER_DATA_DIR": str(data / "below"),
            "INVOKER_CLUSTER_TEMPLATES": str(template.parents[1]),
            "FLY_SIM_ROOT": str(root),
            "POSTGRES_PASSWORD": PASSWORD,
            "POSTGRES_DB": "app",
        }
        counts = []
        for _ in range(2):
            with (
                running("postgres", variables),
                psycopg.connect(
                    host="127.0.0.1",
                    port=port,
                    dbname="app",
                    user="authenticator",
                    password=PASSWORD,
                ) as connection,
            ):
                connection.execute("set role service_role")
                counts.append(connection.execute("select count(*) from begun").fetchone())

    assert [(1,), (1,)] == counts


def test_bad_environment() -> None:
    """All that is wrong is said at once, without values, and nothing starts."""
    process = start("postgres", {"PORT": "99999", "INVOKER_DATA_DIR": "volume"})
    _, words = process.communicate(timeout=20)

    assert process.returncode == 1
    assert (
        "postgres cannot start:\n"
        "  PORT: must be a whole number from 1 to 65535\n"
        "  INVOKER_DATA_DIR: must be an absolute path\n"
        "  POSTGRES_PASSWORD: is required\n"
    ) == words


def test_unknown_service() -> None:
    """A name that is none of the six is refused with the six."""
    process = start("redis", {})
    _, words = process.communicate(timeout=20)

    assert "say which service to be: postgres, postgrest, gotrue" in words
