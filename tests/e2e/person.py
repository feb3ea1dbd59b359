"""A user: their account, their wishes to the API, their requests at the edge."""

import ipaddress
import itertools
import socket
from typing import Any, Final

import httpx
from websockets.sync.client import ClientConnection, connect

from deploy.local.settings import HOST
from tests.e2e.patience import eventually
from tests.e2e.product import Product, http

CONVERGE_SECONDS: Final = 60
WISHES: Final = {
    "start": ("POST", "/api/vm/start"),
    "stop": ("DELETE", "/api/vm/stop"),
    "rename": ("PUT", "/api/vm/subdomain"),
    "delete": ("DELETE", "/api/vm"),
}

# Every request comes from an address of its own: the rate limit has a test of its own.
_addresses = map(
    str, map(ipaddress.IPv4Address, itertools.count(int(ipaddress.IPv4Address("10.0.0.1"))))
)


class Person:
    """Somebody with an account.

    Args:
        product: Where they are.
        name: Their first name, from which their subdomain comes.
    """

    def __init__(self, product: Product, name: str) -> None:
        registered = product.register(name)
        self.product = product
        self.id: str = registered["user"]["id"]
        self.email: str = registered["user"]["email"]
        self.password: str = registered["password"]
        self.token: str = registered["access_token"]
        self.subdomain: str = registered["subdomain"]

    @property
    def bearer(self) -> dict[str, str]:
        """The header by which they show who they are."""
        return {"Authorization": f"Bearer {self.token}"}

    def wish(self, what: str, **body: str) -> dict[str, Any]:
        """Tell the API what shall be; returns its answer.

        Args:
            what: `start`, `stop`, `rename` or `delete`.
            body: The wish's own fields.
        """
        method, path = WISHES[what]
        with http(base_url=self.product.url("api"), headers=self.bearer) as client:
            answer = client.request(method, path, json=body or None)
        answer.raise_for_status()
        wished: dict[str, Any] = answer.json()
        return wished

    def status(self) -> dict[str, Any]:
        """What the API says about their machine."""
        with http(base_url=self.product.url("api"), headers=self.bearer) as client:
            answer = client.get("/api/vm/status")
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return told

    def until(self, status: str, *, within: float = CONVERGE_SECONDS) -> dict[str, Any]:
        """Wait until the API says so about their machine."""

        def ask() -> dict[str, Any]:
            told = self.status()
            assert told["status"] == status
            return told

        return eventually(ask, within=within)

    def move_in(self) -> None:
        """Start their machine and wait until it answers them."""
        self.wish("start")
        self.until_answered()

    def until_answered(self, *, at: str | None = None, within: float = CONVERGE_SECONDS) -> None:
        """Wait until the machine answers them at the edge."""

        def ask() -> bool:
            answer = self.visit("/api/identity", at=at)
            assert answer.status_code == httpx.codes.OK, answer.text
            return bool(answer.json()["user"] == self.id)

        eventually(ask, within=within)

    def keep(self, notes: str) -> None:
        """Write notes to the volume."""
        answer = self.visit("/api/notes", "PUT", json={"notes": notes})
        answer.raise_for_status()

    def notes(self) -> str:
        """The notes on the volume."""
        answer = self.visit("/api/notes")
        answer.raise_for_status()
        notes: str = answer.json()["notes"]
        return notes

    def visit(
        self,
        path: str = "/",
        method: str = "GET",
        *,
        at: str | None = None,
        signed_in: bool = True,
        html: bool = False,
        **options: Any,
    ) -> httpx.Response:
        """Send a request to a subdomain through the edge; their own one unless told.

        The name is in the Host header only: the system's resolver need not know it.
        """
        headers = {
            "Host": f"{at or self.subdomain}.localhost:{self.product.ports['edge']}",
            "CF-Connecting-IP": next(_addresses),
            "Accept": "text/html" if html else "application/json",
            **(self.bearer if signed_in else {}),
            **options.pop("headers", {}),
        }
        with http(base_url=self.product.url("edge")) as client:
            return client.request(method, path, headers=headers, **options)

    def talk(self, path: str) -> ClientConnection:
        """Open a WebSocket to their machine through the edge."""
        port = self.product.ports["edge"]
        return connect(
            f"ws://{self.subdomain}.localhost:{port}{path}",
            sock=socket.create_connection((HOST, port)),
            additional_headers={**self.bearer, "CF-Connecting-IP": next(_addresses)},
            proxy=None,
        )

    def route(self) -> str | None:
        """The state of their subdomain that the edge has been told; None while it is being told."""
        (row,) = self.product.sql("SELECT status FROM routes WHERE name = %s", self.subdomain)
        status = row["status"]
        state: str | None = status["entry"]["state"] if status["published"] else None
        return state

    def row(self, view: str) -> dict[str, Any]:
        """Their row in one of the views by kind."""
        (row,) = self.product.sql(f"SELECT * FROM {view} WHERE namespace = %s", self.id)  # noqa: S608 - a name of ours
        return row
