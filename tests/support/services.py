"""The services of a dev environment as processes, for tests."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg

from deploy.local.children import bound
from deploy.local.services import tokens
from deploy.local.services.cluster import Cluster, set_password

ROOT: Final = Path(__file__).resolve().parents[2]
SECRET: Final = "the secret of this environment's tokens"
PASSWORD: Final = "p%w/d of:the@database"
ROLES: Final = ("authenticator", "supabase_auth_admin", "supabase_storage_admin")
HOUR: Final = 3600


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def volume(user: int | None = None) -> Iterator[Path]:
    """A directory that a server's own user can reach, given to ``user``, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="invoker-service-") as path:
        if user is not None:
            os.chown(path, user, user)
        yield Path(path)


def start(
    name: str, variables: Mapping[str, str], user: int | None = None
) -> subprocess.Popen[str]:
    """Start a service as a machine would; its messages are in `stderr`."""
    command = [sys.executable, "-m", "deploy.local.services", name]
    if user is not None:
        command = bound(command, user=user, reach=[Path(sys.executable).resolve(), ROOT])
    return subprocess.Popen(  # noqa: S603 - our own module
        command,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **variables},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_until_listening(process: subprocess.Popen[str]) -> None:
    """Return once the service has said that it listens.

    Raises:
        RuntimeError: It ended before; with what it said.
    """
    said = []
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)
        if "listening on port" in line:
            return
    raise RuntimeError("".join(said))


@contextmanager
def running(
    name: str, variables: Mapping[str, str], user: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a service that listens; it is ended afterwards."""
    process = start(name, variables, user)
    try:
        wait_until_listening(process)
        yield process
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def database() -> Iterator[Cluster]:
    """A dev environment's database whose services can log in, removed afterwards."""
    with volume() as data, Cluster(data, free_port(), password=PASSWORD) as cluster:
        with psycopg.connect(cluster.url(), autocommit=True) as connection:
            for role in ROLES:
                set_password(connection, role, PASSWORD)
        yield cluster


def address(cluster: Cluster, role: str) -> str:
    """The database's URL by TCP, as a service is told it."""
    return f"postgres://{role}:{quote(PASSWORD, safe='')}@127.0.0.1:{cluster.port}/postgres"


def token(role: str, secret: str = SECRET, *, age: int = 0, **claims: Any) -> str:
    """A token with this role; one that is older than an hour has expired."""
    issued = int(time.time()) - age
    return tokens.sign({"role": role, "iat": issued, "exp": issued + HOUR, **claims}, secret)
