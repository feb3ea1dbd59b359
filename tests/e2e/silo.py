"""A dev environment on the whole product, as its operators, agents and developers meet it."""

import asyncio
import json
import subprocess
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import httpx

from crds.access import AccessTokens, Role
from crds.connection import Keys, keys_name
from crds.devenv import SUFFIXES, Service
from crds.secrets import Cipher
from crds.store import Store
from tests.e2e.gateway import Gateway
from tests.e2e.patience import eventually
from tests.e2e.processes import Process, marked
from tests.e2e.product import ROOT, Product, http
from tests.kubectl.binaries import kubectl

ACCOUNT: Final = "acme"
NAME: Final = "acme-erp"
EXAMPLE: Final = ROOT / "deploy" / "examples" / "devenv.yaml"
# The busiest computer takes no longer for six services, one after the other.
CONVERGE_SECONDS: Final = 90
# The roles that are bound to one account, but for the one of programs that read metrics.
ROLES: Final[tuple[Role, ...]] = (
    "account-owner",
    "devops",
    "security-auditor",
    "dev-orchestrator",
    "dev-worker",
    "clientele",
)
PSQL: Final = (
    *("psql", "-X", "-q", "--csv", "-t", "-v", "ON_ERROR_STOP=1"),
    *("-h", "127.0.0.1", "-U", "supabase_admin", "-d", "postgres", "-f", "-"),
)


