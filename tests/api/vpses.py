"""VPSs under test: rows as the controller leaves them, and people who ask."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, TypeVar
from uuid import UUID

import httpx
from jsonschema import Draft202012Validator

from api import openapi
from api.operations import OPERATIONS
from crds.access import ROLES_OF_ACCOUNTS, AccessTokens, Role
from crds.account import Account, AccountSpec
from crds.authorized_key import AuthorizedKey, AuthorizedKeySpec
from crds.cloud_connection import DIGITALOCEAN, CloudConnection, CloudConnectionSpec
from crds.gateways import Credentials, credentials_name
from crds.meta import Condition, ObjectMeta, Resource, Retry
from crds.secrets import Secrets
from crds.session import Session, SessionSpec
from crds.store import Store
from crds.store.observations import Observation
from crds.vps import DropletStatus, Vps, VpsCost, VpsSpec
from tests.api.service import EDGE_TOKEN, Service, problem_of

R = TypeVar("R", bound=Resource)

OWN: Final = "alice"
OTHER: Final = "bob"
TOKEN: Final = "the-gateway-token-of-these-tests-0123456789"
HEALTH: Final[dict[str, Any]] = {
    "type": "gateway.health",
    "cpu_percent": 12.5,
    "memory_used_bytes": 100,
    "memory_total_bytes": 200,
    "disk_used_bytes": 300,
    "disk_total_bytes": 400,
    "uptime_seconds": 86400,
}


@cache
def _document() -> dict[str, Any]:
    return openapi.document(OPERATIONS)


def described(method: str, path: str) -> dict[str, Any]:
    """The description of an operation, by a path that it serves."""
    for template, methods in _document()["paths"].items():
        pattern = re.sub(r"{\w+}", "[^/]+", template)
        if re.fullmatch(pattern, path.partition("?")[0]) and method.lower() in methods:
            found: dict[str, Any] = methods[method.lower()]
            return found
    raise AssertionError(f"{method} {path} is in no description")


def check_described(method: str, path: str, answer: httpx.Response) -> None:
    """Have an answer be one that the description allows."""
    responses = described(method, path)["responses"]
    assert str(answer.status_code) in responses, (method, path, answer.text)
    for kind, content in responses[str(answer.status_code)].get("content", {}).items():
        assert kind == answer.headers["content-type"]
        schema = {**content["schema"], "components": _document()["components"]}
        Draft202012Validator(schema).validate(answer.json())


def ssh_key(number: int) -> str:
    """A public key, another for each number."""
    parts = (b"ssh-ed25519", number.to_bytes(32, "big"))
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} key-{number}@example.com"


@dataclass
class Coast:
    """Accounts with VPSs, and a running API.

    Attributes:
        service: The API.
        secret: What no answer may hold.
    """

    service: Service
    secret: set[str] = field(default_factory=lambda: {EDGE_TOKEN, TOKEN})
    _tokens: dict[tuple[Role, str], str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        """The API's store."""
        return self.service.store

    @property
    def now(self) -> datetime:
        """The API's time."""
        return self.store.clock.now()

    async def account(self, name: str = OWN, **spec: Any) -> Account:
        """Make an account that is connected."""
        wish = AccountSpec.model_validate({"email": f"{name}@example.com", **spec})
        made = await self.store.create(Account(metadata=ObjectMeta(name=name), spec=wish))
        await self.connect(name)
        return made

    async def connect(self, name: str) -> None:
        """Have an account connected to DigitalOcean."""
        meta = ObjectMeta(name=DIGITALOCEAN, namespace=name)
        row = await self.store.create(CloudConnection(metadata=meta, spec=CloudConnectionSpec()))
        await self.tell(row, phase="Connected", observed_generation=1)

    async def state(self, state: str, name: str = OWN) -> None:
        """Change an account's state."""
        account = await self.store.get(Account, name)
        account.spec = AccountSpec.model_validate({**dict(account.spec), "state": state})
        await self.store.update(account)

    async def vps(
        self, name: str = "vps-1", namespace: str = OWN, wished: Sequence[str] = (), **status: Any
    ) -> Vps:
        """Make a VPS that runs, or has another status."""
        meta, spec = ObjectMeta(name=name, namespace=namespace), VpsSpec(agents=list(wished))
        row = await self.store.create(Vps(metadata=meta, spec=spec))
        usual = {"phase": "Running", "observed_generation": 1, "droplet": self.droplet()}
        return await self.tell(row, **usual | status)

    def droplet(self) -> DropletStatus:
        """A droplet as DigitalOcean tells of it."""
        return DropletStatus(
            id=4711,
            status="active",
            ipv4="192.0.2.7",
            region="ams3",
            size="s-1vcpu-1gb",
            image="ubuntu-24-04-x64",
            created_at=self.now,
        )

    async def session(
        self, vps: Vps, name: str = "session-1", uid: UUID | None = None, **status: Any
    ) -> Session:
        """Make a session that runs, or has another status."""
        meta = ObjectMeta(name=name, namespace=vps.metadata.namespace, uid=uid)
        spec = SessionSpec(vps=vps.metadata.name)
        row = await self.store.create(Session(metadata=meta, spec=spec))
        return await self.tell(row, **{"phase": "Running", "started_at": self.now, **status})

    async def key(
        self, vps: Vps, name: str = "key-1", number: int = 1, **spec: Any
    ) -> AuthorizedKey:
        """Make a key that is let in."""
        meta = ObjectMeta(name=name, namespace=vps.metadata.namespace)
        wish = AuthorizedKeySpec(vps=vps.metadata.name, public_key=ssh_key(number), **spec)
        row = await self.store.create(AuthorizedKey(metadata=meta, spec=wish))
        return await self.tell(row, phase="Authorized")

    async def tell(self, row: R, **status: Any) -> R:
        """Write a status, as the controller would."""
        for name, value in status.items():
            setattr(row.status, name, value)
        return await self.store.update_status(row)

    async def hold(self, row: Resource) -> None:
        """Ask for a row's deletion, which a finalizer delays."""
        row.metadata.finalizers = ["invoker.dev/test"]
        await self.store.update(row)
        await self.store.delete(type(row), row.metadata.name, row.metadata.namespace)

    async def hear(self, gateway: UUID, *seen: tuple[str, str, Any]) -> None:
        """Have the hub's observations of a gateway: subjects, kinds and messages."""
        heard = [
            Observation(gateway, subject, number, kind, self.now, message)
            for number, (subject, kind, message) in enumerate(seen, 1)
        ]
        await self.store.observations.record(heard, self.now)

    async def credential(self, vps: Vps, *tokens: str) -> None:
        """Keep what belongs to a gateway's tokens."""
        held = Credentials()
        for token in tokens:
            digest = self.service.api.gateway_tokens.digest(vps.uid, token)
            self.secret |= {token, digest}
            held = held.plus(digest, self.now)
        secrets = Secrets(self.store, self.service.api.cipher)
        name = credentials_name(vps.metadata.name)
        await secrets.put(vps.metadata.namespace, name, held.to_bytes())

    async def token(self, role: Role = "account-owner", account: str = OWN) -> str:
        """A token of a role."""
        if (role, account) not in self._tokens:
            self._tokens[role, account], _ = await AccessTokens(self.store).issue(
                f"the {role}",
                role,
                lifetime=timedelta(hours=1),
                account=account if role in ROLES_OF_ACCOUNTS else "",
                created_by="tests",
            )
        return self._tokens[role, account]

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        by: Role = "account-owner",
        of: str = OWN,
        key: str | None = None,
    ) -> httpx.Response:
        """Ask as somebody with a token; whatever comes is described, and says nothing secret."""
        headers = {"Authorization": f"Bearer {await self.token(by, of)}"}
        headers |= {} if key is None else {"Idempotency-Key": key}
        return await self.send(method, path, body, headers)

    async def hub(self, path: str, body: Any, token: str = EDGE_TOKEN) -> httpx.Response:
        """Ask as the Worker."""
        return await self.send("POST", path, body, {"Authorization": f"Bearer {token}"})

    async def send(
        self, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> httpx.Response:
        """Ask; whatever comes is described, and says nothing secret."""
        answer = await self.service.client.request(method, path, headers=headers, json=body)
        check_described(method, path, answer)
        text = answer.text + json.dumps(dict(answer.headers))
        assert not [secret for secret in self.secret if secret in text]
        return answer

    async def good(self, method: str, path: str, body: Any = None, **how: Any) -> Any:
        """The body of an answer that must be a good one."""
        answer = await self.ask(method, path, body, **how)
        assert answer.is_success, answer.text
        return answer.json()


def fields_of(answer: httpx.Response) -> list[str]:
    """The fields that a problem names; each has a rule."""
    errors = problem_of(answer)["errors"]
    assert all(error["rule"] for error in errors)
    return [error["field"] for error in errors]


def unready(reason: str, message: str, now: datetime) -> list[Condition]:
    """The conditions of what is not ready."""
    ready = Condition(
        type="Ready", status="False", reason=reason, message=message, last_transition_time=now
    )
    return [ready]


def retry(reason: str, message: str) -> Retry:
    """Something that stands in the way."""
    return Retry(kind="Blocked", reason=reason, message=message)


COST: Final = VpsCost(monthly_usd=6.0, hourly_usd=0.00893)
