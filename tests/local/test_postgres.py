"""The embedded PostgreSQL."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from deploy.local.postgres import EmbeddedPostgres, PostgresError


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A directory that the server's user can reach."""
    with tempfile.TemporaryDirectory(prefix="invoker-pg-") as path:
        yield Path(path)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def test_data_survives_a_kill(data_dir: Path) -> None:
    """What was committed is there after kill -9 of the server and a new start."""
    with EmbeddedPostgres(data_dir) as server:
        with psycopg.connect(server.url()) as connection:
            connection.execute("create table kept as select 7 as n")
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        server.start()

        with psycopg.connect(server.url()) as connection:
            assert connection.execute("select n from kept").fetchone() == (7,)


def test_second_server_is_refused(data_dir: Path) -> None:
    """A second server on the same directory is refused and the first goes on."""
    with EmbeddedPostgres(data_dir) as server:
        with pytest.raises(PostgresError, match="in use by another invoker"):
            EmbeddedPostgres(data_dir).start()

        assert server.is_ready()


def test_server_of_a_dead_launcher_is_refused(data_dir: Path) -> None:
    """A server whose launcher lost its claim still keeps the directory to itself."""
    with EmbeddedPostgres(data_dir) as server:
        server.release()

        with pytest.raises(PostgresError, match="already serves"):
            EmbeddedPostgres(data_dir).start()


def test_stale_pid_of_a_live_process(data_dir: Path) -> None:
    """A pid file that names a live process which is no server of ours does not stop a start."""
    with EmbeddedPostgres(data_dir) as server:
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        pid_file = server.cluster / "postmaster.pid"
        rest = pid_file.read_text().split("\n", 1)[1]
        pid_file.write_text(f"{os.getpid()}\n{rest}")

        server.start()

        assert server.is_ready()


def test_tcp_wants_the_password(data_dir: Path) -> None:
    """By TCP the generated password opens the database, and nothing else does."""
    with EmbeddedPostgres(data_dir, port=_free_port()) as server:
        with psycopg.connect(server.tcp_url()) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://invoker@127.0.0.1:{server.port}/invoker")

        assert (data_dir / "password").stat().st_mode & 0o077 == 0


def test_long_path(data_dir: Path) -> None:
    """A directory too long for a socket's path is served all the same, and left clean."""
    deep = data_dir / ("d" * 120)
    with EmbeddedPostgres(deep) as server:
        assert server.is_ready()
        outside = server.socket_dir

    assert not outside.exists()


def test_closed_directory(data_dir: Path) -> None:
    """Below a directory that is open to its owner only, the server of another user works."""
    data_dir.chmod(0o700)
    with EmbeddedPostgres(data_dir / "below") as server:
        assert server.is_ready()


def test_stop_is_a_shutdown(data_dir: Path) -> None:
    """Stopping ends the server in order: it leaves no pid file."""
    server = EmbeddedPostgres(data_dir)
    server.start()
    process = server.process
    server.stop()

    assert process is not None
    assert process.returncode == 0
    assert not (server.cluster / "postmaster.pid").exists()


def test_broken_initialisation_is_made_anew(data_dir: Path) -> None:
    """A first start that was cut off in initdb does not spoil the next one."""
    (data_dir / "cluster.new" / "base").mkdir(parents=True)
    with EmbeddedPostgres(data_dir) as server:
        assert server.is_ready()


def test_fresh_database(database_url: str) -> None:
    """A test's database is its own."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute("select current_database()").fetchone()

    assert row is not None
    assert row[0].startswith("test_")
