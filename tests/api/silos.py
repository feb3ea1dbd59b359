"""Dev environments under test: rows as the controller leaves them, and agents who ask."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import httpx

from crds.access import ROLES_OF_ACCOUNTS, AccessTokens, Role
from crds.account import Account, AccountSpec
from crds.connection import ConnectionInfo, connection_name
from crds.devenv import Connection, DevEnv, DevEnvSpec, ServiceStatus
from crds.machine import Machine, MachineSpec
from crds.meta import ObjectMeta
from crds.platform import PLATFORM, Platform
from crds.secrets import Secrets
from tests.api.service import Service

OWN: Final = "acme"
OTHER: Final = "globex"
SILO: Final = "acme-erp"
PASSWORD: Final = "p@ss:w/rd?x=1"
PARTS: Final[dict[str, str]] = {
    "supabase_url": "https://devenv-acme-erp-kong.fly.dev",
    "studio_url": "https://devenv-acme-erp-studio.fly.dev",
    "studio_user": "supabase",
    "studio_password": "a password of the administrators' page",
    "silo_preview_url": "https://silo-acme-erp--prod.netlify.app",
    "supabase_anon_key": "anon.key.of-the-tests",
    "supabase_service_role_key": "service.key.of-the-tests",
    "db_password": PASSWORD,
    "db_connection_string": f"postgres://postgres:{PASSWORD}@devenv-acme-erp-pg.fly.dev:5432/postgres",
}
SECRET: Final = ("supabase_anon_key", "supabase_service_role_key", "db_password")
PHASES: Final[dict[Connection, str]] = {
    "None": "Stopped",
    "Partial": "Provisioning",
    "Full": "Running",
    "Unsafe": "Degraded",
}


@dataclass(frozen=True, slots=True)
class Town:
    """Accounts with dev environments, and a running API."""

    service: Service

    @property
    def now(self) -> datetime:
        """The API's time."""
        return self.service.store.clock.now()

    async def account(self, name: str = OWN, **spec: Any) -> Account:
        """Make an account."""
        wish = AccountSpec.model_validate({"email": f"{name}@example.com", **spec})
        made = Account(metadata=ObjectMeta(name=name), spec=wish)
        return await self.service.store.create(made)

    async def change(self, name: str = OWN, **spec: Any) -> None:
        """Change an account's spec."""
        account = await self.service.store.get(Account, name)
        account.spec = AccountSpec.model_validate({**dict(account.spec), **spec})
        await self.service.store.update(account)

    async def cap(self, **caps: float) -> None:
        """Change the fleet's caps."""
        platform = await self.service.store.get(Platform, PLATFORM)
        for name, value in caps.items():
            setattr(platform.spec.caps, name, value)
        await self.service.store.update(platform)

    async def devenv(
        self,
        namespace: str = OWN,
        name: str = SILO,
        status: dict[str, Any] | None = None,
        **spec: Any,
    ) -> DevEnv:
        """Make a dev environment with a status."""
        wish = DevEnvSpec.model_validate({"client": namespace, "app": name, **spec})
        devenv = await self.service.store.create(
            DevEnv(metadata=ObjectMeta(name=name, namespace=namespace), spec=wish)
        )
        return await self.tell(devenv, **{"observed_generation": 1, **(status or {})})

    async def tell(self, devenv: DevEnv, **status: Any) -> DevEnv:
        """Write a status, as the controller would."""
        for field, value in status.items():
            setattr(devenv.status, field, value)
        return await self.service.store.update_status(devenv)

    async def connected(self, connection: Connection, **info: str | None) -> DevEnv:
        """Make a dev environment that tells its users something, and put it on record."""
        status = {
            "phase": PHASES[connection],
            "connection": connection,
            "last_started_at": self.now - timedelta(hours=1),
        }
        devenv = await self.devenv(status=status)
        if connection != "None":
            await self.record(OWN, **info)
        return devenv

    async def record(self, namespace: str = OWN, **info: str | None) -> None:
        """Put on record what connects."""
        value = ConnectionInfo(**{**PARTS, **info})  # type: ignore[arg-type]  # the address is there
        secrets = Secrets(self.service.store, self.service.api.cipher)
        await secrets.put(namespace, connection_name(SILO), value.to_bytes())

    async def withdraw(self) -> None:
        """Take what connects off the record."""
        secrets = Secrets(self.service.store, self.service.api.cipher)
        await secrets.delete(OWN, connection_name(SILO))

    async def machine(self, name: str, namespace: str = OWN) -> Machine:
        """Make a service's Machine."""
        spec = MachineSpec(account=namespace, image="img")
        meta = ObjectMeta(name=name, namespace=namespace)
        return await self.service.store.create(Machine(metadata=meta, spec=spec))

    async def token(self, role: Role, account: str = OWN) -> str:
        """A token of a role."""
        token, _ = await AccessTokens(self.service.store).issue(
            f"the {role}",
            role,
            lifetime=timedelta(hours=1),
            account=account if role in ROLES_OF_ACCOUNTS else "",
            created_by="tests",
        )
        return token

    async def ask(
        self, role: Role, method: str, path: str, *, of: str = OWN, **how: Any
    ) -> httpx.Response:
        """Ask as a role."""
        headers = {"Authorization": f"Bearer {await self.token(role, of)}"}
        return await self.service.client.request(method, path, headers=headers, **how)

    async def context(self, role: Role, silo: str = SILO, of: str = OWN) -> httpx.Response:
        """Ask what connects, as a role."""
        return await self.ask(role, "GET", "/app-context", of=of, params={"silo_id": silo})

    async def post(self, role: Role, path: str, of: str = OWN, **body: Any) -> httpx.Response:
        """Wish for something, as a role."""
        return await self.ask(role, "POST", path, of=of, json={"silo_id": SILO, **body})

    async def status(self, role: Role = "devops", silo: str = SILO) -> dict[str, Any]:
        """The status that a role is told."""
        answer = await self.ask(role, "GET", "/silo-status", params={"silo_id": silo})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def row(self, name: str = SILO, namespace: str = OWN) -> DevEnv:
        """The row as it is."""
        return await self.service.store.get(DevEnv, name, namespace)


def services(started_at: datetime, **phases: str) -> list[ServiceStatus]:
    """Services that are up since a moment, but for those in other phases."""
    return [
        ServiceStatus(
            name=name,
            machine=f"{SILO}-{name}",
            phase=phases.get(name, "Running"),
            ready=name not in phases,
            instance=f"fly-{name}",
            started_at=started_at,
        )
        for name in ("postgres", "postgrest", "gotrue", "kong", "storage", "studio")
    ]
