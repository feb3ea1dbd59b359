"""The API alone, as a process on a database, with its door for kubectl."""

import base64
import os
import signal
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import httpx
import yaml
from cryptography.fernet import Fernet

from deploy.local.children import bound
from deploy.local.settings import HOST
from tests.e2e.patience import eventually
from tests.e2e.product import ROOT, free_ports

START_SECONDS: Final = 30
STOP_SECONDS: Final = 20


@dataclass(frozen=True, slots=True)
class Access:
    """What a kubeconfig says.

    Attributes:
        server: The API's address.
        authority: The certificate that signs the API's, as PEM.
        token: The bearer token.
    """

    server: str
    authority: str
    token: str

    @classmethod
    def read(cls, kubeconfig: Path) -> Self:
        """Read the current context of a kubeconfig."""
        config = yaml.safe_load(kubeconfig.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return cls(cluster["server"], authority, user["token"])

    @property
    def tls(self) -> ssl.SSLContext:
        """A context that believes this API's authority, and no other."""
        return ssl.create_default_context(cadata=self.authority)

    @property
    def bearer(self) -> dict[str, str]:
        """The header by which one shows who one is."""
        return {"Authorization": f"Bearer {self.token}"}

    def client(self, **options: Any) -> httpx.Client:
        """A client that is let in."""
        return httpx.Client(
            base_url=self.server,
            headers=self.bearer,
            verify=self.tls,
            trust_env=False,
            timeout=30,
            **options,
        )


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


class Door:
    """`python -m api` on a migrated database.

    Args:
        database_url: The database.
        folder: Its own; the kubeconfig and its log are there.
    """

    def __init__(self, database_url: str, folder: Path) -> None:
        self.database_url = database_url
        self.kubeconfig = folder / "state" / "kubeconfig"
        self.log = folder / "log"
        self._keys = Fernet.generate_key().decode()
        self._ports = free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGTERM)

    @property
    def access(self) -> Access:
        """How to get in."""
        return Access.read(self.kubeconfig)

    def start(self) -> None:
        """Start it and wait until it lets its administrator in.

        Raises:
            AssertionError: It ended, or was not ready in time; with what it wrote.
        """
        self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                bound([sys.executable, "-m", "api"]),
                cwd=ROOT,
                env={**os.environ, **self._environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        eventually(self._lets_in, within=START_SECONDS)

    def stop(self, number: signal.Signals) -> None:
        """Send it a signal and wait for its end."""
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _environment(self) -> dict[str, str]:
        http, kubernetes = self._ports
        return {
            "DATABASE_URL": self.database_url,
            "INVOKER_DOMAIN": "invoker.test",
            "INVOKER_ENCRYPTION_KEYS": self._keys,
            "INVOKER_EDGE_TOKEN": "edge-token-of-the-tests",
            "INVOKER_API_PORT": str(http),
            "INVOKER_KUBERNETES_PORT": str(kubernetes),
            "INVOKER_KUBERNETES_STATE": str(self.kubeconfig.parent),
            "INVOKER_LOG_FORMAT": "text",
            # Nobody signs in here, so nothing answers there.
            "SUPABASE_URL": f"http://{HOST}:9",
            "SUPABASE_ANON_KEY": "none",
        }

    def _lets_in(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"the API ended:\n{self.log.read_text(errors='replace')}")
        with self.access.client() as client:
            return client.get("/apis/invoker.dev/v1/workspaces").is_success
