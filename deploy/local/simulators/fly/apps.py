"""Apps, their addresses and their secrets."""

import re
from typing import Any

from deploy.local.simulators.clock import rfc3339
from deploy.local.simulators.fly import views
from deploy.local.simulators.fly.core import CloudCore
from deploy.local.simulators.fly.state import Address, App, FlyError
from deploy.local.simulators.fly.views import secret_digest

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TYPES = ("v4", "v6", "shared_v4", "private_v6", "egress_v4", "egress_v6", "egress_pair")
_SHARED_V4 = "66.241.125.10"


class Apps(CloudCore):
    """What can be done to apps."""

    def create_app(self, body: dict[str, Any]) -> dict[str, Any]:
        """Create an app; a repeated `idempotency_key` answers the first one.

        Raises:
            FlyError: 422 `name_taken`, 400 for a bad name or key, 403 for another organization.
        """
        name = body.get("name") or body.get("app_name") or f"app-{self.ids.hex(8)}"
        if body.get("org_slug") not in {self.org, "personal"}:
            raise FlyError(403, "Not authorized to access this organization")
        if not _NAME.fullmatch(name):
            raise FlyError(422, "Validation failed: Name is invalid")
        if again := self._repeated(body, name):
            return {"id": again.id, "created_at": int(again.created_at * 1000)}
        if name in self.apps:
            raise FlyError(422, "Name has already been taken", "name_taken")
        app = self._add_app(name, self.org, body.get("network") or "default")
        app.idempotency_key = body.get("idempotency_key") or ""
        app.visible_at = app.created_at + self.timings.app_visible_after_seconds
        self.show_app(app)
        return {"id": app.id, "created_at": int(app.created_at * 1000)}

    def seed_foreign_app(self, name: str, org: str = "somebody-else") -> App:
        """Put an app of another organization there; only its name can be noticed."""
        return self._add_app(name, org, "default")

    def get_app(self, name: str) -> dict[str, Any]:
        """Return an app."""
        return views.app_view(self.app(name))

    def delete_app(self, name: str) -> None:
        """Delete an app with everything in it, at once."""
        app = self.app(name)
        for machine_id in list(app.machines):
            machine = self.machines[machine_id]
            machine.epoch += 1
            machine.state = "destroyed"
            self.event(machine, "destroy", "destroyed", "user")
            self.show_machine(machine)
        for volume_id in list(app.volumes):
            self.show_volume(self.volumes.pop(volume_id))
        self.spawn(self._end(app))
        del self.apps[name]
        self.show_app(app)

    # Addresses

    def list_addresses(self, app_name: str) -> dict[str, Any]:
        """Return an app's addresses."""
        app = self.app(app_name)
        return {"ips": [views.address_view(a, app.org) for a in app.addresses]}

    def assign_address(self, app_name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Give an app an address; the shared ones are given once.

        Raises:
            FlyError: 400 for an unknown type.
        """
        app = self.app(app_name)
        kind = body.get("type") or "v6"
        if kind not in _TYPES:
            raise FlyError(400, f"invalid ip type: {kind}")
        shared = kind == "shared_v4"
        known = next((a for a in app.addresses if shared and a.shared), None)
        address = known or self._address(kind, body)
        if known is None:
            app.addresses.append(address)
            self.show_app(app)
        return views.address_view(address, app.org) | {"ip_pair": None}

    def release_address(self, app_name: str, ip: str) -> None:
        """Take an address from an app.

        Raises:
            FlyError: 404 when it has no such address.
        """
        app = self.app(app_name)
        kept = [address for address in app.addresses if address.ip != ip]
        if len(kept) == len(app.addresses):
            raise FlyError(404, "ip not found")
        app.addresses = kept
        self.show_app(app)

    # Secrets

    def list_secrets(self, app_name: str) -> dict[str, Any]:
        """Return names and digests of an app's secrets, never the values."""
        app = self.app(app_name)
        return {"secrets": [self._secret(app, name) for name in app.secrets]}

    def get_secret(self, app_name: str, name: str) -> dict[str, Any]:
        """Return one secret's digest.

        Raises:
            FlyError: 404 when there is none.
        """
        app = self.app(app_name)
        if name not in app.secrets:
            raise FlyError(404, "secret not found")
        return self._secret(app, name)

    def set_secrets(self, app_name: str, values: dict[str, str | None]) -> dict[str, Any]:
        """Set or (null) unset secrets; machines see them when they boot next."""
        app = self.app(app_name)
        for name, value in values.items():
            app.secrets.pop(name, None)
            if value is not None:
                app.secrets[name] = value
        app.secrets_version += 1
        self._notify()
        version = app.secrets_version
        return self.list_secrets(app_name) | {"version": version, "Version": version}

    def set_secret(self, app_name: str, name: str, value: str) -> dict[str, Any]:
        """Set one secret."""
        self.set_secrets(app_name, {name: value})
        app = self.app(app_name)
        version = app.secrets_version
        return self._secret(app, name) | {"version": version, "Version": version}

    def unset_secret(self, app_name: str, name: str) -> dict[str, Any]:
        """Remove one secret."""
        self.get_secret(app_name, name)
        version = self.set_secrets(app_name, {name: None})["version"]
        return {"version": version, "Version": version}

    # Steps

    async def _end(self, app: App) -> None:
        """End an app's processes, and then what they wrote to."""
        for machine_id in app.machines:
            await self.runtime.kill(self.machines[machine_id])
        for volume_id in app.volumes:
            await self.runtime.discard(volume_id)

    def _repeated(self, body: dict[str, Any], name: str) -> App | None:
        key = body.get("idempotency_key")
        known = next((a for a in self.apps.values() if key and a.idempotency_key == key), None)
        if known and body.get("name") and known.name != name:
            raise FlyError(400, "idempotency key was used for an app with another name")
        return known

    def _add_app(self, name: str, org: str, network: str) -> App:
        number = self.ids.rng.randrange(1_000_000, 9_999_999)
        app = App(self.ids.hex(16), name, org, network, self.now(), number=number)
        self.apps[name] = app
        self.show_app(app)
        return app

    def _address(self, kind: str, body: dict[str, Any]) -> Address:
        rng = self.ids.rng
        if kind == "shared_v4":
            ip = _SHARED_V4
        elif kind.endswith("v4"):
            ip = f"37.16.{rng.randrange(256)}.{rng.randrange(1, 255)}"
        elif kind == "private_v6":
            ip = f"fdaa:0:{rng.getrandbits(16):x}:0:1::{rng.randrange(2, 256):x}"
        else:
            ip = f"2a09:8280:1::{rng.getrandbits(16):x}:{rng.getrandbits(16):x}"
        network = (body.get("network") or "default") if kind == "private_v6" else None
        region = body.get("region") or "global"
        return Address(ip, kind, region, kind == "shared_v4", self.now(), network)

    def _secret(self, app: App, name: str) -> dict[str, Any]:
        created = rfc3339(app.created_at)
        digest = secret_digest(app.secrets[name])
        return {"name": name, "digest": digest, "created_at": created, "updated_at": created}