class Silo:
    """The dev environment of the example.

    Args:
        product: Where it is.
    """

    def __init__(self, product: Product) -> None:
        self.product = product
        self._tokens: dict[Role, str] = {}

    def kubectl(self, *arguments: str) -> str:
        """Run the newest kubectl as a platform's administrator; returns what it printed.

        Raises:
            AbsentError: There is none here.
        """
        command = [str(kubectl("1.37")), "--kubeconfig", self.product.state / "kubeconfig"]
        return _run([*command, *arguments])

    def bring_up(self) -> None:
        """Wish for the example if it is not there, have it started if it rests, and wait."""
        if not self.product.sql("SELECT name FROM devenvs WHERE name = %s", NAME):
            self.kubectl("apply", "-f", str(EXAMPLE))
        elif self.row()["spec"].get("power") == "Stopped":
            self.wish("/start-silo")
        self.until("active")

    def rest(self) -> None:
        """Have it stopped, and wait."""
        self.wish("/stop-silo")
        self.until("stopped")

    def token(self, role: Role) -> str:
        """A token of a role in the account, as `invoker token create` makes it."""
        if role not in self._tokens:
            self._tokens[role] = asyncio.run(_issue(self.product.database, role))
        return self._tokens[role]

    def ask(self, path: str, *, role: Role = "devops", **body: Any) -> httpx.Response:
        """Ask one of the five operations: a wish when there is a body, else what there is."""
        headers = {"Authorization": f"Bearer {self.token(role)}"}
        with http(base_url=self.product.url("api"), headers=headers) as client:
            if path in {"/silo-status", "/app-context"}:
                return client.get(path, params={"silo_id": NAME})
            return client.post(path, json={"silo_id": NAME, **body})

    def wish(self, path: str) -> None:
        """Wish for something as devops."""
        answer = self.ask(path)
        assert httpx.codes.ACCEPTED == answer.status_code, answer.text

    def status(self) -> dict[str, Any]:
        """What `GET /silo-status` says."""
        answer = self.ask("/silo-status")
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return told

    def until(self, status: str, *, within: float = CONVERGE_SECONDS) -> dict[str, Any]:
        """Wait until `GET /silo-status` says so, and return all that it says."""

        def ask() -> dict[str, Any]:
            told = self.status()
            assert status == told["overall_status"], told
            return told

        return eventually(ask, within=within)

    def context(self, role: Role = "devops") -> dict[str, Any]:
        """What connects to it, as far as that is a role's to know."""
        answer = self.ask("/app-context", role=role)
        assert httpx.codes.OK == answer.status_code, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def gateway(self, key: str) -> Gateway:
        """Kong by its public name, with a key."""
        return Gateway(self.public("kong"), key)

    def public(self, service: Service) -> Callable[..., httpx.Client]:
        """A maker of clients that go to a service's public name, which only Fly's proxy knows."""

        def client(**options: Any) -> httpx.Client:
            headers = {"Host": f"{self.app(service)}.fly.dev", **options.pop("headers", {})}
            return http(base_url=self.product.url("proxy"), headers=headers, **options)

        return client

    def app(self, service: Service) -> str:
        """The name of a service's Fly app."""
        return f"devenv-{NAME}-{SUFFIXES[service]}"

    def row(self) -> dict[str, Any]:
        """Its row."""
        (row,) = self.product.sql("SELECT * FROM devenvs WHERE name = %s", NAME)
        return row

    def step(self) -> str:
        """Where a move has come to; nothing where there is none."""
        move = self.row()["status"].get("move") or {}
        return str(move.get("step", ""))

    def machines(self) -> list[dict[str, Any]]:
        """Fly's machines in all its apps."""
        return [machine for service in SUFFIXES for machine in self._of(service, "machines")]

    def volumes(self) -> list[dict[str, Any]]:
        """Fly's volumes in all its apps."""
        return [volume for service in SUFFIXES for volume in self._of(service, "volumes")]

    def sql(self, statements: str) -> list[str]:
        """Run SQL in its database as a developer with the provider's token would.

        Returns:
            The lines of the answers.
        """
        (machine,) = self._of("postgres", "machines")
        headers = {"Authorization": f"Bearer {self.product.secret('fly_token')}"}
        body = {"command": PSQL, "stdin": statements, "timeout": 30}
        path = f"/v1/apps/{self.app('postgres')}/machines/{machine['id']}/exec"

        def ask() -> dict[str, Any]:
            """The provider lets few commands through at a time, and the controllers have theirs."""
            with http(base_url=self.product.url("fly"), headers=headers) as client:
                answer = client.post(path, json=body)
            answer.raise_for_status()
            told: dict[str, Any] = answer.json()
            return told

        ran = eventually(ask, within=CONVERGE_SECONDS)
        assert 0 == ran["exit_code"], ran["stderr"]
        return str(ran["stdout"]).splitlines()

    def process(self, service: Service) -> Process:
        """The process of a service, by what the simulated provider knows of it."""
        (machine,) = self._of(service, "machines")
        file = self.product.state / "cloud" / "fly" / "run" / f"{machine['id']}.json"
        pid = json.loads(file.read_text())["pid"]
        return next(found for found in marked(machine["id"]) if found.pid == pid)

    def keys(self) -> Keys:
        """Its keys, decrypted with the installation's own."""
        statement = "SELECT ciphertext FROM secrets WHERE namespace = %s AND name = %s"
        (row,) = self.product.sql(statement, ACCOUNT, keys_name(NAME))
        cipher = Cipher.from_keys(self.product.secret("encryption_keys"))
        return Keys.from_bytes(cipher.decrypt(bytes(row["ciphertext"])))

    def secrets(self) -> list[str]:
        """The names of the account's secrets."""
        statement = "SELECT name FROM secrets WHERE namespace = %s ORDER BY name"
        return [row["name"] for row in self.product.sql(statement, ACCOUNT)]

    def netlify(self, path: str) -> Any:
        """Ask Netlify."""
        headers = {"Authorization": f"Bearer {self.product.secret('netlify_token')}"}
        with http(base_url=self.product.url("netlify"), headers=headers) as client:
            answer = client.get(f"/api/v1{path}")
        answer.raise_for_status()
        return answer.json()

    def builds(self) -> list[str]:
        """The titles of the front end's builds, newest first."""
        return [deploy["title"] for deploy in self.netlify(f"/sites/{NAME}/deploys")]

    def variable(self, name: str) -> str:
        """What the front end's builds are told."""
        (value,) = self.netlify(f"/accounts/invoker/env/{name}?site_id={NAME}")["values"]
        return str(value["value"])

    def _of(self, service: Service, what: str) -> list[dict[str, Any]]:
        def ask() -> httpx.Response:
            """The provider lets few lists through at a time."""
            answer = self.product.fly(f"/v1/apps/{self.app(service)}/{what}")
            assert answer.status_code in {httpx.codes.OK, httpx.codes.NOT_FOUND}, answer.text
            return answer

        answer = eventually(ask, within=CONVERGE_SECONDS)
        found: list[dict[str, Any]] = [] if answer.is_error else answer.json()
        return found


async def _issue(database: str, role: Role) -> str:
    async with Store.opened(database) as store:
        made, _ = await AccessTokens(store).issue(
            role, role, lifetime=timedelta(hours=1), account=ACCOUNT, created_by="tests"
        )
    return made


def _run(command: list[Any]) -> str:
    done = subprocess.run(  # noqa: S603 - our own programs
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout
