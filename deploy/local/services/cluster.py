"""A PostgreSQL that has what a dev environment's image has: one data directory, one volume."""

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final

import psycopg
from psycopg import sql

from deploy.local.postgres import BINARIES, NOBODY, EmbeddedPostgres, PostgresError

INITIAL: Final = Path(__file__).with_name("initial.sql")
PROGRAMS: Final = (
    "createdb",
    "dropdb",
    "pg_dump",
    "pg_dumpall",
    "pg_isready",
    "pg_restore",
    "psql",
)
"""PostgreSQL's clients that commands run inside a machine find."""

_SETTINGS: Final = {
    # A process that dies leaves its writes with the kernel; only a computer that dies loses them.
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "min_wal_size": "4MB",
    "max_wal_size": "64MB",
    # A statement that fails is not repeated in the log: it may hold a password.
    "log_min_error_statement": "panic",
}
_TRUSTED: Final = """\
#!/bin/sh
# Inside the machine 127.0.0.1 is trusted. Here it is one computer for all,
# so what asks for it without a port of its own is led to the socket that is this machine's only.
for word do
  case $word in -p*|--port*) exec {program} "$@" ;; esac
done
for word do
  shift
  case $word in
    127.0.0.1) word={socket} ;;
    -h127.0.0.1) word=-h{socket} ;;
    --host=127.0.0.1) word=--host={socket} ;;
  esac
  set -- "$@" "$word"
done
exec {program} "$@"
"""


class Cluster(EmbeddedPostgres):
    """The database of one dev environment, kept between runs, gone with its starter.

    `prepare`, `start` and `stop` are `EmbeddedPostgres`'s;
    the first start makes roles, schemas and grants as the image's own first start does.

    Args:
        data: The volume: cluster, log and socket live below it; made when missing.
        port: TCP port on 127.0.0.1, or None for the Unix socket only.
        password: What `supabase_admin` and `postgres` get at the first start, as in the image;
            without one nobody comes in by TCP until somebody sets one.
        extra_database: A database to be made beside `postgres` at the first start, if any.
        scripts: SQL files that are run at the first start, in this order, by psql.
        template: What `template` returned, to be copied in place of a first start.
    """

    superuser: ClassVar[str] = "supabase_admin"
    database: ClassVar[str] = "postgres"
    # Small segments: an empty database takes 30 MB of disk in place of 46.
    initdb_options: ClassVar[tuple[str, ...]] = ("--wal-segsize=1",)

    def __init__(
        self,
        data: Path,
        port: int | None = None,
        *,
        password: str | None = None,
        extra_database: str | None = None,
        scripts: tuple[Path, ...] = (),
        template: Path | None = None,
    ) -> None:
        super().__init__(data, port=port, settings=_SETTINGS)
        self._first_password = password
        self._extra_database = extra_database
        self._scripts = scripts
        self._template = template

    @classmethod
    def template(cls, cache: Path) -> Path:
        """Make a cluster that is through its first start, but for passwords, once.

        Args:
            cache: Where it is kept; a later call with other initial SQL makes another one.

        Returns:
            What to give to clusters as their template.

        Raises:
            PostgresError: It could not be made.
        """
        digest = hashlib.sha256(INITIAL.read_bytes() + os.fsencode(BINARIES)).hexdigest()[:16]
        made = cache / digest
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (cache / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (made / "cluster").exists():
                shutil.rmtree(cache / "new", ignore_errors=True)
                new = cls(cache / "new")
                new.start()
                new.stop()
                (cache / "new").rename(made)
        return made / "cluster"

    @property
    def commands(self) -> Path:
        """The directory of the programs that reach this cluster at `-h 127.0.0.1`, trusted."""
        return self.data_dir / "bin"

    def prepare(self) -> None:
        """Claim the directory, make the cluster and the programs of its machine.

        Raises:
            PostgresError: Another process holds the directory, or initdb failed.
        """
        super().prepare()
        # Nobody else serves this directory: what a killed server left would only be in the way.
        for left in self.socket_dir.glob(".s.PGSQL.*"):
            left.unlink(missing_ok=True)
        self.commands.mkdir(exist_ok=True)
        for name in PROGRAMS:
            path = self.commands / name
            program, socket = shlex.quote(str(BINARIES / name)), shlex.quote(str(self.socket_dir))
            path.write_text(_TRUSTED.format(program=program, socket=socket))
            path.chmod(0o755)

    def start(self) -> str:
        """Start the server; the first time, make what the image's first start makes.

        Nobody reaches the server by TCP before that is done.

        Returns:
            The database's URL by the Unix socket.

        Raises:
            PostgresError: The directory is in use, or the server did not come up.
        """
        begun = self.data_dir / "begun"
        if not begun.exists():
            self.settings["listen_addresses"] = ""
            super().start()
            try:
                self._begin()
            finally:
                self.stop()
                del self.settings["listen_addresses"]
            begun.touch()
        return super().start()

    def _begin(self) -> None:
        """What is done once in a volume's life; begun anew when it was broken off."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            if not _exists(connection, "pg_roles", "rolname", "authenticator"):
                with connection.transaction():
                    connection.execute(INITIAL.read_bytes())
            self._make_extra_database(connection)
            self._set_passwords(connection)
        for script in self._scripts:
            self._run(script)

    def _set_passwords(self, connection: psycopg.Connection) -> None:
        if self._first_password is None:
            connection.execute("alter role supabase_admin password null")
        else:
            for role in ("postgres", "supabase_admin"):
                set_password(connection, role, self._first_password)
        # The one that initdb was given is nobody's any more.
        self._password_file.unlink(missing_ok=True)

    def _make_extra_database(self, connection: psycopg.Connection) -> None:
        name = self._extra_database
        if name is not None and not _exists(connection, "pg_database", "datname", name):
            connection.execute(
                sql.SQL("create database {} template postgres owner postgres").format(
                    sql.Identifier(name)
                )
            )

    def _run(self, script: Path) -> None:
        done = subprocess.run(  # noqa: S603 - our own binary
            [
                # Terse: a message with the line that was wrong may show a password.
                *(str(BINARIES / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1"),
                *("-v", "VERBOSITY=terse"),
                *("-f", str(script), self.url(self._extra_database)),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise PostgresError(f"{script.name} failed: {done.stderr.strip()}")

    def _initialise(self) -> None:
        if self._template is None:
            super()._initialise()
            return
        new = self.data_dir / "cluster.new"
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(self._template, new)
        if os.geteuid() == 0:
            for path in _tree(new):
                os.chown(path, NOBODY, NOBODY)
        new.rename(self.cluster)


def set_password(connection: psycopg.Connection, role: str, password: str) -> None:
    """Give ``role`` a password; the server is told its verifier only, and can log no more."""
    verifier = connection.pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    ).decode()
    connection.execute(
        sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(verifier))
    )


def _exists(connection: psycopg.Connection, catalogue: str, column: str, name: str) -> bool:
    query = sql.SQL("select 1 from {} where {} = %s").format(
        sql.Identifier(catalogue), sql.Identifier(column)
    )
    return connection.execute(query, [name]).fetchone() is not None


def _tree(path: Path) -> Iterator[Path]:
    yield path
    yield from path.rglob("*")
