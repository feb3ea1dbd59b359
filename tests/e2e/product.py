"""The whole product as a user starts it, and what can be asked of it from outside."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

import httpx
import psycopg
from psycopg.rows import DictRow, dict_row

from deploy.local.children import bound
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.settings import HOST, PORTS, variable
from tests.e2e.patience import eventually
from tests.e2e.processes import Process, marked, running

ROOT: Final = Path(__file__).parents[2]
READY: Final = "invoker is ready"
START_SECONDS: Final = 90
STOP_SECONDS: Final = 40

# How each part of the tree is told from the others: words of its command.
PARTS: Final[Mapping[str, Sequence[str]]] = {
    "postgres": ("-D",),
    "fly": ("deploy.local.simulators", "fly"),
    "kv": ("deploy.local.simulators", "kv"),
    "auth": ("deploy.local.simulators", "auth"),
    "netlify": ("deploy.local.simulators", "netlify"),
    "digitalocean": ("deploy.local.simulators", "digitalocean"),
    "api": ("-m", "api"),
    "controller": ("-m", "controller"),
    "edge": ("serve",),
}


def free_ports(count: int) -> list[int]:
    """Ports that nobody has at present, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


# Reading the certificates takes longer than a whole request here.
_CONTEXT: Final = ssl.create_default_context()


def http(**options: Any) -> httpx.Client:
    """A client without memory: no cookies, no connections of earlier requests."""
    return httpx.Client(verify=_CONTEXT, trust_env=False, timeout=30, **options)


class Product:
    """`python -m deploy.local` in a process group of its own.

    Args:
        state: Its state directory; the path has to be its alone.
        log: Where its output goes.
    """

    def __init__(self, state: Path, log: Path) -> None:
        self.state = state
        self.log = log
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGTERM)

    def start(self) -> None:
        """Start it in the foreground of a new session and wait until it says that it is ready.

        Raises:
            AssertionError: It ended, or was not ready in time; with what it wrote.
        """
        begin = self.log.stat().st_size if self.log.exists() else 0
        environment = {
            **{name: value for name, value in os.environ.items() if name not in _FOREIGN},
            **{variable(part): str(port) for part, port in self.ports.items()},
            "INVOKER_STATE": str(self.state),
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                # Should the tests themselves be killed, it goes as well.
                bound([sys.executable, "-m", "deploy.local"]),
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(lambda: self._is_ready(begin), within=START_SECONDS)

    def stop(self, number: signal.Signals) -> list[Process]:
        """Signal the foreground group as a terminal does, and wait for the end.

        Returns:
            What is left of it: nothing, if all is well. It is ended all the same.
        """
        if self._process is None:
            return []
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        left = self.processes()
        for process in left:
            with suppress(ProcessLookupError):
                process.kill()
        return left

    def kill_all(self) -> None:
        """Kill the foreground process, and wait until everything below it has gone by itself."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None
        eventually(lambda: not self.processes(), within=STOP_SECONDS)

    def processes(self) -> list[Process]:
        """Everything that runs on its state, wherever it hangs in the tree."""
        return marked(str(self.state))

    def part(self, name: str) -> Process | None:
        """The process of a part, while it has one."""
        ours = self._process.pid if self._process else None
        found = running(self.processes(), *PARTS[name])
        return next((process for process in found if process.parent == ours), None)

    def kill(self, name: str) -> None:
        """Kill a part and wait until another process has taken its place and answers."""
        before = self.part(name)
        assert before is not None
        before.kill()
        eventually(lambda: (now := self.part(name)) and now.pid != before.pid, within=20)
        eventually(lambda: self._answers(name), within=START_SECONDS)

    def agent(self, machine: str) -> Process | None:
        """The process of the agent in a machine, while there is one."""
        agents = running(marked(machine), "deploy.agent")
        return agents[0] if agents else None

    def url(self, part: str) -> str:
        """The base address of a part."""
        return f"http://{HOST}:{self.ports[part]}"

    @property
    def database(self) -> str:
        """Where the running database is."""
        return EmbeddedPostgres(self.state / "postgres", port=self.ports["postgres"]).url()

    def sql(self, statement: str, *values: object) -> list[DictRow]:
        """Run one statement as an operator with psql would."""
        connection = psycopg.connect(self.database, autocommit=True, row_factory=dict_row)
        with connection, connection.cursor() as cursor:
            cursor.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def secret(self, name: str) -> str:
        """One of the installation's secrets."""
        return (self.state / "secrets" / name).read_text().strip()

    def fly(self, path: str) -> httpx.Response:
        """Ask the machines' provider."""
        headers = {"Authorization": f"Bearer {self.secret('fly_token')}"}
        with http(base_url=self.url("fly"), headers=headers) as client:
            return client.get(path)

    def routes(self) -> set[str]:
        """The subdomains in Workers KV, by its REST API."""
        account, namespace = f"{1:032}", f"{2:032}"
        token = self.secret("cloudflare_token")
        with http(headers={"Authorization": f"Bearer {token}"}) as client:
            answer = client.get(
                f"{self.url('kv')}/client/v4/accounts/{account}"
                f"/storage/kv/namespaces/{namespace}/keys?prefix=route:"
            )
        return {key["name"].removeprefix("route:") for key in answer.json()["result"]}

    def register(self, first_name: str) -> dict[str, Any]:
        """Sign a new user up; the answer has their token and subdomain."""
        body = {
            "email": f"{first_name}-{uuid.uuid4().hex[:8]}@example.com".lower(),
            "password": "correct horse",
            "first_name": first_name,
        }
        with http() as client:
            answer = client.post(self.url("api") + "/api/auth/register", json=body)
        answer.raise_for_status()
        registered: dict[str, Any] = answer.json()
        return {**registered, "password": body["password"]}

    def _answers(self, name: str) -> bool:
        if name == "postgres":
            return bool(self.sql("SELECT 1"))
        with http() as client:
            return not client.get(self.url(name)).is_server_error

    def _is_ready(self, begin: int) -> bool:
        words = self.log.read_bytes()[begin:].decode(errors="replace")
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"it ended ({self._process.returncode}):\n{words}")
        return READY in words


# What would make it another installation than the one that a user gets by `make run`.
_FOREIGN: Final = frozenset(
    {"DATABASE_URL", "FLY_API_TOKEN", "CLOUDFLARE_API_TOKEN", "SUPABASE_URL"}
)
